#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::collections::BTreeMap;

use flowline_registry::{Framed, Guid};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Answers by path; says what it was asked.
async fn registry(answers: &[(&str, u16, &str)]) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/base", listener.local_addr().unwrap());
    let answers: BTreeMap<String, (u16, String)> = answers
        .iter()
        .map(|(path, status, body)| ((*path).to_owned(), (*status, (*body).to_owned())))
        .collect();
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                    break;
                }
                request.push(byte[0]);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let (status, body) = match answers.get(path) {
                Some(_)
                    if path.contains("secret") && !request.contains("authorization: Basic bWU6Z2VoZWlt") =>
                {
                    (401, "{}".to_owned())
                }
                Some((status, body)) => (*status, body.clone()),
                None => (404, "{\"error_code\":404,\"message\":\"HTTP 404 Not Found\"}".to_owned()),
            };
            let answer = format!(
                "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, serving)
}

#[tokio::test]
async fn schemas_come_with_what_they_refer_to() {
    let (url, serving) = registry(&[
        (
            "/base/schemas/ids/7",
            200,
            r#"{"schema":"{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"b\",\"type\":\"x.B\"}]}","references":[{"name":"x.B","subject":"a/b","version":3}]}"#,
        ),
        (
            "/base/subjects/a%2Fb/versions/3",
            200,
            r#"{"schema":"{\"type\":\"fixed\",\"namespace\":\"x\",\"name\":\"B\",\"size\":2}","subject":"a/b","version":3,"id":1}"#,
        ),
        ("/base/subjects/t-value/versions/latest", 200, r#"{"schema":"\"int\"","subject":"t-value","version":2,"id":5}"#),
        ("/base/subjects/t/versions/latest", 404, r#"{"error_code":40401,"message":"Subject 't' not found."}"#),
        (
            "/base/schemas/guids/73697874-6565-6e20-6279-7465732e2e2e",
            200,
            r#"{"schema":"\"int\"","guid":"73697874-6565-6e20-6279-7465732e2e2e"}"#,
        ),
        ("/base/schemas/ids/8", 404, r#"{"error_code":40403,"message":"Schema 8 not found"}"#),
        ("/base/schemas/ids/9", 503, ""),
        ("/base/schemas/ids/10", 200, "<html>"),
        ("/base/schemas/ids/11", 200, r#"{"schema":"{","schemaType":"JSON"}"#),
        ("/base/schemas/ids/12", 200, r#"{"schema":"x","schemaType":"COBOL"}"#),
    ])
    .await;
    let remote = RemoteRegistry::new(&url, None, None).unwrap();
    let schema = remote.writer(7).await.unwrap().unwrap().unwrap();
    let mut out = Vec::new();
    schema.write_json(&Framed::parse(&[0, 0, 0, 0, 7, 1, 2]).unwrap(), &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"b":"AQI="}"#);
    let (id, latest) = remote.latest("t-value").await.unwrap().unwrap();
    assert_eq!((id, latest.is_ok()), (5, true));
    assert!(remote.latest("t").await.unwrap().is_none());
    assert!(remote.writer_of_guid(Guid(*b"sixteen bytes...")).await.unwrap().unwrap().is_ok());
    assert!(remote.writer(8).await.unwrap().is_none());
    for (id, kind, part) in [
        (9, ErrorKind::Transient, "answers 503"),
        (10, ErrorKind::Input, "is that its address?"),
        (13, ErrorKind::Input, "not as a registry does"),
    ] {
        let error = remote.writer(id).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    for (id, part) in [(11, "JSON"), (12, "COBOL")] {
        let reason = remote.writer(id).await.unwrap().unwrap().unwrap_err();
        assert!(reason.contains(part), "{reason}");
    }
    serving.abort();
}

#[tokio::test]
async fn a_login_is_sent_and_told_nobody() {
    let (url, serving) = registry(&[("/base/secret/schemas/ids/1", 200, r#"{"schema":"\"string\""}"#)]).await;
    let url = format!("{url}/secret");
    let known = RemoteRegistry::new(&url, Some("me".to_owned()), Some(Secret::new("geheim"))).unwrap();
    assert!(known.writer(1).await.unwrap().unwrap().is_ok());
    let stranger = RemoteRegistry::new(&url, Some("me".to_owned()), Some(Secret::new("falsch"))).unwrap();
    let error = stranger.writer(1).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(!format!("{error} {stranger:?}").contains("falsch"));
    serving.abort();
    let gone = RemoteRegistry::new("http://127.0.0.1:1", None, None).unwrap().writer(1).await.unwrap_err();
    assert_eq!(gone.kind, ErrorKind::Transient, "{gone}");
}

//! The Postgres wire as no driver speaks it: messages that contradict themselves are answered, never followed.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::Node;

/// A message: its letter, its length, its body.
fn message(letter: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[letter][..], &length, body].concat()
}

fn parse(sql: &str) -> Vec<u8> {
    message(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"].concat())
}

/// A Bind of the unnamed statement with these parameter formats, parameters and result formats.
fn bind(formats: &[i16], parameters: &[&[u8]], results: &[i16]) -> Vec<u8> {
    let mut body = b"\0\0".to_vec();
    let numbers = |body: &mut Vec<u8>, numbers: &[i16]| {
        body.extend(i16::try_from(numbers.len()).unwrap().to_be_bytes());
        numbers.iter().for_each(|number| body.extend(number.to_be_bytes()));
    };
    numbers(&mut body, formats);
    body.extend(i16::try_from(parameters.len()).unwrap().to_be_bytes());
    for parameter in parameters {
        body.extend(u32::try_from(parameter.len()).unwrap().to_be_bytes());
        body.extend(*parameter);
    }
    numbers(&mut body, results);
    message(b'B', &body)
}

fn execute(rows_max: i32) -> Vec<u8> {
    message(b'E', &[b"\0", &rows_max.to_be_bytes()[..]].concat())
}

async fn open(node: &Node) -> TcpStream {
    let mut stream = TcpStream::connect(node.postgres).await.unwrap();
    let body = [&196_608_u32.to_be_bytes()[..], b"user\0me\0database\0shop\0\0"].concat();
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], &body].concat()).await.unwrap();
    until_ready(&mut stream).await;
    stream
}

/// The letters of the messages until the server is ready, and the SQLSTATE of the error among them.
async fn until_ready(stream: &mut TcpStream) -> (String, Option<String>) {
    let (mut letters, mut code) = (String::new(), None);
    loop {
        let mut head = [0; 5];
        tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut head)).await.unwrap().unwrap();
        let length = u32::from_be_bytes(head[1..].try_into().unwrap()) as usize - 4;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        letters.push(char::from(head[0]));
        if head[0] == b'E' {
            let field = body.split(|byte| *byte == 0).find(|field| field.starts_with(b"C")).unwrap();
            code = Some(String::from_utf8_lossy(&field[1..]).into_owned());
        }
        if head[0] == b'Z' {
            return (letters, code);
        }
    }
}

#[tokio::test]
async fn numbers_that_do_not_fit_are_refused() {
    let node = Node::start().await;
    let mut stream = open(&node).await;
    let sync = message(b'S', b"");
    let one = "select id from shop.letters where id = $1";
    let refused = |messages: Vec<Vec<u8>>| [messages.concat(), sync.clone()].concat();
    for (messages, code) in [
        (vec![parse(one), bind(&[], &[], &[]), execute(0)], "08P01"),
        (vec![parse(one), bind(&[0, 1], &[b"1"], &[]), execute(0)], "08P01"),
        (vec![parse(one), bind(&[], &[b"1"], &[1, 1, 1]), execute(0)], "08P01"),
        (vec![parse(one), bind(&[], &[b"x"], &[]), execute(0)], "22P02"),
        (vec![parse(one), bind(&[1], &[b"1"], &[]), execute(0)], "22P02"),
        (vec![execute(0)], "26000"),
        (vec![message(b'B', b"nothing\0nothing\0\0\0\0\0\0\0")], "26000"),
    ] {
        stream.write_all(&refused(messages.clone())).await.unwrap();
        let (letters, found) = until_ready(&mut stream).await;
        assert_eq!(found.as_deref(), Some(code), "{messages:?} {letters}");
    }
    let fetched = [parse(one), bind(&[], &[b"1"], &[1]), execute(-1), sync].concat();
    stream.write_all(&fetched).await.unwrap();
    assert_eq!(until_ready(&mut stream).await, ("12DCZ".to_owned(), None));
}

#[tokio::test]
async fn nobody_gets_past_the_introduction() {
    let node = Node::start().await;
    let mut stream = TcpStream::connect(node.postgres).await.unwrap();
    stream.write_all(&message(b'Q', b"select 1\0")).await.unwrap();
    let mut said = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut said)).await.unwrap().unwrap();
    assert!(!said.contains(&b'D'), "{said:?}");
}

//! The table of `compatibility.txt`, at all levels.

use flowline_registry::{Registry, VersionChoice};

use super::support::{level, register, registry, schema};

const TABLE: &str = include_str!("compatibility.txt");

#[derive(Debug)]
struct Case {
    kind: String,
    name: String,
    old: String,
    new: String,
    /// What is in the way, backward and forward.
    found: [Vec<String>; 2],
}

fn cases() -> Vec<Case> {
    let blocks = TABLE.split("\n\n").map(|block| block.lines().filter(|line| !line.starts_with('#')));
    let mut cases = Vec::new();
    for block in blocks {
        let lines: Vec<&str> = block.filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            continue;
        }
        let [title, old, new, backward, forward] = lines[..] else {
            panic!("a case has five lines: {lines:?}")
        };
        let (kind, name) = title.strip_prefix('[').unwrap().split_once("] ").unwrap();
        let rest = |line: &'static str, word: &str| line.strip_prefix(word).unwrap().trim();
        let found = |text: &str| match text {
            "yes" => Vec::new(),
            text => text.split("; ").map(str::to_owned).collect(),
        };
        cases.push(Case {
            kind: kind.to_owned(),
            name: name.to_owned(),
            old: expanded(rest(old, "old ")),
            new: expanded(rest(new, "new ")),
            found: [found(rest(backward, "backward ")), found(rest(forward, "forward "))],
        });
    }
    cases
}

fn expanded(text: &str) -> String {
    if let Some(fields) = text.strip_prefix("R[").and_then(|text| text.strip_suffix(']')) {
        return format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    }
    match text.strip_prefix("P{").and_then(|text| text.strip_suffix('}')) {
        Some(inside) => format!("syntax = \"proto3\"; {inside}"),
        None => text.to_owned(),
    }
}

/// Kinds and places of what is in the way, and the message that tells the level.
fn found_in(messages: &[String]) -> Vec<String> {
    let between = |text: &str, from: &str, to: char| {
        let start = text.find(from)? + from.len();
        let rest = &text[start..];
        Some(rest[..rest.find(to)?].to_owned())
    };
    messages
        .iter()
        .filter_map(|message| {
            let kind =
                between(message, "errorType:'", '\'').or_else(|| between(message, "errorType:\"", '"'))?;
            let place = between(message, "path '", '\'').or_else(|| between(message, "at '", '\''));
            let place = place.or_else(|| between(message, "path: '", '\'')).unwrap_or_default();
            Some(format!("{kind} {place}"))
        })
        .collect()
}

async fn check(registry: &Registry, subject: &str, case: &Case, expected: &[String], word: &str) {
    registry.configure("", subject, level(word)).await.unwrap();
    let latest = Some(VersionChoice::Latest);
    let answer = registry.check(subject, latest, schema(&case.kind, &case.new), None).await.unwrap();
    let (kind, name) = (&case.kind, &case.name);
    assert_eq!(found_in(&answer.messages), expected, "[{kind}] {name}, {word}: {:?}", answer.messages);
    assert_eq!(answer.compatible, expected.is_empty(), "[{kind}] {name}, {word}");
    if !answer.compatible {
        let told = answer.messages.last().unwrap();
        assert_eq!(*told, format!("{{validateFields: 'false', compatibility: '{word}'}}"));
    }
    // Registering decides as the question was answered.
    let registered = registry.register("", subject, register(&case.kind, &case.new)).await;
    assert_eq!(registered.is_ok(), answer.compatible, "[{kind}] {name}, {word}: {registered:?}");
    if let Err(error) = registered {
        assert_eq!(error.code(), 409);
        assert!(
            error.to_string().starts_with("Schema being registered is incompatible with an earlier schema")
        );
    }
}

#[tokio::test]
async fn schemas_get_along_as_the_table_says() {
    let cases = cases();
    assert!(cases.len() >= 85, "{} cases", cases.len());
    let (registry, mut checked) = (registry().await, 0);
    for case in &cases {
        let [backward, forward] = &case.found;
        let both: Vec<String> = backward.iter().chain(forward).cloned().collect();
        for (word, expected) in [
            ("BACKWARD", backward),
            ("BACKWARD_TRANSITIVE", backward),
            ("FORWARD", forward),
            ("FORWARD_TRANSITIVE", forward),
            ("FULL", &both),
            ("FULL_TRANSITIVE", &both),
            ("NONE", &Vec::new()),
        ] {
            let subject = format!("s{checked}");
            registry.register("", &subject, register(&case.kind, &case.old)).await.unwrap();
            check(&registry, &subject, case, expected, word).await;
            checked += 1;
        }
    }
    println!("{} pairs of schemas, {checked} checks", cases.len());
}

#[tokio::test]
async fn transitive_levels_look_at_all_versions() {
    // Each gets along with the one before, and the last one not with the first.
    let versions = [
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"int","default":0}]}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"int"}]}"#,
    ];
    for (word, taken) in [("BACKWARD", true), ("BACKWARD_TRANSITIVE", false), ("NONE", true)] {
        let registry = registry().await;
        registry.configure("", "", level(word)).await.unwrap();
        for text in &versions[..2] {
            registry.register("", "s", register("AVRO", text)).await.unwrap();
        }
        let last = registry.register("", "s", register("AVRO", versions[2])).await;
        assert_eq!(last.is_ok(), taken, "{word}: {last:?}");
        // A hidden version is none.
        registry.delete_version("", "s", VersionChoice::Number(1), false).await.unwrap();
        assert!(registry.register("", "s", register("AVRO", versions[2])).await.is_ok(), "{word}");
    }
}

#[tokio::test]
async fn languages_do_not_mix_in_a_subject() {
    let registry = registry().await;
    registry.register("", "s", register("AVRO", "\"string\"")).await.unwrap();
    let json = || register("JSON", r#"{"type":"string"}"#);
    let error = registry.register("", "s", json()).await.unwrap_err();
    assert_eq!(error.code(), 409);
    assert!(error.to_string().contains("Incompatible because of different schema type"), "{error}");
    registry.configure("", "s", level("NONE")).await.unwrap();
    assert_eq!(registry.register("", "s", json()).await.unwrap().version, 2);
}

#[tokio::test]
async fn the_lenient_policy_takes_objects_for_closed() {
    let registry = registry().await;
    let (old, new) = (
        r#"{"type":"object","properties":{"a":{"type":"string"}}}"#,
        r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}}}"#,
    );
    registry.register("", "s", register("JSON", old)).await.unwrap();
    assert_eq!(registry.register("", "s", register("JSON", new)).await.unwrap_err().code(), 409);
    let lenient =
        flowline_registry::SettingsRequest { policy: Some("LENIENT".to_owned()), ..Default::default() };
    registry.configure("", "s", lenient).await.unwrap();
    assert_eq!(registry.register("", "s", register("JSON", new)).await.unwrap().version, 2);
}

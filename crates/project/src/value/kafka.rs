//! Brokers, topics and groups of Kafka.

use super::{Lexical, Unreadable};

/// The longest name of a topic that Kafka takes.
const TOPIC_MAX: usize = 249;
/// The longest prefix that leaves room for the longest name of a dataset.
const PREFIX_MAX: usize = TOPIC_MAX - 127;

/// Brokers to begin with.
pub(crate) struct BrokersText;

impl Lexical for BrokersText {
    type Meaning = Vec<String>;
    const FORMAT: &'static str = "flowline-brokers";
    const NOUN: &'static str = "the address of a broker";
    const HOW: &'static str =
        "a host and a port, `kafka-1.example.org:9092`, or several with commas between them";
    const EXAMPLES: &'static [&'static str] = &["kafka-1.example.org:9092", "${KAFKA_BROKERS}"];

    fn read(text: &str) -> Result<Vec<String>, Unreadable> {
        let brokers: Vec<String> = text.split(',').map(|broker| broker.trim().to_owned()).collect();
        if brokers.iter().all(|broker| is_broker(broker)) { Ok(brokers) } else { Err(Unreadable::Form) }
    }
}

fn is_broker(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_holds = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(plain),
    };
    host_holds && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_topic(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// The name of a topic.
pub(crate) struct TopicText;

impl Lexical for TopicText {
    type Meaning = String;
    const FORMAT: &'static str = "flowline-topic";
    const NOUN: &'static str = "the name of a topic";
    const HOW: &'static str = "letters, digits, `.`, `_` and `-`, at most 249 of them";
    const EXAMPLES: &'static [&'static str] = &["shop.orders"];

    fn read(text: &str) -> Result<String, Unreadable> {
        let holds =
            !text.is_empty() && text.len() <= TOPIC_MAX && is_topic(text) && text != "." && text != "..";
        if holds { Ok(text.to_owned()) } else { Err(Unreadable::Form) }
    }
}

/// What the names of topics begin with.
pub(crate) struct TopicPrefix;

impl Lexical for TopicPrefix {
    type Meaning = String;
    const FORMAT: &'static str = "flowline-topic-prefix";
    const NOUN: &'static str = "the beginning of names of topics";
    const HOW: &'static str = "letters, digits, `.`, `_` and `-`, at most 122 of them: `flowline.shop.`";
    const EXAMPLES: &'static [&'static str] = &["flowline.shop."];

    fn read(text: &str) -> Result<String, Unreadable> {
        let holds = !text.is_empty() && text.len() <= PREFIX_MAX && is_topic(text);
        if holds { Ok(text.to_owned()) } else { Err(Unreadable::Form) }
    }
}

/// The name of a consumer group.
pub(crate) struct GroupText;

impl Lexical for GroupText {
    type Meaning = String;
    const FORMAT: &'static str = "flowline-group";
    const NOUN: &'static str = "the name of a consumer group";
    const HOW: &'static str = "a text without spaces, at most 200 characters";
    const EXAMPLES: &'static [&'static str] = &["flowline-shop"];

    fn read(text: &str) -> Result<String, Unreadable> {
        let holds = !text.is_empty() && text.len() <= 200 && text.chars().all(|c| c.is_ascii_graphic());
        if holds { Ok(text.to_owned()) } else { Err(Unreadable::Form) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers() {
        let two = vec!["a:1".to_owned(), "b-1.example.org:9092".to_owned()];
        assert_eq!(BrokersText::read("a:1, b-1.example.org:9092"), Ok(two));
        assert!(BrokersText::read("[::1]:9092").is_ok());
        for text in ["", "a", "a:", ":1", "a:0", "a:65536", "a:1,", "kafka://a:1", "::1:9092", "a b:1"] {
            assert!(BrokersText::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn topics() {
        assert!(TopicText::read("shop.orders-v1_x").is_ok() && TopicPrefix::read("flowline.").is_ok());
        for text in ["", "a/b", "a b", "."] {
            assert!(TopicText::read(text).is_err(), "{text}");
        }
        assert!(TopicPrefix::read(&"a".repeat(123)).is_err());
        assert!(GroupText::read("a b").is_err() && GroupText::read("flowline shop").is_err());
    }
}

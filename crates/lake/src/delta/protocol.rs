//! Which tables can be read and written: whatever is not known is refused, so that no rule of the table is broken.

use std::time::Duration;

use super::actions::{Metadata, Protocol};
use crate::LakeError;

/// Features that change nothing for a reader or writer of whole files, or that are kept here.
const KNOWN: [&str; 4] = ["appendOnly", "invariants", "timestampNtz", "vacuumProtocolCheck"];

/// Properties that ask something of a writer which is not done here: the property, and the value that is harmless.
const PROPERTIES: [(&str, &str); 6] = [
    ("delta.enableChangeDataFeed", "false"),
    ("delta.columnMapping.mode", "none"),
    ("delta.enableDeletionVectors", "false"),
    ("delta.enableRowTracking", "false"),
    ("delta.enableInCommitTimestamps", "false"),
    ("delta.enableTypeWidening", "false"),
];

/// What tables made here ask of others: the least that there is.
pub(crate) fn of_new_tables() -> Protocol {
    Protocol { min_reader_version: 1, min_writer_version: 2, reader_features: None, writer_features: None }
}

/// Refuses a table that cannot be read and written by its rules.
pub(crate) fn check(table: &str, protocol: &Protocol, metadata: &Metadata) -> Result<(), LakeError> {
    let refuse = |feature: String| Err(LakeError::Unsupported { table: table.to_owned(), feature });
    if protocol.min_reader_version > 3 || protocol.min_writer_version > 7 {
        return refuse(format!(
            "protocol version {}/{}",
            protocol.min_reader_version, protocol.min_writer_version
        ));
    }
    let features = protocol.reader_features.iter().chain(&protocol.writer_features).flatten();
    for feature in features {
        if !KNOWN.contains(&feature.as_str()) {
            return refuse(format!("the feature `{feature}`"));
        }
    }
    if metadata.format.provider != "parquet" {
        return refuse(format!("data files in `{}`", metadata.format.provider));
    }
    for (property, harmless) in PROPERTIES {
        if let Some(Some(value)) = metadata.configuration.get(property)
            && value != harmless
        {
            return refuse(format!("the property `{property}` = `{value}`"));
        }
    }
    if let Some(key) = metadata.configuration.keys().find(|key| key.starts_with("delta.constraints.")) {
        return refuse(format!("the check `{key}`"));
    }
    // With it, positions could be forgotten and rows be written twice.
    if metadata.configuration.contains_key("delta.setTransactionRetentionDuration") {
        return refuse(
            "the property `delta.setTransactionRetentionDuration`, which forgets how far writers have come"
                .into(),
        );
    }
    for (key, rule) in [
        ("delta.generationExpression", "generated columns"),
        ("delta.identity.", "identity columns"),
        ("delta.invariants", "columns with invariants"),
    ] {
        if metadata.schema_string.contains(key) {
            return refuse(rule.into());
        }
    }
    Ok(())
}

/// Whether the table forbids that rows are removed.
pub(crate) fn append_only(metadata: &Metadata) -> bool {
    metadata.configuration.get("delta.appendOnly").and_then(Option::as_deref) == Some("true")
}

/// How long the table wants its commits kept; none when they are never to be deleted.
pub(crate) fn log_retention(metadata: &Metadata) -> Option<Duration> {
    let property = |name: &str| metadata.configuration.get(name).and_then(Option::as_deref);
    if property("delta.enableExpiredLogCleanup") == Some("false") {
        return None;
    }
    let kept = property("delta.logRetentionDuration").and_then(interval);
    Some(kept.unwrap_or(Duration::from_secs(30 * DAY)))
}

const DAY: u64 = 24 * 3600;

/// A duration as table properties have it: `interval 7 days`.
fn interval(text: &str) -> Option<Duration> {
    let mut words = text.split_whitespace().filter(|word| !word.eq_ignore_ascii_case("interval"));
    let (number, unit) = (words.next()?.parse::<u64>().ok()?, words.next()?.to_ascii_lowercase());
    let seconds = match unit.trim_end_matches('s') {
        "second" => 1,
        "minute" => 60,
        "hour" => 3600,
        "day" => DAY,
        "week" => 7 * DAY,
        _ => return None,
    };
    words.next().is_none().then(|| Duration::from_secs(number.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read() {
        assert_eq!(interval("interval 7 days"), Some(Duration::from_secs(7 * DAY)));
        assert_eq!(interval("INTERVAL 1 WEEK"), Some(Duration::from_secs(7 * DAY)));
        assert_eq!(interval("90 minutes"), Some(Duration::from_secs(5400)));
        for text in ["", "interval", "interval x days", "interval 1 month", "interval 1 day 2 hours"] {
            assert_eq!(interval(text), None, "{text}");
        }
    }
}

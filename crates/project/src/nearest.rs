//! The nearest right word for a wrong one.

/// The candidate that is most likely meant by `word`, when one is near enough.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LENGTH_MAX: usize = 80;
    if word.is_empty() || word.len() > LENGTH_MAX {
        return None;
    }
    let fold = |text: &str| text.to_lowercase().replace(['-', ' ', '.'], "_");
    let wanted = fold(word);
    let allowed = (wanted.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LENGTH_MAX)
        .map(|candidate| (distance(&wanted, &fold(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits from one word to the other; a word that continues the other (`desc`, `description`) counts as near.
fn distance(left: &str, right: &str) -> usize {
    let (short, long) = if left.len() < right.len() { (left, right) } else { (right, left) };
    if short.len() >= 4 && long.starts_with(short) {
        return 1;
    }
    strsim::damerau_levenshtein(left, right)
}

/// `did you mean …?` when a candidate is near, and all of them when none is or when they are few.
pub(crate) fn suggestion(word: &str, candidates: &[&str]) -> String {
    let all = candidates.join(", ");
    match nearest(word, candidates.iter().copied()) {
        Some(candidate) if (2..=6).contains(&candidates.len()) => {
            format!("did you mean `{candidate}`? possible here: {all}")
        }
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None if candidates.is_empty() => "nothing is possible here".to_owned(),
        None => format!("possible here: {all}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found() {
        let words = ["columns", "key", "event_time", "partition_by", "description", "owner"];
        for (wrong, right) in [
            ("colums", Some("columns")),
            ("column", Some("columns")),
            ("keys", Some("key")),
            ("eventTime", Some("event_time")),
            ("event-time", Some("event_time")),
            ("partitionBy", Some("partition_by")),
            ("desc", Some("description")),
            ("onwer", Some("owner")),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, words), right, "{wrong}");
        }
    }
}

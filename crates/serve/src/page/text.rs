//! Numbers and times as people read them. The script of the page repeats [`age`] for times that move on.

/// `1234567` as `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count that fits a small space: `1,234`, then `12.3 k`, `4.56 M`, `7.89 G`.
pub(super) fn short_count(number: u64) -> String {
    const STEPS: [(u64, &str); 3] = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    if number < 10_000 {
        return count(number);
    }
    for (step, unit) in STEPS {
        if number >= step {
            let value = number as f64 / step as f64;
            let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
            return format!("{value:.digits$} {unit}");
        }
    }
    count(number)
}

/// Seconds as `12 s`, `3 min`, `2 h 5 min`, `4 d 3 h`.
pub(super) fn age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..86_400 => with_rest(hours, "h", minutes % 60, "min"),
        _ => with_rest(days, "d", hours % 24, "h"),
    }
}

fn with_rest(large: i64, large_unit: &str, small: i64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

/// What a message says, as HTML: what stands between backticks in it is code.
pub(super) fn marked(message: impl AsRef<str>) -> String {
    let parts: Vec<&str> = message.as_ref().split('`').collect();
    let mut html = String::new();
    for (index, part) in parts.iter().enumerate() {
        let opened = index % 2 == 1;
        let closed = index + 1 < parts.len();
        html.push_str(match (opened, closed) {
            (true, true) => "<code>",
            // One that stands alone is a character like any other.
            (true, false) => "`",
            (false, _) => "",
        });
        escape(part, &mut html);
        if opened && closed {
            html.push_str("</code>");
        }
    }
    html
}

fn escape(text: &str, html: &mut String) {
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
}

/// `1 hop`, `2 hops`.
pub(super) fn plural(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{} {noun}s", count(number)) }
}

/// `a`, `a and b`, `a, b and c`; after five names `and n more`.
pub(super) fn list(names: &[String]) -> String {
    const NAMES_MAX: usize = 5;
    if names.len() > NAMES_MAX {
        return format!("{} and {} more", names[..NAMES_MAX].join(", "), names.len() - NAMES_MAX);
    }
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        let short = [9_999, 10_000, 123_456, 4_560_000, 45_600_000, 7_890_000_000].map(short_count);
        assert_eq!(short, ["9,999", "10.0 k", "123 k", "4.56 M", "45.6 M", "7.89 G"]);
    }

    #[test]
    fn ages_have_at_most_two_units() {
        let ages = [-5, 0, 59, 60, 3599, 3600, 7500, 86_400, 360_000].map(age);
        assert_eq!(ages, ["0 s", "0 s", "59 s", "1 min", "59 min", "1 h", "2 h 5 min", "1 d", "4 d 4 h"]);
    }

    #[test]
    fn lists_read_as_sentences() {
        let names = |count: usize| (0..count).map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!([0, 1, 2, 3].map(|count| list(&names(count))), ["", "0", "0 and 1", "0, 1 and 2"]);
        assert_eq!(list(&names(8)), "0, 1, 2, 3, 4 and 3 more");
    }
}

//! The settings of a Postgres session: what clients set when they connect and ask for later. Few of them change
//! anything; the others are remembered so that a client finds what it has set.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::PgError;

/// Settings that a session starts with. Those that depend on the server are put in by [`Settings::new`].
const DEFAULTS: [(&str, &str); 28] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "on"),
    ("extra_float_digits", "1"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "off"),
    ("lc_collate", "C"),
    ("lc_messages", "C"),
    ("lc_monetary", "C"),
    ("lc_numeric", "C"),
    ("lc_time", "C"),
    ("lock_timeout", "0"),
    ("max_identifier_length", "63"),
    ("row_security", "on"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version_num", "160006"),
    ("standard_conforming_strings", "on"),
    ("timezone", "UTC"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "on"),
];

/// Settings that only the server sets.
const FIXED: [&str; 8] = [
    "integer_datetimes",
    "is_superuser",
    "max_identifier_length",
    "server_encoding",
    "server_version",
    "server_version_num",
    "lc_collate",
    "session_authorization",
];

/// Settings of PostgreSQL's planner and of its storage that clients set: they have nothing to act on here.
const WITHOUT_EFFECT: [&str; 14] = [
    "backslash_quote",
    "check_function_bodies",
    "cursor_tuple_fraction",
    "default_text_search_config",
    "geqo",
    "jit",
    "max_parallel_workers_per_gather",
    "random_page_cost",
    "session_replication_role",
    "synchronize_seqscans",
    "synchronous_commit",
    "temp_buffers",
    "work_mem",
    "xmloption",
];

/// What a client is told when it has set something: nothing, or that it will not have the effect it may expect.
pub(super) type Notice = Option<String>;

/// The settings of one session.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    initial: BTreeMap<String, String>,
    current: BTreeMap<String, String>,
    timeout_max: Duration,
}

impl Settings {
    /// The settings of a session of this user; statements end after `timeout_max` whatever is set.
    pub fn new(user: &str, server_version: &str, timeout_max: Duration) -> Self {
        let mut initial: BTreeMap<String, String> =
            DEFAULTS.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        initial.insert("server_version".to_owned(), server_version.to_owned());
        initial.insert("session_authorization".to_owned(), user.to_owned());
        initial.insert("statement_timeout".to_owned(), in_milliseconds(timeout_max));
        Self { current: initial.clone(), initial, timeout_max }
    }

    /// The value of a setting.
    pub fn get(&self, name: &str) -> Result<&str, PgError> {
        let name = canonical(name);
        self.current.get(&name).map(String::as_str).ok_or_else(|| PgError::unknown_setting(&name))
    }

    /// All settings, by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.current.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Sets one; `DEFAULT` is `None`.
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<Notice, PgError> {
        let name = canonical(name);
        if FIXED.contains(&name.as_str()) {
            return Err(PgError::fixed_setting(&name));
        }
        let Some(value) = value else {
            self.reset(&name);
            return Ok(None);
        };
        let (value, notice) = self.judged(&name, value)?;
        self.current.insert(name, value);
        Ok(notice)
    }

    /// Makes what is set now what RESET goes back to: what the client asked for when it introduced itself.
    pub fn settle(&mut self) {
        self.initial.clone_from(&self.current);
    }

    /// Sets one back.
    pub fn reset(&mut self, name: &str) {
        let name = canonical(name);
        match self.initial.get(&name) {
            Some(value) => drop(self.current.insert(name, value.clone())),
            None => drop(self.current.remove(&name)),
        }
    }

    /// Sets all back.
    pub fn reset_all(&mut self) {
        self.current.clone_from(&self.initial);
    }

    /// The value to be kept, and what the client is told about it.
    fn judged(&self, name: &str, value: &str) -> Result<(String, Notice), PgError> {
        let kept = |value: &str| Ok((value.to_owned(), None));
        match name {
            "client_encoding" if !utf8(value) => {
                Err(PgError::setting_value(name, value, "only UTF8 is spoken"))
            }
            "standard_conforming_strings" if !on(value) => {
                Err(PgError::setting_value(name, value, "backslashes in strings are never escapes"))
            }
            "statement_timeout" => self.judged_timeout(value),
            "timezone" if utc(value) => kept("UTC"),
            "timezone" => Ok(("UTC".to_owned(), Some(format!("times stay in UTC, not in {value}")))),
            "datestyle" if !value.to_ascii_lowercase().contains("iso") => {
                Ok(("ISO, MDY".to_owned(), Some("dates stay in ISO 8601".to_owned())))
            }
            "transaction_read_only" | "default_transaction_read_only" if !on(value) => Ok((
                "on".to_owned(),
                Some("this session only reads; datasets are written by their hops".to_owned()),
            )),
            _ if self.initial.contains_key(name) => kept(value),
            _ if name.contains('.') || name.starts_with("enable_") || WITHOUT_EFFECT.contains(&name) => {
                kept(value)
            }
            _ => Err(PgError::unknown_setting(name)),
        }
    }

    fn judged_timeout(&self, value: &str) -> Result<(String, Notice), PgError> {
        let timeout = parse_timeout(value).ok_or_else(|| {
            PgError::setting_value(
                "statement_timeout",
                value,
                "expected milliseconds, or a number with ms, s or min",
            )
        })?;
        if timeout.is_zero() || timeout > self.timeout_max {
            let told = format!("statements end after {} here", in_milliseconds(self.timeout_max));
            return Ok((in_milliseconds(self.timeout_max), Some(told)));
        }
        Ok((in_milliseconds(timeout), None))
    }

    /// How long a statement may take.
    pub fn statement_timeout(&self) -> Duration {
        self.get("statement_timeout").ok().and_then(parse_timeout).unwrap_or(self.timeout_max)
    }

    /// The first schema of the search path.
    pub fn default_schema(&self) -> String {
        let path = self.current.get("search_path").map_or("public", String::as_str);
        let names = path.split(',').map(|name| name.trim().trim_matches(['"', '\'']));
        names
            .filter(|name| !name.is_empty() && *name != "$user")
            .map(str::to_owned)
            .next()
            .unwrap_or_else(|| "public".to_owned())
    }
}

/// Whether a setting is one that has nothing to act on here.
pub(super) fn without_effect(name: &str) -> bool {
    name.starts_with("enable_") || WITHOUT_EFFECT.contains(&name)
}

fn canonical(name: &str) -> String {
    let lower = name.trim().trim_matches('"').to_ascii_lowercase();
    match lower.as_str() {
        "time zone" | "time.zone" => "timezone".to_owned(),
        "names" => "client_encoding".to_owned(),
        "transaction isolation level" | "transaction.isolation.level" => "transaction_isolation".to_owned(),
        "session authorization" | "session.authorization" => "session_authorization".to_owned(),
        _ => lower,
    }
}

fn utf8(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().replace('-', "").as_str(), "utf8" | "unicode")
}

fn utc(value: &str) -> bool {
    matches!(
        value.to_ascii_lowercase().as_str(),
        "utc"
            | "etc/utc"
            | "gmt"
            | "etc/gmt"
            | "zulu"
            | "universal"
            | "uct"
            | "0"
            | "+00"
            | "+00:00"
            | "default"
            | "local"
    )
}

fn on(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "on" | "true" | "yes" | "1" | "t" | "y")
}

fn in_milliseconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

fn parse_timeout(value: &str) -> Option<Duration> {
    let value = value.trim();
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let milliseconds = match unit.trim() {
        "" | "ms" => number,
        "s" => number.checked_mul(1_000)?,
        "min" => number.checked_mul(60_000)?,
        "h" => number.checked_mul(3_600_000)?,
        _ => return None,
    };
    Some(Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use super::*;

    fn settings() -> Settings {
        Settings::new("me", "16.6", Duration::from_secs(600))
    }

    #[test]
    fn what_is_set_is_found_again() {
        let mut settings = settings();
        assert_eq!(settings.set("Application_Name", Some("psql")).unwrap(), None);
        assert_eq!(settings.get("application_name").unwrap(), "psql");
        settings.reset("application_name");
        assert_eq!(settings.get("application_name").unwrap(), "");
        assert_eq!(settings.set("my.own", Some("x")).unwrap(), None);
        settings.reset_all();
        assert!(settings.get("my.own").is_err());
    }

    #[test]
    fn what_would_mislead_is_refused_or_told() {
        let mut settings = settings();
        assert!(settings.set("client_encoding", Some("LATIN1")).is_err());
        assert!(settings.set("client_encoding", Some("utf-8")).is_ok());
        assert!(settings.set("server_version", Some("9")).is_err());
        assert!(settings.set("no_such_setting", Some("1")).is_err());
        assert!(settings.set("TIME ZONE", Some("Europe/Berlin")).unwrap().is_some());
        assert_eq!(settings.get("timezone").unwrap(), "UTC");
        assert!(settings.set("default_transaction_read_only", Some("off")).unwrap().is_some());
        assert_eq!(settings.get("default_transaction_read_only").unwrap(), "on");
    }

    #[test]
    fn a_statement_ends_within_the_limit() {
        let mut settings = settings();
        let mut set = |value| {
            settings.set("statement_timeout", Some(value)).unwrap();
            settings.statement_timeout()
        };
        assert_eq!(set("250"), Duration::from_millis(250));
        assert_eq!(set("2s"), Duration::from_secs(2));
        assert_eq!(set("1 min"), Duration::from_secs(60));
        assert_eq!(set("0"), Duration::from_secs(600));
        assert_eq!(set("24h"), Duration::from_secs(600));
        assert!(settings.set("statement_timeout", Some("soon")).is_err());
    }

    #[test]
    fn names_are_looked_up_in_the_first_schema_of_the_path() {
        let mut settings = settings();
        assert_eq!(settings.default_schema(), "public");
        settings.set("search_path", Some("\"$user\", shop, public")).unwrap();
        assert_eq!(settings.default_schema(), "shop");
    }
}

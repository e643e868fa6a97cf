//! Faults injected into object storage, for tests.
//!
//! The variable `FLOWLINE_FAULTS` of the node holds the faults of every layer, as `key=value` pairs joined by `;`:
//!
//! ```text
//! seed=7;lake.put=error-before:0.02,error-after:0.01,error-during:0.01,denied@120,full@200+,slow:0.05:200ms;log.…
//! ```
//!
//! * `seed=N`: where chance starts; 0 when absent.
//! * `lake.OP[/TEXT]=FAULT,FAULT…`: faults of an operation of the object store: `get`, `put`, `list`, `delete`, `copy`,
//!   or `any`; with `/TEXT` only on paths that contain the text (`lake.put/_delta_log` for commits).
//! * Each fault is `error-before` (nothing was done), `error-after` (it was done, and fails nevertheless),
//!   `error-during` (half of it was done), `denied`, `full` or `slow`, and then says when: `:P` with this probability,
//!   `@N` at the N-th such call (from 1), `@N+` at the N-th and every later one. `slow` ends with `:DURATION`
//!   (`200ms`, `2s`).
//! * `log.…` belongs to the log and is passed over here.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flowline_base::Random;
use parking_lot::Mutex;

use crate::LakeError;

/// The variable that holds the faults.
pub const VARIABLE: &str = "FLOWLINE_FAULTS";

/// What is asked of the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreOp {
    /// Reading an object or a part of it.
    Get,
    /// Writing an object, whole or a part of it.
    Put,
    /// Listing a folder.
    List,
    /// Deleting an object.
    Delete,
    /// Copying or renaming an object.
    Copy,
}

/// What happens instead of, or besides, the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and nothing was done.
    ErrorBefore,
    /// It is done and fails nevertheless.
    ErrorAfter,
    /// A part of it is done, then it fails.
    ErrorDuring,
    /// The storage refuses it.
    Denied,
    /// The storage is full.
    Full,
    /// It is done, late.
    Slow(Duration),
}

/// Decides which operations fail.
pub trait FaultInjector: Send + Sync + Debug {
    /// The fault of this operation on this path, if it has one. Asked once for each call to the storage.
    fn fault(&self, op: StoreOp, path: &str) -> Option<Fault>;
}

/// The faults that the variable `FLOWLINE_FAULTS` asks of the lake; none when it is not set. Logs a warning when it is.
pub fn from_env() -> Result<Option<Arc<dyn FaultInjector>>, LakeError> {
    match std::env::var(VARIABLE) {
        Ok(text) if !text.trim().is_empty() => {
            let faults = ScriptedFaults::parse(&text)?;
            tracing::warn!(faults = %text, "FAULTS ARE INJECTED into object storage because {VARIABLE} is set: for tests only");
            Ok(Some(Arc::new(faults)))
        }
        _ => Ok(None),
    }
}

/// Faults by chance and by count, as the variable writes them; the same text gives the same faults again.
#[derive(Debug)]
pub struct ScriptedFaults {
    random: Mutex<Random>,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    op: Option<StoreOp>,
    path: String,
    fault: Fault,
    when: When,
    calls: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    Chance(f64),
    At(u64),
    From(u64),
}

impl ScriptedFaults {
    /// Reads the text; see the module for its grammar.
    ///
    /// # Errors
    /// [`LakeError::Settings`] with the part that cannot be read.
    pub fn parse(text: &str) -> Result<Self, LakeError> {
        let (mut seed, mut rules) = (0, Vec::new());
        for pair in text.split(';').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| wrong(pair, "expected `key=value`"))?;
            if key == "seed" {
                seed = value.parse().map_err(|_| wrong(pair, "the seed is a number"))?;
            } else if let Some(key) = key.strip_prefix("lake.") {
                let (op, path) = key.split_once('/').unwrap_or((key, ""));
                let op = parse_op(op)
                    .ok_or_else(|| wrong(pair, "operations are get, put, list, delete, copy and any"))?;
                for fault in value.split(',') {
                    rules.push(parse_rule(op, path, fault)?);
                }
            } else if !key.starts_with("log.") {
                return Err(wrong(pair, "keys are seed, lake.… and log.…"));
            }
        }
        Ok(Self { random: Mutex::new(Random::seeded(seed)), rules })
    }
}

impl FaultInjector for ScriptedFaults {
    fn fault(&self, op: StoreOp, path: &str) -> Option<Fault> {
        let mut fault = None;
        for rule in &self.rules {
            if rule.op.is_some_and(|wanted| wanted != op) || !path.contains(&rule.path) {
                continue;
            }
            let call = rule.calls.fetch_add(1, Ordering::Relaxed) + 1;
            let strikes = match rule.when {
                When::Chance(probability) => self.random.lock().chance(probability),
                When::At(at) => call == at,
                When::From(from) => call >= from,
            };
            if strikes && fault.is_none() {
                fault = Some(rule.fault);
            }
        }
        fault
    }
}

fn parse_op(text: &str) -> Option<Option<StoreOp>> {
    Some(Some(match text {
        "get" => StoreOp::Get,
        "put" => StoreOp::Put,
        "list" => StoreOp::List,
        "delete" => StoreOp::Delete,
        "copy" => StoreOp::Copy,
        "any" => return Some(None),
        _ => return None,
    }))
}

fn parse_rule(op: Option<StoreOp>, path: &str, text: &str) -> Result<Rule, LakeError> {
    let split =
        text.find([':', '@']).ok_or_else(|| wrong(text, "expected `fault:probability` or `fault@call`"))?;
    let (name, rest) = text.split_at(split);
    let (when, duration) = match rest[1..].split_once(':') {
        Some((when, duration)) => (when, Some(duration)),
        None => (&rest[1..], None),
    };
    let when = parse_when(rest.starts_with('@'), when)
        .ok_or_else(|| wrong(text, "this is neither a probability nor a call"))?;
    let fault = match (name, duration.map(parse_duration)) {
        ("error-before", None) => Fault::ErrorBefore,
        ("error-after", None) => Fault::ErrorAfter,
        ("error-during", None) => Fault::ErrorDuring,
        ("denied", None) => Fault::Denied,
        ("full", None) => Fault::Full,
        ("slow", Some(Some(by))) => Fault::Slow(by),
        _ => {
            return Err(wrong(
                text,
                "faults are error-before, error-after, error-during, denied, full and slow:…:DURATION",
            ));
        }
    };
    Ok(Rule { op, path: path.to_owned(), fault, when, calls: AtomicU64::new(0) })
}

fn parse_when(counted: bool, text: &str) -> Option<When> {
    if !counted {
        return text.parse().ok().filter(|chance| (0.0..=1.0).contains(chance)).map(When::Chance);
    }
    match text.strip_suffix('+') {
        Some(from) => from.parse().ok().map(When::From),
        None => text.parse().ok().map(When::At),
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    if let Some(number) = text.strip_suffix("ms") {
        return number.parse().ok().map(Duration::from_millis);
    }
    text.strip_suffix('s').and_then(|number| number.parse().ok()).map(Duration::from_secs)
}

fn wrong(text: &str, reason: &str) -> LakeError {
    LakeError::Settings { reason: format!("`{text}` in {VARIABLE} cannot be read: {reason}") }
}

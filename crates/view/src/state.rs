//! The state of a hop in one word.

use flowline_model::Outcome;
use serde::{Deserialize, Serialize};

/// Records that wait no longer than this are under way, not waiting: landing flushes every two seconds, transforms
/// start within some.
pub const WAITING_AFTER_SECONDS: i64 = 30;

/// How a hop stands, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HopState {
    /// The run that ended last failed.
    Failed,
    /// Its rows are older than its service level allows.
    Stale,
    /// It has input that it has not taken up for longer than [`WAITING_AFTER_SECONDS`].
    Waiting,
    /// It has never run, and nothing waits for it; of a view: nothing that it reads has ever run.
    Never,
    /// None of the above.
    Ok,
}

impl HopState {
    /// The word in tables and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Stale => "stale",
            Self::Waiting => "waiting",
            Self::Never => "never",
            Self::Ok => "ok",
        }
    }
}

/// What the state of a hop follows from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HopFacts {
    /// How the run that ended last did; none before the first. One under way changes nothing until it ends.
    pub last_outcome: Option<Outcome>,
    /// Of a view, which never runs itself: something that it reads has.
    pub inputs_ran: bool,
    /// How long the oldest input that is not taken up has been waiting; none when nothing waits or nobody can tell.
    pub lag_seconds: Option<i64>,
    /// Age of the newest commit; none before the first.
    pub freshness_seconds: Option<i64>,
    /// The age that the service level allows.
    pub freshness_within_seconds: Option<i64>,
}

/// The state of a hop. The worst that holds is the answer, so that one word never hides a failure.
pub fn hop_state(facts: &HopFacts) -> HopState {
    let stale = match (facts.freshness_seconds, facts.freshness_within_seconds) {
        (Some(age), Some(allowed)) => age > allowed,
        _ => false,
    };
    let waiting = facts.lag_seconds.is_some_and(|lag| lag > WAITING_AFTER_SECONDS);
    let ran = facts.last_outcome.is_some() || facts.inputs_ran || facts.freshness_seconds.is_some();
    match facts.last_outcome {
        Some(Outcome::Failed) => HopState::Failed,
        _ if stale => HopState::Stale,
        _ if waiting => HopState::Waiting,
        _ if ran => HopState::Ok,
        _ => HopState::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: Option<Outcome> = Some(Outcome::Succeeded);
    const FAILED: Option<Outcome> = Some(Outcome::Failed);

    fn check(
        last_outcome: Option<Outcome>,
        lag: Option<i64>,
        age: Option<i64>,
        allowed: Option<i64>,
    ) -> &'static str {
        hop_state(&HopFacts {
            last_outcome,
            inputs_ran: false,
            lag_seconds: lag,
            freshness_seconds: age,
            freshness_within_seconds: allowed,
        })
        .as_str()
    }

    #[test]
    fn the_worst_that_holds_is_the_answer() {
        let cases = [
            // last outcome, lag, age, allowed, state
            (None, None, None, None, "never"),
            (None, None, None, Some(60), "never"),
            (None, Some(5), None, None, "never"),
            (None, Some(31), None, None, "waiting"),
            (OK, None, Some(1), None, "ok"),
            (OK, Some(0), Some(1), Some(60), "ok"),
            (OK, Some(30), Some(1), Some(60), "ok"),
            (OK, Some(31), Some(1), Some(60), "waiting"),
            (OK, None, Some(60), Some(60), "ok"),
            (OK, None, Some(61), Some(60), "stale"),
            (OK, Some(900), Some(900), Some(60), "stale"),
            (OK, None, Some(1_000_000), None, "ok"),
            // Ran and found nothing: no commit, hence no age.
            (OK, None, None, Some(60), "ok"),
            (FAILED, None, None, None, "failed"),
            (FAILED, Some(900), Some(900), Some(60), "failed"),
            // A table that was committed by a run that retention has removed.
            (None, None, Some(5), Some(60), "ok"),
        ];
        for (outcome, lag, age, allowed, expected) in cases {
            assert_eq!(
                check(outcome, lag, age, allowed),
                expected,
                "outcome {outcome:?}, lag {lag:?}, age {age:?}, allowed {allowed:?}"
            );
        }
    }

    #[test]
    fn states_sort_worst_first() {
        let mut states =
            [HopState::Ok, HopState::Waiting, HopState::Failed, HopState::Never, HopState::Stale];
        states.sort();
        assert_eq!(states.map(HopState::as_str), ["failed", "stale", "waiting", "never", "ok"]);
    }
}

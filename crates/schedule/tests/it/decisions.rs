//! Single decisions.

use std::time::Duration;

use flowline_schedule::{HopState, Pending, Settings, due, wake_at};

use crate::{at, hop};

/// What is started, in order: `hop because of trigger`.
fn started(states: &[HopState], seconds: i64, settings: &Settings) -> Vec<String> {
    let due = due(states, at(seconds), settings);
    due.iter().map(|due| format!("{} {}", due.hop.name(), due.trigger.as_str())).collect()
}

fn many() -> Settings {
    Settings { concurrency: 10, ..Settings::default() }
}

#[test]
fn a_hop_runs_when_an_input_has_a_version_that_it_has_not_read() {
    let states = [
        hop("read", &[("a", Some(3), Some(3))]),
        hop("new", &[("a", Some(4), Some(3)), ("b", Some(1), Some(1))]),
        hop("appeared", &[("a", Some(3), Some(3)), ("b", Some(0), None)]),
        hop("missing", &[("a", Some(3), Some(3)), ("b", None, None)]),
        hop("anew", &[("a", Some(0), Some(7))]),
        hop("none", &[("a", None, None)]),
    ];
    assert_eq!(started(&states, 0, &many()), ["anew new-version", "appeared new-version", "new new-version"]);
}

#[test]
fn first_runs_and_changed_definitions_run_once_there_is_something_to_read() {
    let first = |mut state: HopState| {
        state.first_run = true;
        state
    };
    let mut changed = hop("changed", &[("a", Some(1), Some(1))]);
    changed.definition_changed = true;
    let states = [
        first(hop("first", &[("a", Some(1), None), ("b", None, None)])),
        first(hop("waiting", &[("a", None, None)])),
        first(hop("constant", &[])),
        hop("constant_done", &[]),
        changed,
    ];
    assert_eq!(
        started(&states, 0, &many()),
        ["changed sql-changed", "constant first-run", "first first-run"]
    );
}

#[test]
fn never_more_at_once_than_there_is_room_for_and_never_one_twice() {
    let mut states: Vec<HopState> =
        ["a", "b", "c", "d"].iter().map(|name| hop(name, &[("x", Some(2), Some(1))])).collect();
    let settings = Settings { concurrency: 2, ..Settings::default() };
    states[3].pending_since = Some(at(-10));
    assert_eq!(started(&states, 0, &settings), ["d new-version", "a new-version"]);
    states[3].running = true;
    assert_eq!(started(&states, 0, &settings), ["a new-version"]);
    states[0].running = true;
    assert!(started(&states, 0, &settings).is_empty());
    assert_eq!(started(&states, 0, &Settings { concurrency: 0, ..settings }), [] as [&str; 0]);
}

#[test]
fn a_hop_waits_for_those_upstream_but_not_forever() {
    let mut states = [
        hop("first", &[("x", Some(2), Some(1))]),
        hop("second", &[("first", Some(1), Some(1))]),
        hop("last", &[("x", Some(2), Some(1)), ("second", Some(1), Some(1))]),
    ];
    let settings = Settings { upstream_wait_max: Duration::from_secs(60), ..many() };
    let mut pending = Pending::default();
    pending.observe(&mut states, at(0));
    assert_eq!(started(&states, 0, &settings), ["first new-version"]);
    states[0].running = true;
    pending.observe(&mut states, at(59));
    assert!(started(&states, 59, &settings).is_empty());
    assert_eq!(wake_at(&states, at(59), &settings), Some(at(60)));
    assert_eq!(started(&states, 60, &settings), ["last new-version"]);
}

#[test]
fn one_that_failed_is_not_waited_for() {
    let mut first = hop("first", &[("x", Some(2), Some(1))]);
    (first.failures, first.finished_at) = (3, Some(at(-1)));
    let states = [first, hop("last", &[("x", Some(2), Some(1)), ("first", Some(1), Some(1))])];
    assert_eq!(started(&states, 0, &many()), ["last new-version"]);
}

#[test]
fn failures_are_waited_out_longer_and_longer_up_to_the_cap() {
    let settings =
        Settings { backoff_first: Duration::from_secs(2), backoff_max: Duration::from_secs(300), ..many() };
    for failures in 1..100u32 {
        let mut state = hop("a", &[("x", Some(2), Some(1))]);
        (state.failures, state.finished_at) = (failures, Some(at(0)));
        let states = [state];
        let until = wake_at(&states, at(0), &settings).unwrap();
        let waited = (until - at(0)).to_std().unwrap();
        let step =
            Duration::from_secs(2).saturating_mul(1 << (failures - 1).min(20)).min(Duration::from_secs(300));
        assert!(waited >= step / 2 && waited <= step, "{failures} failures wait {waited:?}");
        assert_eq!(due(&states, until - chrono::TimeDelta::milliseconds(1), &settings), []);
        assert_eq!(due(&states, until, &settings).len(), 1);
        assert_eq!(wake_at(&states, until, &settings), None);
    }
}

#[test]
fn jitter_differs_between_hops_and_seeds_and_not_between_calls() {
    let until = |name: &str, seed: u64| {
        let mut state = hop(name, &[("x", Some(2), Some(1))]);
        (state.failures, state.finished_at) = (9, Some(at(0)));
        wake_at(&[state], at(0), &Settings { seed, ..many() }).unwrap()
    };
    assert_eq!(until("a", 1), until("a", 1));
    assert_ne!(until("a", 1), until("b", 1));
    assert_ne!(until("a", 1), until("a", 2));
}

#[test]
fn a_circle_that_nobody_should_have_made_ends_as_well() {
    let states = [hop("a", &[("b", Some(2), Some(1))]), hop("b", &[("a", Some(2), Some(1))])];
    assert!(started(&states, 0, &many()).is_empty(), "each waits for the other");
    let mut waited = states.clone();
    waited.iter_mut().for_each(|state| state.pending_since = Some(at(-60)));
    assert_eq!(started(&waited, 0, &many()).len(), 2);
}

//! Whole flows, simulated: random graphs, commits, failures and run times. Whatever happens, no hop runs twice at
//! once, no more run than may, none is forgotten, and once nothing more comes in everything is read.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use flowline_base::Random;
use flowline_model::DatasetName;
use flowline_schedule::{HopState, InputState, Pending, Settings, due, wake_at};
use proptest::prelude::*;

use crate::{at, name};

/// A table: its version, and when that was committed.
type Versions = BTreeMap<DatasetName, i64>;

struct Flow {
    random: Random,
    settings: Settings,
    now: DateTime<Utc>,
    sources: Vec<DatasetName>,
    hops: Vec<Hop>,
    versions: Versions,
    pending: Pending,
    failing: f64,
    /// Runs that were started.
    runs: usize,
}

struct Hop {
    state: HopState,
    /// When the run under way ends, and the versions that it reads.
    run: Option<(DateTime<Utc>, Vec<Option<i64>>)>,
}

impl Flow {
    fn new(seed: u64, sources: usize, hops: usize, concurrency: usize, failing: f64) -> Self {
        let mut random = Random::seeded(seed);
        let sources: Vec<DatasetName> = (0..sources).map(|index| name(&format!("s{index}"))).collect();
        let mut known = sources.clone();
        let mut all = Vec::new();
        for index in 0..hops {
            let hop = name(&format!("h{index}"));
            let mut inputs: Vec<DatasetName> =
                (0..1 + random.below(3)).map(|_| random.choose(&known).unwrap().clone()).collect();
            inputs.sort();
            inputs.dedup();
            let input = |input| InputState { input, version: None, consumed: None };
            let state = HopState {
                hop: hop.clone(),
                inputs: inputs.into_iter().map(input).collect(),
                first_run: true,
                definition_changed: false,
                time_passed: false,
                running: false,
                failures: 0,
                finished_at: None,
                pending_since: None,
            };
            all.push(Hop { state, run: None });
            known.push(hop);
        }
        let settings = Settings {
            concurrency,
            backoff_first: Duration::from_secs(2),
            backoff_max: Duration::from_secs(30),
            upstream_wait_max: Duration::from_secs(20),
            seed,
        };
        Self {
            random,
            settings,
            now: at(0),
            sources,
            hops: all,
            versions: Versions::new(),
            pending: Pending::default(),
            failing,
            runs: 0,
        }
    }

    fn states(&mut self) -> Vec<HopState> {
        let mut states: Vec<HopState> = Vec::new();
        for hop in &mut self.hops {
            for input in &mut hop.state.inputs {
                input.version = self.versions.get(&input.input).copied();
            }
            hop.state.running = hop.run.is_some();
            states.push(hop.state.clone());
        }
        self.pending.observe(&mut states, self.now);
        states
    }

    /// Ends runs, lets sources commit, starts what is due. One second goes by.
    fn step(&mut self, sources_commit: bool) -> Result<(), TestCaseError> {
        self.now += chrono::TimeDelta::seconds(1);
        if sources_commit && self.random.chance(0.4) {
            let source = self.random.choose(&self.sources).unwrap().clone();
            *self.versions.entry(source).or_insert(-1) += 1;
        }
        self.end_runs();
        let states = self.states();
        let started = due(&states, self.now, &self.settings);
        for due in &started {
            let lasts = 1 + self.random.below(6) as i64;
            let ends = self.now + chrono::TimeDelta::seconds(lasts);
            let hop = self.hops.iter_mut().find(|hop| hop.state.hop == due.hop).unwrap();
            prop_assert!(hop.run.is_none(), "{} is started while it runs", due.hop);
            hop.run = Some((ends, hop.state.inputs.iter().map(|input| input.version).collect()));
            self.runs += 1;
        }
        let running = self.hops.iter().filter(|hop| hop.run.is_some()).count();
        prop_assert!(running <= self.settings.concurrency, "{running} run at once");
        if let Some(wake_at) = wake_at(&states, self.now, &self.settings) {
            prop_assert!(wake_at > self.now, "woken for nothing");
        }
        let longest = self.settings.backoff_max.max(self.settings.upstream_wait_max).as_secs() as i64;
        // A hop waits out what holds it back, and then for its turn among the others.
        let patience = longest + 8 * (self.hops.len() as i64 + 1);
        for state in states.iter().filter(|state| state.failures == 0) {
            let waited = state.pending_since.map_or(0, |since| (self.now - since).num_seconds());
            prop_assert!(waited <= patience, "{} waits for {waited} seconds", state.hop);
        }
        Ok(())
    }

    fn end_runs(&mut self) {
        for hop in &mut self.hops {
            let Some((_, read)) = hop.run.take_if(|(ends, _)| *ends <= self.now) else { continue };
            hop.state.finished_at = Some(self.now);
            if self.random.chance(self.failing) {
                hop.state.failures += 1;
                continue;
            }
            hop.state.failures = 0;
            hop.state.first_run = false;
            for (input, version) in hop.state.inputs.iter_mut().zip(read) {
                input.consumed = version;
            }
            *self.versions.entry(hop.state.hop.clone()).or_insert(-1) += 1;
        }
    }

    /// Whether nothing runs and nothing is left to read.
    fn quiet(&mut self) -> bool {
        self.states().iter().all(|state| !state.running && state.reason().is_none())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn everything_is_read_in_the_end(
        seed: u64,
        sources in 1usize..4,
        hops in 1usize..9,
        concurrency in 1usize..4,
        failing in prop_oneof![Just(0.0), Just(0.3), Just(0.7)],
    ) {
        let mut flow = Flow::new(seed, sources, hops, concurrency, failing);
        for _ in 0..200 {
            flow.step(true)?;
        }
        flow.failing = 0.0;
        let mut steps = 0;
        while !flow.quiet() {
            flow.step(false)?;
            steps += 1;
            prop_assert!(steps < 2_000, "not quiet after {steps} seconds");
        }
    }

    #[test]
    fn the_same_facts_give_the_same_decision(seed: u64, hops in 1usize..9) {
        let mut flow = Flow::new(seed, 2, hops, 2, 0.3);
        for _ in 0..50 {
            flow.step(true)?;
            let states = flow.states();
            prop_assert_eq!(due(&states, flow.now, &flow.settings), due(&states, flow.now, &flow.settings));
            let mut turned: Vec<HopState> = states.clone();
            turned.reverse();
            prop_assert_eq!(due(&states, flow.now, &flow.settings), due(&turned, flow.now, &flow.settings));
        }
    }
}

/// A change that reaches one hop over many paths runs it once, not once for each path.
#[test]
fn a_diamond_is_computed_once() {
    let mut flow = Flow::new(1, 1, 0, 4, 0.0);
    let source = flow.sources[0].clone();
    let input = |input: &DatasetName| InputState { input: input.clone(), version: None, consumed: None };
    let mut hop = |of: &str, inputs: &[&DatasetName]| {
        let mut state = crate::hop(of, &[]);
        state.first_run = true;
        state.inputs = inputs.iter().map(|name| input(name)).collect();
        flow.hops.push(Hop { state, run: None });
        name(of)
    };
    let (left, right) = (hop("left", &[&source]), hop("right", &[&source]));
    let deeper = hop("deeper", &[&right]);
    hop("joined", &[&source, &left, &deeper]);
    for round in 0..5 {
        *flow.versions.entry(source.clone()).or_insert(-1) += 1;
        let before = flow.runs;
        for _ in 0..60 {
            flow.step(false).unwrap();
        }
        assert!(flow.quiet());
        assert_eq!(flow.runs - before, 4, "round {round}");
    }
}

//! Whatever the order in which runs are offered, and however often, the sums are the same.

use std::collections::{BTreeMap, BTreeSet};

use flowline_ledger::connect;
use flowline_ledger::contract::samples::{failed, landing, running};
use flowline_model::{Counts, Run, RunKind};
use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
enum Offer {
    Start,
    GiveUp,
    Record,
}

/// Runs of three hops over consecutive ranges, and some of them offered again in any order.
fn offers() -> impl Strategy<Value = (Vec<Run>, Vec<(usize, Offer)>)> {
    let run =
        (0..3usize, 0..50i64, 0..5u64, prop_oneof![4 => Just(RunKind::Land), 1 => Just(RunKind::Replay)]);
    let offer = prop_oneof![1 => Just(Offer::Start), 1 => Just(Offer::GiveUp), 4 => Just(Offer::Record)];
    (prop::collection::vec(run, 1..10), prop::collection::vec((any::<prop::sample::Index>(), offer), 1..40))
        .prop_map(|(shapes, order)| {
            let mut next = [0i64; 3];
            let runs: Vec<Run> = shapes
                .into_iter()
                .enumerate()
                .map(|(version, (hop, length, quarantined, kind))| {
                    let from = next[hop];
                    next[hop] += length;
                    let mut run =
                        landing(["orders", "events", "views"][hop], from, from + length, version as i64);
                    run.kind = kind;
                    run.counts.quarantined = quarantined.min(run.counts.read);
                    run.counts.written -= run.counts.quarantined;
                    run
                })
                .collect();
            let count = runs.len();
            (runs, order.into_iter().map(|(index, offer)| (index.index(count), offer)).collect())
        })
}

/// What the totals must be: the sums over the runs that were recorded at least once.
fn expected(runs: &[Run], order: &[(usize, Offer)]) -> BTreeMap<String, (u64, Counts)> {
    let recorded: BTreeSet<usize> =
        order.iter().filter(|(_, offer)| matches!(offer, Offer::Record)).map(|(index, _)| *index).collect();
    let mut sums = BTreeMap::new();
    for index in recorded {
        let sum: &mut (u64, Counts) = sums.entry(runs[index].hop.to_string()).or_default();
        sum.0 += 1;
        sum.1.add(&runs[index].counts);
    }
    sums
}

async fn play(runs: &[Run], order: &[(usize, Offer)]) -> (BTreeMap<String, (u64, Counts)>, String) {
    let ledger = connect("sqlite::memory:").await.unwrap();
    for (index, offer) in order {
        let run = runs[*index].clone();
        match offer {
            Offer::Start => ledger.start_run(&running(run)).await.unwrap(),
            Offer::GiveUp => drop(ledger.record_run(&failed(run), &[], &[]).await.unwrap()),
            Offer::Record => drop(ledger.record_run(&run, &[], &[]).await.unwrap()),
        }
    }
    let totals = ledger.totals().await.unwrap();
    let sums =
        totals.into_iter().map(|totals| (totals.hop.to_string(), (totals.runs, totals.counts))).collect();
    let commits = ledger.latest_commits().await.unwrap();
    (sums, format!("{:?} {commits:?}", ledger.positions(None).await.unwrap()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_any_repeats_give_the_same_totals((runs, order) in offers()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (sums, rest) = runtime.block_on(play(&runs, &order));
        prop_assert_eq!(&sums, &expected(&runs, &order));
        let reversed: Vec<_> = order.iter().rev().copied().collect();
        prop_assert_eq!(runtime.block_on(play(&runs, &reversed)), (sums, rest));
    }
}

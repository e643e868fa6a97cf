//! Windows that are like those before, and windows that are not.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use proptest::prelude::*;

use super::*;

/// A fair enough source of numbers between 0 and 1, the same each time.
fn noise(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Rows of an amount and a state, from `change` on made by another rule.
fn rows(
    count: usize,
    seed: u64,
    change: usize,
    altered: impl Fn(&mut Option<f64>, &mut String),
) -> RecordBatch {
    let mut random = noise(seed);
    let states = ["new", "paid", "sent", "back"];
    let (mut amounts, mut texts) = (Vec::new(), Vec::new());
    for row in 0..count {
        let mut amount = Some((random() * 4.0).exp() * 10.0);
        let mut state = states[(random() * 4.0) as usize].to_owned();
        if row >= change {
            altered(&mut amount, &mut state);
        }
        amounts.push(amount);
        texts.push(state);
    }
    let columns: [(&str, ArrayRef); 2] =
        [("amount", Arc::new(Float64Array::from(amounts))), ("state", Arc::new(StringArray::from(texts)))];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

/// Every signal of these rows with the row that it begins with.
fn signals(rows: &RecordBatch) -> Vec<(usize, Signal)> {
    let types: Vec<DataType> = rows.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    let mut baseline = Baseline::new(&types, None);
    let (mut found, mut previous) = (Vec::new(), None::<RecordBatch>);
    for start in (0..rows.num_rows() - WINDOW_ROWS + 1).step_by(WINDOW_ROWS) {
        let window = rows.slice(start, WINDOW_ROWS);
        let before = previous.as_ref().map_or(0, RecordBatch::num_rows);
        for signal in baseline.observe(&window, previous.as_ref()) {
            found.push((start + signal.first - before, signal));
        }
        previous = Some(window);
    }
    found
}

fn first(found: &[(usize, Signal)]) -> (usize, &SignalKind) {
    let (at, signal) = found.first().expect("something is found");
    (*at, &signal.kind)
}

#[test]
fn nulls_that_grow_are_found_where_they_begin() {
    let found = signals(&rows(10_000, 1, 6_789, |amount, _| *amount = None));
    let (at, kind) = first(&found);
    assert_eq!((at, found[0].1.column), (6_789, 0));
    assert!(matches!(kind, SignalKind::Nulls { before, now } if *before == 0.0 && *now == 1.0), "{kind:?}");
    assert_eq!(found.len(), (10_000 - 6_789) / WINDOW_ROWS + 1, "and for as long as they are there");
}

#[test]
fn another_unit_is_found_with_its_factor() {
    for (factor, off) in [(1_000.0, 0), (100.0, 4), (0.01, 4), (1.0 / 60.0, 6)] {
        let found =
            signals(&rows(10_000, 2, 7_321, |amount, _| *amount = amount.map(|amount| amount * factor)));
        let (at, kind) = first(&found);
        assert!(at.abs_diff(7_321) <= off, "{factor}: {at}");
        let SignalKind::Unit { factor: found } = kind else { panic!("{kind:?}") };
        assert!((found / factor - 1.0).abs() < 0.25, "{factor}: {found}");
    }
}

#[test]
fn numbers_of_another_shape_are_no_unit() {
    let found = signals(&rows(10_000, 3, 6_000, |amount, _| *amount = Some(700.0)));
    assert_eq!(found, []);
}

#[test]
fn values_that_none_had_are_found_and_compared() {
    let found = signals(&rows(10_000, 4, 8_250, |_, state| *state = state.to_uppercase()));
    let (at, kind) = first(&found);
    let SignalKind::Values { new, known, like } = kind else { panic!("{kind:?}") };
    assert_eq!((at, new.len(), *known), (8_250, 4, 4));
    assert_eq!(like.as_deref().map(str::to_uppercase), Some(new[0].0.clone()));
}

#[test]
fn a_column_of_many_values_has_no_new_ones() {
    let names = StringArray::from((0..10_000).map(|row| format!("name {row}")).collect::<Vec<_>>());
    let rows = RecordBatch::try_from_iter([("name", Arc::new(names) as ArrayRef)]).unwrap();
    assert_eq!(signals(&rows), []);
}

#[test]
fn nothing_is_said_before_enough_is_known() {
    let early = WINDOW_ROWS * WINDOWS_MIN as usize - 1;
    assert_eq!(signals(&rows(early, 5, 1_000, |amount, _| *amount = None)), []);
}

#[test]
fn what_lasts_becomes_normal_where_it_may() {
    let rows = rows(20_000, 6, 5_000, |amount, _| *amount = None);
    let types: Vec<DataType> = rows.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    let mut baseline = Baseline::new(&types, Some(10));
    let mut told = 0;
    let mut previous = None;
    for start in (0..20_000).step_by(WINDOW_ROWS) {
        let window = rows.slice(start, WINDOW_ROWS);
        told += baseline.observe(&window, previous.as_ref()).len();
        previous = Some(window);
    }
    assert_eq!(told, 11);
}

proptest! {
    /// Rows that are made by one rule throughout never alarm.
    #[test]
    fn steady_rows_are_steady(seed in any::<u64>()) {
        prop_assert_eq!(signals(&rows(8_000, seed, usize::MAX, |_, _| {})), vec![]);
    }

    /// Whatever arrays hold, they are looked at without panic.
    #[test]
    fn any_rows_are_looked_at(values in prop::collection::vec(prop::option::of(any::<f64>()), WINDOW_ROWS * 8)) {
        let rows = RecordBatch::try_from_iter_with_nullable([("x", Arc::new(Float64Array::from(values)) as ArrayRef, true)]).unwrap();
        signals(&rows);
    }
}

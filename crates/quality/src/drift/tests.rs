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
        let at = DateTime::from_timestamp(7_200 * (start / WINDOW_ROWS) as i64, 0).unwrap();
        for signal in baseline.observe(&window, previous.as_ref(), at) {
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

/// Temperatures, in degrees Celsius, some below zero.
fn celsius(row: usize, random: &mut impl FnMut() -> f64) -> f64 {
    let noise = (0..6).map(|_| random()).sum::<f64>() - 3.0;
    12.0 + 8.0 * noise + (row % 3_000) as f64 / 3_000.0
}

fn temperatures(count: usize, seed: u64, of: impl Fn(usize, f64) -> Option<f64>) -> RecordBatch {
    let mut random = noise(seed);
    let values: Float64Array = (0..count).map(|row| of(row, celsius(row, &mut random))).collect();
    RecordBatch::try_from_iter_with_nullable([("t", Arc::new(values) as ArrayRef, true)]).unwrap()
}

#[test]
fn another_zero_point_is_found_where_it_begins() {
    let found = signals(&temperatures(10_000, 7, |row, t| Some(if row < 6_543 { t } else { t + 273.15 })));
    let (at, kind) = first(&found);
    let SignalKind::Offset { factor, offset } = kind else { panic!("{kind:?}") };
    assert_eq!((at, *factor), (6_543, 1.0));
    assert!((offset - 273.15).abs() < 1.0, "{offset}");
    let found =
        signals(&temperatures(10_000, 8, |row, t| Some(if row < 6_543 { t } else { t * 1.8 + 32.0 })));
    let (at, kind) = first(&found);
    assert!(at.abs_diff(6_543) < 20, "{at}");
    assert_eq!(*kind, SignalKind::Offset { factor: 1.8, offset: 32.0 });
    let found = signals(&temperatures(10_000, 9, |row, t| Some(if row < 6_543 { t } else { t - 30.0 })));
    assert!(
        matches!(first(&found).1, SignalKind::Offset { factor, offset } if *factor == 1.0 && (offset + 30.0).abs() < 2.0)
    );
}

#[test]
fn what_moves_slowly_is_found_over_days() {
    let slowly = |row: usize| row.saturating_sub(10_000) as f64 / 1_000.0;
    let found = signals(&temperatures(40_000, 10, |row, t| Some(t + slowly(row))));
    let kinds: Vec<_> = found.iter().map(|(_, signal)| &signal.kind).collect();
    let Some(SignalKind::Trend { of: Moving::Level, before, now, bound, since }) = kinds.first() else {
        panic!("{kinds:?}")
    };
    assert!(now - before > *bound && *bound >= 3.0, "{kinds:?}");
    assert!((20..40).contains(since), "windows 20 and on: {since}");
    assert!(kinds.len() <= 5, "told once for each further step: {kinds:?}");
    // Nulls that grow by a thousandth with each window.
    let grows = |row: usize| (row * 7_919) % 10_007 < 1_000 + row.saturating_sub(10_000) / 40;
    let found = signals(&temperatures(60_000, 11, |row, t| (!grows(row)).then_some(t)));
    let (_, kind) = first(&found);
    assert!(
        matches!(kind, SignalKind::Trend { of: Moving::Nulls, before, now, .. } if *before < 0.12 && *now > 0.14),
        "{kind:?}"
    );
}

#[test]
fn what_is_counted_up_moves_by_its_nature_and_seasons_come_again() {
    let counted: Float64Array = (0..60_000).map(|row| Some(f64::from(row))).collect();
    let rows = RecordBatch::try_from_iter([("n", Arc::new(counted) as ArrayRef)]).unwrap();
    assert_eq!(signals(&rows), []);
    // A day of twelve points, warmer and colder.
    let season = |row: usize| (row as f64 / 6_000.0 * std::f64::consts::TAU).sin() * 6.0;
    assert_eq!(signals(&temperatures(60_000, 12, |row, t| Some(t + season(row)))), []);
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
        told += baseline.observe(&window, previous.as_ref(), DateTime::UNIX_EPOCH).len();
        previous = Some(window);
    }
    assert_eq!(told, 11);
}

proptest! {
    /// Rows that are made by one rule throughout never alarm.
    #[test]
    fn steady_rows_are_steady(seed in any::<u64>()) {
        prop_assert_eq!(signals(&rows(24_000, seed, usize::MAX, |_, _| {})), vec![]);
    }

    /// Whatever arrays hold, they are looked at without panic.
    #[test]
    fn any_rows_are_looked_at(values in prop::collection::vec(prop::option::of(any::<f64>()), WINDOW_ROWS * 8)) {
        let rows = RecordBatch::try_from_iter_with_nullable([("x", Arc::new(Float64Array::from(values)) as ArrayRef, true)]).unwrap();
        signals(&rows);
    }
}

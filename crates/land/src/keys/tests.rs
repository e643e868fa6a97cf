//! What is remembered, for how long, and how much of it.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use flowline_testkit::http_dataset;

use super::KeyVerdict::{Duplicate, New, Repeated};
use super::memory::{Hash, Memory};
use super::{KeyVerdict, Keys};

fn keys(key: &[&str], unique: &[&str], keys_max: usize) -> Keys {
    let mut dataset = http_dataset("test.keys", &[("a", "string"), ("b", "int32")]);
    dataset.key = key.iter().map(|name| (*name).to_owned()).collect();
    dataset.dedupe_horizon = Duration::from_secs(60);
    for column in &mut dataset.columns {
        column.unique = unique.contains(&column.name.as_str());
    }
    Keys::new(&dataset, keys_max)
}

fn rows(rows: &[(Option<&str>, Option<i32>)]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([
        ("a", Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>()) as ArrayRef, true),
        ("b", Arc::new(rows.iter().map(|row| row.1).collect::<Int32Array>()) as ArrayRef, true),
    ])
    .unwrap()
}

fn look(keys: &mut Keys, batch: &RecordBatch, now_s: u32) -> Vec<KeyVerdict> {
    keys.look(batch, |_| true, now_s).unwrap().0
}

#[test]
fn the_first_of_each_key_is_new() {
    for key in [&["a"][..], &["b"], &["a", "b"]] {
        let mut keys = keys(key, &[], 100);
        let batch = rows(&[(Some("x"), Some(1)), (Some("y"), Some(2)), (Some("x"), Some(1))]);
        assert_eq!(look(&mut keys, &batch, 0), [New, New, Duplicate], "{key:?}");
        assert_eq!(look(&mut keys, &batch, 60), [Duplicate; 3], "{key:?}");
        assert_eq!(look(&mut keys, &batch, 61), [New, New, Duplicate], "{key:?}");
    }
}

#[test]
fn a_key_with_a_null_is_like_no_other() {
    let mut keys = keys(&["a", "b"], &[], 100);
    let batch = rows(&[(None, Some(1)), (None, Some(1)), (Some("x"), None), (Some("x"), None)]);
    assert_eq!(look(&mut keys, &batch, 0), [New; 4]);
}

#[test]
fn a_unique_value_under_another_key_is_repeated() {
    let mut keys = keys(&["a"], &["b"], 100);
    let batch =
        rows(&[(Some("x"), Some(1)), (Some("y"), Some(1)), (Some("x"), Some(1)), (Some("y"), Some(2))]);
    assert_eq!(look(&mut keys, &batch, 0), [New, Repeated(0), Duplicate, New]);
    assert_eq!(keys.unique_column(0), "b");
}

#[test]
fn the_column_of_the_key_alone_is_no_unique_column_beside_it() {
    let mut keys = keys(&["a"], &["a"], 100);
    assert_eq!(look(&mut keys, &rows(&[(Some("x"), None), (Some("x"), None)]), 0), [New, Duplicate]);
}

#[test]
fn what_was_not_committed_is_taken_back() {
    let mut keys = keys(&["a"], &["b"], 100);
    let batch = rows(&[(Some("x"), Some(1)), (Some("y"), Some(2))]);
    look(&mut keys, &batch.slice(0, 1), 0);
    let (verdicts, journal) = keys.look(&batch, |_| true, 1).unwrap();
    assert_eq!(verdicts, [Duplicate, New]);
    keys.take_back(journal);
    assert_eq!(look(&mut keys, &batch, 2), [Duplicate, New]);
}

#[test]
fn rows_that_are_no_candidates_leave_no_trace() {
    let mut keys = keys(&["a"], &[], 100);
    let batch = rows(&[(Some("x"), None), (Some("x"), None)]);
    assert_eq!(keys.look(&batch, |row| row == 1, 0).unwrap().0, [New, New]);
}

#[test]
fn the_oldest_are_forgotten_when_there_are_too_many() {
    let mut memory = Memory::new(100);
    for number in 0..150u64 {
        memory.add(Hash([number, 0]), number as u32 / 10);
    }
    assert_eq!(memory.tidy(20, 1000), 75);
    assert_eq!(memory.len(), 75);
    assert!(!memory.knows(Hash([69, 0]), 20, 1000));
    assert!((80..150).all(|number| memory.knows(Hash([number, 0]), 20, 1000)));
    assert_eq!(memory.tidy(20, 1000), 0);
}

#[test]
fn what_lies_behind_the_horizon_is_swept_out_and_not_counted_as_forgotten() {
    let mut keys = keys(&["a"], &[], 2);
    for (now_s, name) in [(0, "a"), (10, "b"), (100, "c"), (101, "d")] {
        look(&mut keys, &rows(&[(Some(name), None)]), now_s);
        assert_eq!(keys.tidy(now_s), []);
    }
    look(&mut keys, &rows(&[(Some("e"), None)]), 102);
    assert_eq!(keys.tidy(102), [("a".to_owned(), 1)]);
}

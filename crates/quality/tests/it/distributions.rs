//! The values of a version held against those before, by method: above all where the history has hardly any spread.

use flowline_model::{ColumnProfile, DistributionMethod};
use flowline_quality::distribution::{compare, within};

const BINNED: [DistributionMethod; 3] =
    [DistributionMethod::Psi, DistributionMethod::JensenShannon, DistributionMethod::ChiSquare];

/// What a method says of two samples, and whether it is within the method's own limit.
fn judged(method: DistributionMethod, before: &[f64], now: &[f64]) -> (f64, bool) {
    let window = |sample: &[f64]| {
        (sample.len() as u64, ColumnProfile { sample: sample.to_vec(), ..Default::default() })
    };
    let (before, now) = (window(before), window(now));
    let found = compare(method, &[(before.0, &before.1)], &[(now.0, &now.1)]).unwrap();
    (found, within(method, found, method.limit_default()))
}

fn repeated(value: f64, times: usize) -> Vec<f64> {
    vec![value; times]
}

/// As many of each value as is said.
fn mixed(parts: &[(f64, usize)]) -> Vec<f64> {
    parts.iter().flat_map(|(value, times)| repeated(*value, *times)).collect()
}

#[test]
fn a_constant_that_becomes_another_one_is_told() {
    let always = repeated(5.0, 100);
    for method in BINNED {
        for other in [3.0, 4.999, 5.001, 7.0, -5.0, 0.0, f64::NEG_INFINITY, f64::INFINITY] {
            let (found, holds) = judged(method, &always, &repeated(other, 100));
            assert!(!holds, "{method:?}: from always 5 to always {other} is {found}");
        }
        let (found, holds) = judged(method, &always, &repeated(5.0, 40));
        assert!(holds, "{method:?}: always 5 as before is {found}");
    }
}

#[test]
fn a_value_that_is_nearly_always_there_may_not_vanish() {
    for before in [
        mixed(&[(5.0, 95), (1.0, 5)]),
        mixed(&[(5.0, 95), (9.0, 5)]),
        mixed(&[(5.0, 60), (9.0, 40)]),
        mixed(&[(1.0, 40), (5.0, 60)]),
    ] {
        for method in BINNED {
            for other in [0.0, 3.0, 7.0, 12.0] {
                let (found, holds) = judged(method, &before, &repeated(other, 100));
                assert!(!holds, "{method:?}: from {before:?} to always {other} is {found}");
            }
            let (found, holds) = judged(method, &before, &before);
            assert!(holds, "{method:?}: {before:?} as before is {found}");
        }
    }
}

#[test]
fn the_same_share_of_values_that_come_often_is_no_shift() {
    let (before, now) = (mixed(&[(0.0, 700), (1.0, 300)]), mixed(&[(0.0, 71), (1.0, 29)]));
    for method in BINNED {
        let (found, holds) = judged(method, &before, &now);
        assert!(holds, "{method:?} is {found}");
    }
}

/// What cannot be told of the largest numbers is not told to hold.
#[test]
fn the_largest_numbers_never_hold_for_want_of_an_answer() {
    use DistributionMethod::{ChiSquare, JensenShannon, Ks, Psi, Wasserstein};
    let window = |sample: &[f64]| {
        (sample.len() as u64, ColumnProfile { sample: sample.to_vec(), ..Default::default() })
    };
    let spread = mixed(&[(-1e308, 30), (1e308, 30), (0.0, 40)]);
    for (before, now) in [
        (spread.clone(), repeated(f64::MAX, 100)),
        (spread.clone(), repeated(f64::NEG_INFINITY, 100)),
        (repeated(f64::INFINITY, 100), spread.clone()),
        (repeated(f64::MIN_POSITIVE, 100), repeated(f64::MAX, 100)),
        (mixed(&[(f64::NAN, 50), (1.0, 50)]), repeated(7.0, 100)),
    ] {
        let (one, other) = (window(&before), window(&now));
        for method in [Psi, JensenShannon, ChiSquare, Ks, Wasserstein] {
            let found = compare(method, &[(one.0, &one.1)], &[(other.0, &other.1)]);
            let holds = found.clone().is_ok_and(|found| within(method, found, method.limit_default()));
            assert!(!holds, "{method:?} of {:?} and {:?}: {found:?}", before[0], now[0]);
        }
    }
}

#[test]
fn zero_has_one_bin_whatever_its_sign() {
    for method in BINNED {
        let (found, holds) = judged(method, &repeated(0.0, 100), &repeated(-0.0, 100));
        assert!(holds, "{method:?} is {found}");
    }
}

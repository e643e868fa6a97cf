//! The statistics are those of scipy: `scripts/statistics.py` made the table.

use flowline_quality::statistics::*;
use serde_json::Value;

fn table() -> Value {
    serde_json::from_str(include_str!("../data/statistics.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn same(what: &str, ours: Option<f64>, theirs: &Value) {
    let (ours, theirs) = (ours.unwrap_or(f64::NAN), theirs.as_f64().unwrap());
    let apart = (ours - theirs).abs();
    assert!(apart <= 1e-9 * theirs.abs().max(1.0), "{what}: {ours} here, {theirs} there");
}

#[test]
fn samples_are_compared_as_scipy_does() {
    for case in table()["samples"].as_array().unwrap() {
        let (one, other) = (numbers(&case["one"]), numbers(&case["other"]));
        let statistic = kolmogorov_smirnov(&one, &other);
        same("ks", statistic, &case["kolmogorov_smirnov"]);
        let p = kolmogorov_smirnov_p(statistic.unwrap(), one.len(), other.len());
        same("ks p", p, &case["kolmogorov_smirnov_p"]);
        same("wasserstein", wasserstein(&one, &other), &case["wasserstein"]);
        same("median", median(&one), &case["median"]);
        same("deviation", median_absolute_deviation(&one), &case["median_absolute_deviation"]);
        let mut sorted = one.clone();
        sorted.sort_by(f64::total_cmp);
        same("quantile", quantile(&sorted, 0.35), &case["quantile_0.35"]);
    }
}

#[test]
fn counts_are_compared_as_scipy_does() {
    for case in table()["counts"].as_array().unwrap() {
        let (reference, current) = (numbers(&case["reference"]), numbers(&case["current"]));
        same("psi", population_stability(&reference, &current, 1e-4), &case["population_stability"]);
        same("js", jensen_shannon(&reference, &current), &case["jensen_shannon"]);
        let test = chi_square(&reference, &current).unwrap();
        same("chi-square", Some(test.statistic), &case["chi_square"][0]);
        assert_eq!(u64::from(test.degrees), case["chi_square"][1].as_u64().unwrap());
        same("chi-square p", Some(test.p), &case["chi_square"][2]);
    }
}

#[test]
fn the_gamma_function_is_that_of_scipy() {
    for case in table()["gamma"].as_array().unwrap() {
        let case = numbers(case);
        same(&format!("{case:?}"), gamma_upper_share(case[0], case[1]), &Value::from(case[2]));
    }
}

#[test]
fn nothing_is_said_of_nothing() {
    assert_eq!(kolmogorov_smirnov(&[], &[1.0]), None);
    assert_eq!(kolmogorov_smirnov(&[f64::NAN], &[1.0]), None);
    assert_eq!(wasserstein(&[1.0], &[]), None);
    assert_eq!(wasserstein(&[f64::MAX], &[f64::MIN]), None);
    assert_eq!(population_stability(&[0.0], &[1.0], 1e-4), None);
    assert_eq!(jensen_shannon(&[1.0], &[f64::INFINITY]), None);
    assert_eq!(chi_square(&[1.0], &[1.0]), None);
    assert_eq!(median(&[]), None);
    assert_eq!(gamma_upper_share(f64::NAN, 1.0), None);
}

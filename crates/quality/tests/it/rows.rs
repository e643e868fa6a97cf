//! Each kind of check that one row alone decides: values that pass, values that fail, no rows, nulls, and the ends of
//! the range.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int64Array, LargeStringArray, RecordBatch, StructArray,
    TimestampNanosecondArray, UInt8Array, UInt64Array, new_null_array,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use datafusion::common::ScalarValue;
use flowline_lake::arrow_types;
use flowline_model::{Check, CheckRule, CheckSeverity, Column, ColumnType, Dataset, Verdict};
use flowline_quality::{RowRules, Which, outcome};

/// A rule over the column `x` of a type, with texts of values that pass and that fail.
type Case = (&'static str, CheckRule, &'static [&'static str], &'static [&'static str]);

fn cases() -> Vec<Case> {
    let x = || "x".to_owned();
    let range = |min: Option<&str>, max: Option<&str>| CheckRule::Range {
        column: x(),
        min: min.map(str::to_owned),
        max: max.map(str::to_owned),
    };
    let among = |values: &[&str]| CheckRule::AcceptedValues {
        column: x(),
        values: values.iter().map(ToString::to_string).collect(),
    };
    let read = |kind: &str| CheckRule::Type { column: x(), data_type: kind.parse().unwrap() };
    vec![
        ("string", CheckRule::Required { column: x() }, &["", "a"], &[]),
        (
            "int64",
            range(Some("0"), Some("10")),
            &["0", "10"],
            &["-1", "11", "9223372036854775807", "-9223372036854775808"],
        ),
        ("int8", range(Some("-200"), Some("100.5")), &["-128", "100"], &["101", "127"]),
        ("int16", range(Some("300"), None), &["300", "32767"], &["299", "-32768"]),
        ("int32", range(None, Some("99999999999")), &["2147483647", "0"], &[]),
        (
            "float64",
            range(Some("0"), Some("1")),
            &["0", "1", "0.5"],
            &["-0.1", "inf", "-inf", "NaN", "1.7976931348623157e308"],
        ),
        ("float32", range(Some("-1"), None), &["3.4028235e38", "-1"], &["-1.5", "NaN"]),
        (
            "decimal(38,2)",
            range(Some("0"), Some("99.5")),
            &["0", "99.5"],
            &["99.51", "-0.01", "999999999999999999999999999999999999.99"],
        ),
        (
            "date",
            range(Some("2020-01-01"), None),
            &["2020-01-01", "9999-12-31"],
            &["2019-12-31", "0001-01-01"],
        ),
        (
            "timestamp",
            range(None, Some("2020-01-01T00:00:00Z")),
            &["2020-01-01T00:00:00Z"],
            &["2020-01-01T00:00:00.000001Z"],
        ),
        ("string", range(Some("b"), Some("d")), &["b", "cat", "d"], &["a", "da", ""]),
        (
            "string",
            CheckRule::Length { column: x(), min: Some(2), max: Some(3) },
            &["ab", "äöü"],
            &["", "a", "abcd", "äöüß"],
        ),
        (
            "string",
            CheckRule::Pattern { column: x(), pattern: "^[A-Z]{2}[0-9]+$".into() },
            &["AB1", "ZZ999"],
            &["", "ab1", "AB", "AB1 "],
        ),
        ("string", among(&["EUR", "USD"]), &["EUR"], &["", "eur", "GBP"]),
        ("int32", among(&["1", "2"]), &["1", "2"], &["0", "2147483647"]),
        ("decimal(12,2)", among(&["1.5"]), &["1.5"], &["1.51"]),
        ("string", read("int32"), &["1", "-2147483648"], &["", "x", "1.5", "2147483648"]),
        ("string", read("date"), &["2026-01-05"], &["2026-13-05", "soon"]),
        ("string", read("float64"), &["1e308", "-0"], &["one"]),
        (
            "int64",
            CheckRule::Condition { expression: "x % 2 = 0".into() },
            &["0", "-4"],
            &["1", "9223372036854775807"],
        ),
        ("int64", CheckRule::Condition { expression: "x * x >= 0".into() }, &["3"], &[]),
    ]
}

fn compiled(kind: &str, rule: CheckRule, severity: CheckSeverity, personal: bool) -> (Dataset, RowRules) {
    let mut dataset = crate::landed("shop.orders", Vec::new());
    let mut column = Column::new("x", kind.parse::<ColumnType>().unwrap());
    column.pii = personal.then(|| "email".to_owned());
    dataset.columns = vec![Column::new("before", ColumnType::Boolean), column];
    let (name, owner) = ("checked".to_owned(), "team".to_owned());
    dataset.checks = vec![Check { name, description: None, owner, severity, tolerance: 0.0, rule }];
    let rules = RowRules::over(&dataset, &dataset.columns, Which::Contract).unwrap();
    (dataset, rules)
}

fn batch(dataset: &Dataset, values: &[Option<&str>]) -> RecordBatch {
    let kind = arrow_types::data_type(&dataset.columns[1].data_type);
    let one = |text: &Option<&str>| match text {
        Some(text) => ScalarValue::try_from_string((*text).to_owned(), &kind).unwrap(),
        None => ScalarValue::try_from(&kind).unwrap(),
    };
    let column: ArrayRef = match values.is_empty() {
        true => new_null_array(&kind, 0),
        false => ScalarValue::iter_to_array(values.iter().map(one)).unwrap(),
    };
    let schema = Schema::new(
        dataset
            .columns
            .iter()
            .map(|column| arrow_types::field(column).with_nullable(true))
            .collect::<Vec<_>>(),
    );
    let before = new_null_array(&DataType::Boolean, values.len());
    RecordBatch::try_new(Arc::new(schema), vec![before, column]).unwrap()
}

#[test]
fn every_kind_passes_and_fails_where_it_should() {
    for (kind, rule, good, bad) in cases() {
        let (dataset, rules) = compiled(kind, rule.clone(), CheckSeverity::QuarantineRows, false);
        let nulls_fail = matches!(rule, CheckRule::Required { .. });
        let mut values: Vec<Option<&str>> = good.iter().chain(bad).copied().map(Some).collect();
        values.push(None);
        let verdicts = rules.evaluate(&batch(&dataset, &values));
        let failing: Vec<usize> = verdicts.failures().map(|(row, _)| row).collect();
        let mut expected: Vec<usize> = (good.len()..good.len() + bad.len()).collect();
        expected.extend(nulls_fail.then_some(values.len() - 1));
        assert_eq!(failing, expected, "{kind} {rule:?} of {values:?}");
        assert_eq!(verdicts.tally().rules[0].failed, expected.len() as u64, "{rule:?}");
        let all_null = rules.evaluate(&batch(&dataset, &[None; 5])).tally();
        assert_eq!(all_null.rules[0].failed, if nulls_fail { 5 } else { 0 }, "{rule:?}");
        let (_, empty) = outcome::of_rows(&rules, &rules.evaluate(&batch(&dataset, &[])).tally()).remove(0);
        assert_eq!((empty.verdict, empty.message.as_str()), (Verdict::Passed, "there are no rows"));
    }
}

/// A batch whose column `x` has a type of its own, as that of a view.
fn viewed(column: ArrayRef) -> RecordBatch {
    let x = Field::new("x", column.data_type().clone(), true);
    let before = new_null_array(&DataType::Boolean, column.len());
    let schema = Schema::new(vec![Field::new("before", DataType::Boolean, true), x]);
    RecordBatch::try_new(Arc::new(schema), vec![before, column]).unwrap()
}

/// A rule over a column of the contract's type, a column of another one, and the rows that fail.
type OtherType = (&'static str, CheckRule, ArrayRef, &'static [usize]);

fn other_types() -> Vec<OtherType> {
    let x = || "x".to_owned();
    let range = |min: &str, max: &str| CheckRule::Range {
        column: x(),
        min: (!min.is_empty()).then(|| min.to_owned()),
        max: (!max.is_empty()).then(|| max.to_owned()),
    };
    const SECOND: i64 = 1_000_000_000;
    let times = || -> ArrayRef {
        Arc::new(TimestampNanosecondArray::from(vec![Some(0), Some(60 * SECOND), None, Some(-SECOND)]))
    };
    let texts = DictionaryArray::<Int32Type>::from_iter([Some("ab"), Some("abcd"), None, Some("")]);
    let before_1970 = "x < timestamp '1970-01-01T00:00:30Z'".to_owned();
    vec![
        ("timestamp", range("", "1970-01-01T00:00:30Z"), times(), &[1]),
        ("timestamp", range("1970-01-01T00:00:00Z", ""), times(), &[3]),
        ("timestamp", CheckRule::Condition { expression: before_1970 }, times(), &[1]),
        ("decimal(20,0)", range("1", "10"), Arc::new(UInt64Array::from(vec![1, u64::MAX, 10, 0])), &[1, 3]),
        ("int16", range("", "10"), Arc::new(UInt8Array::from(vec![Some(3), None, Some(255)])), &[2]),
        // What the contract's type cannot hold fails, whatever is asked of it.
        ("int32", range("", "5"), Arc::new(Int64Array::from(vec![Some(5), Some(i64::MIN), None])), &[1]),
        (
            "int32",
            CheckRule::Condition { expression: "x < 5".to_owned() },
            Arc::new(Int64Array::from(vec![Some(4), Some(5), Some(i64::MIN), None])),
            &[1, 2],
        ),
        (
            "int32",
            CheckRule::AcceptedValues { column: x(), values: vec!["1".into()] },
            Arc::new(Int64Array::from(vec![1, 2])),
            &[1],
        ),
        ("string", CheckRule::Length { column: x(), min: Some(1), max: Some(3) }, Arc::new(texts), &[1, 3]),
        (
            "string",
            CheckRule::Pattern { column: x(), pattern: "^a".into() },
            Arc::new(LargeStringArray::from(vec!["ab", "ba"])),
            &[1],
        ),
        ("float64", range("0", "1"), Arc::new(Int64Array::from(vec![1, 2])), &[1]),
        ("decimal(12,2)", range("0", "1"), Arc::new(Int64Array::from(vec![1, 2])), &[1]),
    ]
}

#[test]
fn a_column_of_another_type_is_looked_at_in_that_of_the_contract() {
    for (kind, rule, column, expected) in other_types() {
        let (_, rules) = compiled(kind, rule.clone(), CheckSeverity::QuarantineRows, false);
        let verdicts = rules.evaluate(&viewed(Arc::clone(&column)));
        let failing: Vec<usize> = verdicts.failures().map(|(row, _)| row).collect();
        assert_eq!(failing, expected, "{kind} {rule:?} of {column:?}");
        let (_, outcome) = outcome::of_rows(&rules, &verdicts.tally()).remove(0);
        assert_eq!(outcome.verdict, Verdict::Failed, "{kind} {rule:?}");
    }
}

#[test]
fn a_column_that_cannot_be_read_as_the_contract_says_is_not_passed() {
    let x = || "x".to_owned();
    let range = CheckRule::Range { column: x(), min: Some("0".into()), max: Some("2".into()) };
    let fields = vec![Field::new("a", DataType::Int64, true)];
    let nested: ArrayRef = Arc::new(StructArray::new_null(fields.into(), 2));
    let fractions: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 1.5]));
    for (kind, rule, column) in [
        ("int64", range.clone(), Arc::clone(&fractions)),
        ("decimal(12,2)", range, Arc::clone(&fractions)),
        ("int64", CheckRule::Condition { expression: "x < 3".to_owned() }, fractions),
        ("string", CheckRule::Length { column: x(), min: Some(1), max: None }, Arc::clone(&nested)),
        ("string", CheckRule::Pattern { column: x(), pattern: "a".into() }, nested),
    ] {
        for (severity, taken) in [(CheckSeverity::Warn, 0), (CheckSeverity::QuarantineRows, 2)] {
            let (_, rules) = compiled(kind, rule.clone(), severity, false);
            let verdicts = rules.evaluate(&viewed(Arc::clone(&column)));
            assert_eq!(verdicts.failures().count(), taken, "{rule:?}");
            let mut tally = rules.evaluate(&viewed(column.slice(0, 1))).tally();
            tally.add(&verdicts.tally());
            let (_, outcome) = outcome::of_rows(&rules, &tally).remove(0);
            assert_eq!(outcome.verdict, Verdict::NotEvaluated, "{rule:?}");
            assert!(outcome.message.contains("cannot be read as"), "{}", outcome.message);
        }
    }
}

#[test]
fn only_rows_of_quarantine_rows_are_taken_out() {
    for (severity, taken) in
        [(CheckSeverity::Warn, 0), (CheckSeverity::Block, 0), (CheckSeverity::QuarantineRows, 1)]
    {
        let rule = CheckRule::Range { column: "x".into(), min: Some("0".into()), max: None };
        let (dataset, rules) = compiled("int64", rule, severity, false);
        let verdicts = rules.evaluate(&batch(&dataset, &[Some("1"), Some("-1")]));
        assert_eq!(verdicts.failures().count(), taken, "{severity:?}");
        assert_eq!(verdicts.passed().true_count(), 2 - taken);
        assert_eq!(verdicts.tally().rules[0].failed, 1);
    }
}

#[test]
fn examples_of_personal_data_are_not_shown() {
    for (personal, shown) in [(false, "secret"), (true, "***")] {
        let rule = CheckRule::Length { column: "x".into(), min: None, max: Some(3) };
        let (dataset, rules) = compiled("string", rule, CheckSeverity::Warn, personal);
        let tally = rules.evaluate(&batch(&dataset, &[Some("secret")])).tally();
        assert_eq!(tally.rules[0].examples, [shown]);
    }
}

#[test]
fn what_cannot_be_used_is_told() {
    for (kind, rule) in [
        ("boolean", CheckRule::Range { column: "x".into(), min: Some("0".into()), max: None }),
        ("int64", CheckRule::Range { column: "x".into(), min: Some("zero".into()), max: None }),
        ("date", CheckRule::Range { column: "x".into(), min: None, max: Some("soon".into()) }),
        ("int64", CheckRule::Length { column: "x".into(), min: Some(1), max: None }),
        ("string", CheckRule::Pattern { column: "x".into(), pattern: "(".into() }),
        ("int64", CheckRule::AcceptedValues { column: "x".into(), values: vec!["one".into()] }),
        ("string", CheckRule::Required { column: "y".into() }),
        ("string", CheckRule::Condition { expression: "sum(x) > 1".into() }),
    ] {
        let mut dataset =
            compiled("string", CheckRule::Required { column: "x".into() }, CheckSeverity::Warn, false).0;
        dataset.columns[1].data_type = kind.parse().unwrap();
        dataset.checks[0].rule = rule.clone();
        let error = RowRules::compile(&dataset).unwrap_err();
        assert_eq!(error.check.as_deref(), Some("checked"), "{rule:?}");
        assert!(!error.message.is_empty());
    }
}

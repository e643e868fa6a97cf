//! What is said of drift: one finding for each kind and subject of a parcel.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::Array;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use flowline_model::{Column, ContractVersion, Dataset, Drift, Fate, FindingKind, OnDrift, Rename, Severity};
use flowline_quality::drift::{Baseline, Moving, SignalKind, TREND_POINT_HOURS, TREND_POINTS, likeness};

use super::examples::{examples, personal};
use super::window::Placed;
use super::{Found, SetAside, fate, names, row_of};
use crate::decode::{ColumnBuilder, Decoded, Mark, Place, Strange, TimeFormat};
use crate::parcel::Parcel;
use crate::stamp;

/// What is found, by kind and subject.
type Subject = (FindingKind, String);

/// The share of values that must fit for a rename to be suspected.
const FIT_MIN: f64 = 0.8;

pub(super) struct Reporter<'a> {
    dataset: &'a Arc<Dataset>,
    versions: &'a [ContractVersion],
    parcel: &'a Parcel,
    found: BTreeMap<Subject, Found>,
    /// The columns that are suspected to come under another name.
    pub(super) renames: BTreeMap<String, Rename>,
    /// The version that records with other fields fit best.
    pub(super) closest: Option<u32>,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(
        dataset: &'a Arc<Dataset>,
        versions: &'a [ContractVersion],
        parcel: &'a Parcel,
    ) -> Self {
        Self { dataset, versions, parcel, found: BTreeMap::new(), renames: BTreeMap::new(), closest: None }
    }

    pub(super) fn finish(self) -> Vec<Found> {
        self.found.into_values().collect()
    }

    fn position(&self, place: Place) -> String {
        self.parcel.position(stamp::offset(self.parcel, place))
    }

    /// Where records come from, with the request that brought the first.
    fn producer(&self, place: Option<Place>) -> String {
        let piece = place.and_then(|place| self.parcel.pieces.get(place.batch as usize));
        match piece.and_then(|piece| piece.trace) {
            Some(trace) => format!("{}, trace {trace}", self.parcel.source),
            None => self.parcel.source.to_string(),
        }
    }

    fn add(&mut self, found: Found) {
        let subject = (found.kind, found.subject.clone());
        match self.found.get_mut(&subject) {
            Some(known) => {
                known.count += found.count;
                known.last = found.last;
            }
            None => drop(self.found.insert(subject, found)),
        }
    }

    /// Fields that the contract does not know, and values that were converted.
    pub(super) fn departures(&mut self, decoded: &Decoded, baseline: &Baseline) {
        let departures = &decoded.departures;
        if departures.unknown.is_empty() && departures.coerced.is_empty() && departures.absent.is_empty() {
            return;
        }
        self.closest = self.closest.or_else(|| self.closest_version(decoded));
        for (field, mark) in &departures.unknown {
            let renamed = self.rename_of(field, mark, decoded, baseline);
            self.unknown(field, mark, renamed);
        }
        for (column, mark) in &departures.coerced {
            self.coerced(*column, mark);
        }
    }

    fn unknown(&mut self, field: &str, mark: &Mark, renamed: Option<Rename>) {
        let mut fate = fate(self.dataset.on_drift, FindingKind::UnknownField);
        let required = renamed.as_ref().and_then(|rename| self.required(&rename.from));
        let became = match (fate, required) {
            (Fate::Quarantined, _) => "they are in quarantine".to_owned(),
            (Fate::Held, _) => "landing is held up by it".to_owned(),
            (_, Some(column)) => {
                fate = Fate::Rejected;
                format!("they are in quarantine, because they lack `{column}`, which is required")
            }
            _ => "it is kept in `_extra`".to_owned(),
        };
        let mut message = format!("records have a field `{field}` that the contract does not know; {became}");
        if let Some(rename) = &renamed {
            message
                .push_str(&format!("; it may be `{}` under another name: {}", rename.from, rename.because));
        }
        message.push_str(&self.hint_of_version());
        let values = mark.examples.iter().map(String::as_str);
        let drift = Drift {
            producer: self.producer(Some(mark.first)),
            examples: examples(values, personal(self.dataset, None)),
            fate,
            closest_version: self.closest,
            renamed,
        };
        self.add(Found {
            kind: FindingKind::UnknownField,
            severity: self.severity(Severity::Info),
            subject: field.to_owned(),
            message,
            count: mark.records,
            first: self.position(mark.first),
            last: self.position(mark.last),
            drift,
        });
    }

    /// The column of a field, where records that lack it are never landed.
    fn required(&self, field: &str) -> Option<&str> {
        let columns = &self.dataset.columns;
        let column = columns.iter().find(|column| column.required && column.field_name() == field)?;
        Some(&column.name)
    }

    /// What becomes of records in which a column is not as it was.
    fn fate_in(&self, column: &Column, kind: FindingKind) -> Fate {
        let lacking = matches!(kind, FindingKind::MissingField | FindingKind::NullShare);
        match fate(self.dataset.on_drift, kind) {
            Fate::Accepted if lacking && column.required => Fate::Rejected,
            fate => fate,
        }
    }

    fn coerced(&mut self, column: usize, mark: &Mark) {
        let Some(declared) = self.dataset.columns.get(column) else { return };
        let fate = fate(self.dataset.on_drift, FindingKind::CoercedType);
        let became = match fate {
            Fate::Quarantined => "they are in quarantine",
            Fate::Held => "landing is held up by it",
            _ => "they are converted",
        };
        let closest = names::with_text(self.versions, declared.field_name());
        let mut message =
            format!("values of `{}` come as text and are {}; {became}", declared.name, declared.data_type);
        if let Some(version) = closest {
            message.push_str(&format!("; version {version} of the contract had it as text"));
        }
        let values = mark.examples.iter().map(String::as_str);
        let drift = Drift {
            producer: self.producer(Some(mark.first)),
            examples: examples(values, personal(self.dataset, Some(column))),
            fate,
            closest_version: closest,
            renamed: None,
        };
        self.add(Found {
            kind: FindingKind::CoercedType,
            severity: self.severity(Severity::Info),
            subject: declared.name.clone(),
            message,
            count: mark.records,
            first: self.position(mark.first),
            last: self.position(mark.last),
            drift,
        });
    }

    /// Columns whose rows are not like those before.
    pub(super) fn signals(&mut self, decoded: &Decoded, signals: &[Placed]) {
        for signal in signals {
            let Some(column) = self.dataset.columns.get(signal.column) else { continue };
            let name = column.name.clone();
            let (kind, what) = describe(&name, signal, absent(decoded, signal.column));
            let renamed = self.renames.get(&name).cloned();
            let mut message = what;
            let fate = self.fate_in(column, kind);
            message.push_str(match fate {
                Fate::Rejected => "; they are in quarantine, because it is required",
                Fate::Quarantined => "; records from here on are in quarantine",
                Fate::Held => "; landing is held up by it",
                _ => "",
            });
            if let Some(rename) = &renamed {
                message.push_str(&format!("; it may come as `{}` now: {}", rename.to, rename.because));
            }
            let closest = if kind == FindingKind::MissingField { self.closest } else { None };
            let place = signal.rows.first().and_then(|row| decoded.places.get(*row)).copied();
            let drift = Drift {
                producer: self.producer(place),
                examples: self.examples_of(decoded, signal),
                fate,
                closest_version: closest,
                renamed,
            };
            self.add(Found {
                kind,
                severity: self.severity(Severity::Warning),
                subject: name,
                message,
                count: signal.count,
                first: signal.first.clone(),
                last: signal.last.clone(),
                drift,
            });
        }
    }

    fn examples_of(&self, decoded: &Decoded, signal: &Placed) -> Vec<String> {
        let personal = personal(self.dataset, Some(signal.column));
        let texts: Vec<String> = match &signal.kind {
            SignalKind::Nulls { .. } | SignalKind::Trend { .. } => Vec::new(),
            SignalKind::Values { new, .. } => new.iter().map(|(text, _)| text.clone()).collect(),
            SignalKind::Unit { .. } | SignalKind::Offset { .. } => {
                let array = decoded.rows.column(signal.column);
                let options = FormatOptions::default();
                let formatter = ArrayFormatter::try_new(array.as_ref(), &options).ok();
                let shown = |row: &usize| Some(formatter.as_ref()?.value(*row).to_string());
                signal.rows.iter().take(10).filter(|row| array.is_valid(**row)).filter_map(shown).collect()
            }
        };
        examples(texts.iter().map(String::as_str), personal)
    }

    /// The records that are not landed, by their rows.
    pub(super) fn aside(&self, decoded: &Decoded, signals: &[Placed]) -> Vec<SetAside> {
        let mut aside: BTreeMap<usize, SetAside> = BTreeMap::new();
        for (place, strange) in &decoded.departures.strange {
            // A record that is no row is in quarantine for another reason.
            let Some(row) = row_of(decoded, *place) else { continue };
            let (kind, column, message) = match strange {
                Strange::Unknown(field) => (
                    FindingKind::UnknownField,
                    Some(field.clone()),
                    format!("the contract does not know the field `{field}`"),
                ),
                Strange::Coerced(column) => {
                    let name = self.dataset.columns.get(*column).map(|column| column.name.clone());
                    let message =
                        format!("the value of `{}` came as text", name.as_deref().unwrap_or_default());
                    (FindingKind::CoercedType, name, message)
                }
            };
            aside.entry(row).or_insert(SetAside { row, kind, column, message });
        }
        for signal in signals {
            let Some(column) = self.dataset.columns.get(signal.column) else { continue };
            let (kind, message) = describe(&column.name, signal, absent(decoded, signal.column));
            for row in &signal.rows {
                let column = Some(column.name.clone());
                let set = SetAside { row: *row, kind, column, message: message.clone() };
                aside.entry(*row).or_insert(set);
            }
        }
        aside.into_values().collect()
    }

    fn severity(&self, accepted: Severity) -> Severity {
        match self.dataset.on_drift {
            OnDrift::AcceptNewFields => accepted,
            OnDrift::Quarantine => Severity::Warning,
            OnDrift::Stop => Severity::Error,
        }
    }

    fn hint_of_version(&self) -> String {
        self.closest
            .map(|version| format!("; the records fit version {version} of the contract best"))
            .unwrap_or_default()
    }

    /// The version that the records with other fields fit best.
    fn closest_version(&self, decoded: &Decoded) -> Option<u32> {
        let departures = &decoded.departures;
        let strange = departures.unknown.values().map(|mark| mark.records).max().unwrap_or(0);
        let lacking = departures.absent.iter().copied().max().unwrap_or(0);
        let drifting = strange.max(lacking);
        let mut fields: BTreeSet<&str> = BTreeSet::new();
        for (index, column) in self.dataset.columns.iter().enumerate() {
            if departures.absent.get(index).copied().unwrap_or(0) * 2 <= drifting {
                fields.insert(column.field_name());
            }
        }
        let often = departures.unknown.iter().filter(|(_, mark)| mark.records * 2 > drifting);
        fields.extend(often.map(|(name, _)| name.as_str()));
        names::closest(self.versions, &fields)
    }

    /// The column that an unknown field may be: one that about as many records lack, whose type its values have, and
    /// whose values or name are like its own.
    fn rename_of(
        &mut self,
        field: &str,
        mark: &Mark,
        decoded: &Decoded,
        baseline: &Baseline,
    ) -> Option<Rename> {
        let mut best: Option<(f64, String, Rename)> = None;
        for (index, lacking) in decoded.departures.absent.iter().enumerate() {
            let column = self.dataset.columns.get(index)?;
            let (few, many) = (mark.records.min(*lacking), mark.records.max(*lacking));
            if few * 2 < many || mark.examples.is_empty() {
                continue;
            }
            let values = Values::of(&mark.examples);
            let fit = values.fit(column);
            if fit < FIT_MIN {
                continue;
            }
            let like = likeness(baseline, index, &values.texts, &values.numbers);
            let named_alike = names::alike(field, column.field_name());
            let seen = like.seen.is_some_and(|share| share >= FIT_MIN);
            let sized_alike = like.size == Some(true) || (named_alike && like.size != Some(false));
            if !seen && !sized_alike {
                continue;
            }
            let mut because = format!(
                "{} of {} values are {}",
                (fit * mark.examples.len() as f64).round(),
                mark.examples.len(),
                column.data_type
            );
            if let Some(share) = like.seen.filter(|share| *share >= FIT_MIN) {
                because.push_str(&format!(", {:.0}% of them were seen in `{}`", share * 100.0, column.name));
            }
            if like.size == Some(true) {
                because.push_str(&format!(", they are as large as those of `{}` were", column.name));
            }
            if named_alike {
                because.push_str(", and the names are alike");
            }
            let score = fit
                + like.seen.unwrap_or(0.0)
                + f64::from(u8::from(named_alike))
                + f64::from(u8::from(like.size == Some(true)));
            let rename = Rename { from: column.field_name().to_owned(), to: field.to_owned(), because };
            if best.as_ref().is_none_or(|(known, ..)| score > *known) {
                best = Some((score, column.name.clone(), rename));
            }
        }
        let (_, column, rename) = best?;
        self.renames.insert(column, rename.clone());
        Some(rename)
    }
}

/// The values of an unknown field, as texts and as numbers.
struct Values {
    texts: Vec<String>,
    numbers: Vec<f64>,
}

impl Values {
    fn of(examples: &[String]) -> Self {
        let text = |json: &String| serde_json::from_str::<String>(json).unwrap_or_else(|_| json.clone());
        let texts: Vec<String> = examples.iter().map(text).collect();
        let numbers = texts.iter().filter_map(|text| text.parse().ok()).collect();
        Self { texts, numbers }
    }

    /// The share of values that a column could hold.
    fn fit(&self, column: &flowline_model::Column) -> f64 {
        let Ok(format) = TimeFormat::parse(column.format.as_deref()) else { return 0.0 };
        let mut builder = ColumnBuilder::new(&column.data_type, &Arc::new(format), self.texts.len());
        let fits = self.texts.iter().filter(|text| builder.append_text(text).is_ok()).count();
        fits as f64 / self.texts.len().max(1) as f64
    }
}

/// In how many records the field of a column was not there.
fn absent(decoded: &Decoded, column: usize) -> u64 {
    decoded.departures.absent.get(column).copied().unwrap_or(0)
}

/// The kind of a signal, and the signal in words.
fn describe(name: &str, signal: &Placed, absent: u64) -> (FindingKind, String) {
    match &signal.kind {
        SignalKind::Nulls { before, now } => {
            let share = |share: f64| format!("{:.1}%", share * 100.0);
            // As many fields that are not there as nulls: the producer left it out.
            if absent * 2 >= signal.count {
                let message =
                    format!("records lack `{name}`: {} have none, {} before", share(*now), share(*before));
                return (FindingKind::MissingField, message);
            }
            let message =
                format!("`{name}` is null in {} of the records, {} before", share(*now), share(*before));
            (FindingKind::NullShare, message)
        }
        SignalKind::Unit { factor } => {
            let unit = unit(*factor).map(|unit| format!(", as from {unit}")).unwrap_or_default();
            let factor = if *factor >= 1.0 {
                format!("{factor:.3} times as large as")
            } else {
                format!("{:.3} times smaller than", 1.0 / factor)
            };
            let message =
                format!("values of `{name}` are {factor} they were{unit}: another unit is suspected");
            (FindingKind::ChangedUnit, message)
        }
        SignalKind::Offset { factor, offset } => {
            let by = format!(
                "by {} {} than",
                shown(offset.abs()),
                if *offset < 0.0 { "smaller" } else { "larger" }
            );
            let scaled = if *factor == 1.0 { String::new() } else { format!(" times {factor:.3}") };
            let unit =
                zero_point(*factor, *offset).map(|unit| format!(", as from {unit}")).unwrap_or_default();
            let message = format!(
                "values of `{name}` are {by} they were{scaled}{unit}: another zero point or unit is suspected"
            );
            (FindingKind::ChangedUnit, message)
        }
        SignalKind::Trend { of, before, now, bound, .. } => {
            let days = TREND_POINTS as i64 * TREND_POINT_HOURS / 24;
            let (what, before, now, bound) = match of {
                Moving::Level => ("the median of", shown(*before), shown(*now), shown(*bound)),
                Moving::Nulls => {
                    let share = |share: f64| format!("{:.1}%", share * 100.0);
                    ("the share of nulls in", share(*before), share(*now), share(*bound))
                }
            };
            let message = format!(
                "{what} `{name}` has moved slowly from {before} to {now}, over records of {days} days each; {bound} are no change"
            );
            (FindingKind::SlowChange, message)
        }
        SignalKind::Values { new, known, like } => {
            let mut message = format!(
                "`{name}` has {} that none of the records before had, which had {known} different ones",
                if new.len() == 1 { "a value".to_owned() } else { format!("{} values", new.len()) }
            );
            if like.is_some() {
                message.push_str("; they differ from known ones only in case or white space");
            }
            (FindingKind::ChangedValues, message)
        }
    }
}

/// A number with four digits that count.
fn shown(value: f64) -> String {
    let digits = 3 - value.abs().max(1e-9).log10().floor() as i32;
    let shown = format!("{value:.*}", digits.clamp(0, 9) as usize);
    match shown.contains('.') {
        true => shown.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => shown,
    }
}

/// A change of units with another zero point.
fn zero_point(factor: f64, offset: f64) -> Option<&'static str> {
    const UNITS: [(f64, f64, &str); 6] = [
        (1.0, 273.15, "degrees Celsius to kelvins"),
        (1.0, -273.15, "kelvins to degrees Celsius"),
        (1.8, 32.0, "degrees Celsius to Fahrenheit"),
        (1.0 / 1.8, -32.0 / 1.8, "degrees Fahrenheit to Celsius"),
        (1.8, -459.67, "kelvins to degrees Fahrenheit"),
        (1.0 / 1.8, 459.67 / 1.8, "degrees Fahrenheit to kelvins"),
    ];
    // The offset is that of two medians, which is right to some percent.
    let near = |(one, other): &(f64, f64)| {
        (factor - one).abs() < 1e-9 && (offset - other).abs() < 0.05 * other.abs()
    };
    UNITS.iter().find(|(factor, offset, _)| near(&(*factor, *offset))).map(|(.., unit)| *unit)
}

/// A change of units with about this factor.
fn unit(factor: f64) -> Option<&'static str> {
    const UNITS: [(f64, &str, &str); 11] = [
        (
            1_000.0,
            "seconds to milliseconds, or kilo- to base units",
            "milliseconds to seconds, or base to kilo-units",
        ),
        (1_000_000.0, "seconds to microseconds", "microseconds to seconds"),
        (
            100.0,
            "whole currency to cents, or a share to percent",
            "cents to whole currency, or percent to a share",
        ),
        (60.0, "minutes to seconds, or hours to minutes", "seconds to minutes, or minutes to hours"),
        (3_600.0, "hours to seconds", "seconds to hours"),
        (24.0, "days to hours", "hours to days"),
        (1.609_344, "miles to kilometres", "kilometres to miles"),
        (3.280_84, "metres to feet", "feet to metres"),
        (2.204_62, "kilograms to pounds", "pounds to kilograms"),
        (2.54, "inches to centimetres", "centimetres to inches"),
        (1_024.0, "kibibytes to bytes", "bytes to kibibytes"),
    ];
    // The factor is that of two medians, which is right to some percent.
    let near = |value: f64| (factor / value).log2().abs() < 0.1;
    UNITS.iter().find_map(|(value, up, down)| match () {
        () if near(*value) => Some(*up),
        () if near(1.0 / value) => Some(*down),
        () => None,
    })
}

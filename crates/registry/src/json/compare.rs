//! What a JSON schema demands beyond another one.
//!
//! Every difference has its word; which of them do no harm is in `rules`. Where several schemas are combined, each is
//! tried against each, and as many as can be are paired.

use std::collections::HashSet;

use serde_json::Value;

use super::rules::{harmless, sentence};
use super::{Criterion, JsonSchema, Node, NodeId, NumberRules, Shape, TextRules};
use crate::difference::Difference;

/// What a comparison costs at most; a pair of parts, a place, a property and a value of an enumeration are a step each.
const STEPS_MAX: usize = 4_000_000;
/// How deep parts may lie in each other; what lies deeper is different.
const DEPTH_MAX: usize = 200;
/// Steps of a difference, which is kept until the end.
const DIFFERENCE_STEPS: usize = 20;
/// Bytes of a text that are kept or looked through for a step.
pub(super) const BYTES_PER_STEP: usize = 8;

/// What `update` demands that `original` does not; one difference alone when that takes more than `STEPS_MAX` steps.
pub(super) fn differences(original: &JsonSchema, update: &JsonSchema, lenient: bool) -> Vec<Difference> {
    let mut compare = Compare {
        schemas: [original, update],
        lenient,
        under_way: HashSet::new(),
        path: "#".to_owned(),
        found: Vec::new(),
        steps: 0,
        depth: 0,
    };
    let (from, to) = (Part { side: 0, id: original.root() }, Part { side: 1, id: update.root() });
    compare.parts(from, to);
    if compare.given_up() {
        return vec![Difference::given_up(STEPS_MAX)];
    }
    let harmful = compare.found.into_iter().filter(|(kind, _)| !harmless(kind, lenient));
    harmful
        .map(|(kind, path)| {
            let text = format!("{{errorType:\"{kind}\", description:\"{}'}}", sentence(kind, &path));
            Difference { kind, path, text }
        })
        .collect()
}

/// A part of one of the two schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Part {
    pub(super) side: usize,
    pub(super) id: NodeId,
}

impl Part {
    /// Another part of the same schema.
    pub(super) fn other(self, id: NodeId) -> Self {
        Self { side: self.side, id }
    }
}

/// The differences on the way.
pub(super) type Found = Vec<(&'static str, String)>;

pub(super) struct Compare<'a> {
    schemas: [&'a JsonSchema; 2],
    lenient: bool,
    under_way: HashSet<(Part, Part)>,
    path: String,
    pub(super) found: Found,
    steps: usize,
    depth: usize,
}

impl<'a> Compare<'a> {
    pub(super) fn node(&self, part: Part) -> &'a Node {
        self.schemas[part.side].node(part.id)
    }

    pub(super) fn shape(&self, part: Part) -> &'a Shape {
        &self.node(part).shape
    }

    pub(super) fn spend(&mut self, steps: usize) {
        self.steps = self.steps.saturating_add(steps);
    }

    /// Whether the comparison took too long: nothing more is compared then, and what was found is worth nothing.
    pub(super) fn given_up(&self) -> bool {
        self.steps > STEPS_MAX
    }

    pub(super) fn add(&mut self, kind: &'static str) {
        self.spend(DIFFERENCE_STEPS + self.path.len() / BYTES_PER_STEP);
        if !self.given_up() {
            self.found.push((kind, self.path.clone()));
        }
    }

    pub(super) fn add_at(&mut self, part: &str, kind: &'static str) {
        self.at(part, |compare| compare.add(kind));
    }

    pub(super) fn at(&mut self, part: &str, look: impl FnOnce(&mut Self)) {
        self.spend(1);
        if self.given_up() {
            return;
        }
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(part);
        look(self);
        self.path.truncate(length);
    }

    /// What would be found, and whether none of it does harm.
    pub(super) fn trial(&mut self, original: Part, update: Part) -> (Found, bool) {
        let before = std::mem::take(&mut self.found);
        self.parts(original, update);
        let found = std::mem::replace(&mut self.found, before);
        let fits = found.iter().all(|(kind, _)| harmless(kind, self.lenient));
        (found, fits)
    }

    /// Compares parts either of which may be missing.
    pub(super) fn optional(&mut self, original: Option<Part>, update: Option<Part>) {
        match (original, update) {
            (None, None) => {}
            (None, Some(_)) => self.add("SCHEMA_ADDED"),
            (Some(_), None) => self.add("SCHEMA_REMOVED"),
            (Some(original), Some(update)) => self.parts(original, update),
        }
    }

    pub(super) fn parts(&mut self, original: Part, update: Part) {
        self.spend(1);
        // A pair that is being compared further up says there what it has to say.
        if self.given_up() || !self.under_way.insert((original, update)) {
            return;
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            self.add("TYPE_CHANGED");
        } else {
            self.shapes(original, update);
        }
        self.depth -= 1;
        self.under_way.remove(&(original, update));
    }

    fn shapes(&mut self, original: Part, update: Part) {
        if self.one_of_several(original, update) || self.several_of_one(original, update) {
            return;
        }
        let (from, to) = (self.node(original), self.node(update));
        let (a, b) = (&from.shape, &to.shape);
        if std::mem::discriminant(a) != std::mem::discriminant(b) {
            let free = matches!(a, Shape::Nothing) || matches!(b, Shape::Anything);
            let both_bytes = from.connect_bytes && to.connect_bytes;
            if !free && !both_bytes {
                self.add("TYPE_CHANGED");
            }
            return;
        }
        for (changed, kind) in [
            (from.id != to.id, "ID_CHANGED"),
            (from.title != to.title, "TITLE_CHANGED"),
            (from.description != to.description, "DESCRIPTION_CHANGED"),
            (from.default != to.default, "DEFAULT_CHANGED"),
        ] {
            if changed {
                self.add(kind);
            }
        }
        match (a, b) {
            (Shape::Text(a), Shape::Text(b)) => self.texts(a, b),
            (Shape::Number(a), Shape::Number(b)) => self.numbers(a, b),
            (Shape::Const(a), Shape::Const(b)) if a != b => self.add_at("const", "ENUM_ARRAY_CHANGED"),
            (Shape::Enum(a), Shape::Enum(b)) => self.enumerations(a, b),
            (Shape::Combined(a, from), Shape::Combined(b, to)) => {
                self.combined((*a, original, from), (*b, update, to));
            }
            (Shape::Not(a), Shape::Not(b)) => self.at("not", |compare| {
                // What must not be turns around.
                let (_, fits) = compare.trial(update.other(*b), original.other(*a));
                compare.add(if fits { "NOT_TYPE_NARROWED" } else { "NOT_TYPE_EXTENDED" });
            }),
            (Shape::Object(a), Shape::Object(b)) => self.objects((original, a), (update, b)),
            (Shape::Array(a), Shape::Array(b)) => self.arrays((original, a), (update, b)),
            _ => {}
        }
    }

    fn enumerations(&mut self, from: &[Value], to: &[Value]) {
        self.spend(from.len() + to.len());
        let (before, after): (HashSet<&Value>, HashSet<&Value>) =
            (from.iter().collect(), to.iter().collect());
        match (before.is_subset(&after), after.is_subset(&before)) {
            (true, true) => {}
            (true, false) => self.add_at("enum", "ENUM_ARRAY_EXTENDED"),
            (false, true) => self.add_at("enum", "ENUM_ARRAY_NARROWED"),
            (false, false) => self.add_at("enum", "ENUM_ARRAY_CHANGED"),
        }
    }

    /// A schema became one among several.
    fn one_of_several(&mut self, original: Part, update: Part) -> bool {
        let Shape::Combined(criterion, parts) = self.shape(update) else { return false };
        if matches!(self.shape(original), Shape::Combined(..)) {
            return false;
        }
        let single = parts.len() == 1;
        if !single && *criterion == Criterion::All {
            return false;
        }
        for part in parts {
            let (found, fits) = self.trial(original, update.other(*part));
            if self.given_up() {
                return true;
            }
            if fits {
                self.found.extend(found);
                if !single {
                    self.add("SUM_TYPE_EXTENDED");
                }
                return true;
            }
        }
        false
    }

    /// Of several schemas, one was left.
    fn several_of_one(&mut self, original: Part, update: Part) -> bool {
        let Shape::Combined(criterion, parts) = self.shape(original) else { return false };
        if matches!(self.shape(update), Shape::Combined(..)) {
            return false;
        }
        let single = parts.len() == 1;
        if !single && *criterion != Criterion::All {
            return false;
        }
        for part in parts {
            let (found, fits) = self.trial(original.other(*part), update);
            if self.given_up() {
                return true;
            }
            if fits {
                self.found.extend(found);
                if !single {
                    self.add("PRODUCT_TYPE_NARROWED");
                }
                return true;
            }
        }
        false
    }

    fn combined(
        &mut self,
        (a, original, from): (Criterion, Part, &[NodeId]),
        (b, update, to): (Criterion, Part, &[NodeId]),
    ) {
        if a != b {
            let (one, other) = (from.len() == 1, to.len() == 1);
            let wider = b == Criterion::Any
                || (one && other)
                || (one && b == Criterion::One)
                || (other && a == Criterion::All);
            if !wider {
                return self.add("COMBINED_TYPE_CHANGED");
            }
            self.add("COMBINED_TYPE_EXTENDED");
        }
        match from.len().cmp(&to.len()) {
            std::cmp::Ordering::Less if b == Criterion::All => self.add("PRODUCT_TYPE_EXTENDED"),
            std::cmp::Ordering::Less => self.add("SUM_TYPE_EXTENDED"),
            std::cmp::Ordering::Greater if a == Criterion::All => self.add("PRODUCT_TYPE_NARROWED"),
            std::cmp::Ordering::Greater => self.add("SUM_TYPE_NARROWED"),
            std::cmp::Ordering::Equal => {}
        }
        let mut edges = Vec::new();
        for (index, part) in from.iter().enumerate() {
            let mut fitting = Vec::new();
            self.at(&format!("{}/{index}", a.word()), |compare| {
                fitting = compare.fitting(original.other(*part), update, to);
            });
            if self.given_up() {
                return;
            }
            edges.push(fitting);
        }
        if self.pairs(&edges, to.len()) < from.len().min(to.len()) {
            self.add("COMBINED_TYPE_SUBSCHEMAS_CHANGED");
        }
    }

    /// The places of those that a part fits. What differs there does no harm, and need not be told.
    fn fitting(&mut self, original: Part, update: Part, to: &[NodeId]) -> Vec<usize> {
        let mut places = Vec::new();
        for (place, candidate) in to.iter().enumerate() {
            let (_, fits) = self.trial(original, update.other(*candidate));
            if self.given_up() {
                break;
            }
            if fits {
                places.push(place);
            }
        }
        places
    }

    /// How many pairs can be made at most, each of both sides in one at most.
    fn pairs(&mut self, edges: &[Vec<usize>], places: usize) -> usize {
        let mut taken: Vec<Option<usize>> = vec![None; places];
        for index in 0..edges.len() {
            self.spend(places);
            if self.given_up() {
                break;
            }
            self.augment(index, edges, &mut vec![false; places], &mut taken);
        }
        taken.iter().flatten().count()
    }

    /// Finds a place for one, moving others where they have another.
    fn augment(
        &mut self,
        index: usize,
        edges: &[Vec<usize>],
        seen: &mut [bool],
        taken: &mut [Option<usize>],
    ) -> bool {
        self.spend(edges[index].len());
        if self.given_up() {
            return false;
        }
        if let Some(free) = edges[index].iter().find(|place| taken[**place].is_none()) {
            taken[*free] = Some(index);
            return true;
        }
        for place in &edges[index] {
            if std::mem::replace(&mut seen[*place], true) {
                continue;
            }
            if taken[*place].is_none_or(|other| self.augment(other, edges, seen, taken)) {
                taken[*place] = Some(index);
                return true;
            }
        }
        false
    }

    /// A limit that may be missing; `raised` when a larger one lets more through.
    pub(super) fn limit(
        &mut self,
        keyword: &str,
        from: Option<f64>,
        to: Option<f64>,
        [added, removed, increased, decreased]: [&'static str; 4],
    ) {
        match (from, to) {
            (None, Some(_)) => self.add_at(keyword, added),
            (Some(_), None) => self.add_at(keyword, removed),
            (Some(from), Some(to)) if from < to => self.add_at(keyword, increased),
            (Some(from), Some(to)) if from > to => self.add_at(keyword, decreased),
            _ => {}
        }
    }

    fn texts(&mut self, from: &TextRules, to: &TextRules) {
        self.limit(
            "maxLength",
            from.max_length,
            to.max_length,
            ["MAX_LENGTH_ADDED", "MAX_LENGTH_REMOVED", "MAX_LENGTH_INCREASED", "MAX_LENGTH_DECREASED"],
        );
        self.limit(
            "minLength",
            from.min_length,
            to.min_length,
            ["MIN_LENGTH_ADDED", "MIN_LENGTH_REMOVED", "MIN_LENGTH_INCREASED", "MIN_LENGTH_DECREASED"],
        );
        match (&from.pattern, &to.pattern) {
            (None, Some(_)) => self.add_at("pattern", "PATTERN_ADDED"),
            (Some(_), None) => self.add_at("pattern", "PATTERN_REMOVED"),
            (Some(from), Some(to)) if from != to => self.add_at("pattern", "PATTERN_CHANGED"),
            _ => {}
        }
    }

    fn numbers(&mut self, from: &NumberRules, to: &NumberRules) {
        self.limit(
            "maximum",
            from.maximum,
            to.maximum,
            ["MAXIMUM_ADDED", "MAXIMUM_REMOVED", "MAXIMUM_INCREASED", "MAXIMUM_DECREASED"],
        );
        self.limit(
            "minimum",
            from.minimum,
            to.minimum,
            ["MINIMUM_ADDED", "MINIMUM_REMOVED", "MINIMUM_INCREASED", "MINIMUM_DECREASED"],
        );
        self.limit(
            "exclusiveMaximum",
            from.exclusive_maximum,
            to.exclusive_maximum,
            [
                "EXCLUSIVE_MAXIMUM_ADDED",
                "EXCLUSIVE_MAXIMUM_REMOVED",
                "EXCLUSIVE_MAXIMUM_INCREASED",
                "EXCLUSIVE_MAXIMUM_DECREASED",
            ],
        );
        self.limit(
            "exclusiveMinimum",
            from.exclusive_minimum,
            to.exclusive_minimum,
            [
                "EXCLUSIVE_MINIMUM_ADDED",
                "EXCLUSIVE_MINIMUM_REMOVED",
                "EXCLUSIVE_MINIMUM_INCREASED",
                "EXCLUSIVE_MINIMUM_DECREASED",
            ],
        );
        match (from.multiple_of, to.multiple_of) {
            (None, Some(_)) => self.add_at("multipleOf", "MULTIPLE_OF_ADDED"),
            (Some(_), None) => self.add_at("multipleOf", "MULTIPLE_OF_REMOVED"),
            (Some(from), Some(to)) if from != to => {
                let kind = match (divides(from, to), divides(to, from)) {
                    (true, _) => "MULTIPLE_OF_EXPANDED",
                    (_, true) => "MULTIPLE_OF_REDUCED",
                    _ => "MULTIPLE_OF_CHANGED",
                };
                self.add_at("multipleOf", kind);
            }
            _ => {}
        }
        match (from.whole, to.whole) {
            (true, false) => self.add("TYPE_EXTENDED"),
            (false, true) => self.add("TYPE_NARROWED"),
            _ => {}
        }
    }
}

/// Whether the second number is a multiple of the first, as near as numbers of this kind can tell.
fn divides(part: f64, whole: f64) -> bool {
    let ratio = whole / part;
    part != 0.0
        && ratio.is_finite()
        && (ratio - ratio.round()).abs() < 1e-9 * ratio.abs().max(1.0)
        && ratio.round() != 0.0
}

//! Objects of two JSON schemas. What may be added or removed depends on whether values that are not named are let in:
//! all of them (open), none (closed), or those that fit some schema (partially open).

use std::collections::HashMap;

use super::compare::{BYTES_PER_STEP, Compare, Part};
use super::{ObjectRules, Others, Shape};

type Side<'a> = (Part, &'a ObjectRules);

/// Steps of holding a name against a pattern, and more for a long name.
const PATTERN_STEPS: usize = 10;

impl Compare<'_> {
    pub(super) fn objects(&mut self, from: Side<'_>, to: Side<'_>) {
        self.at("required", |compare| compare.required(from, to));
        self.at("properties", |compare| compare.properties(from, to));
        self.at("dependencies", |compare| compare.dependencies(from, to));
        self.at("additionalProperties", |compare| {
            compare.others(
                (from.0, from.1.additional),
                (to.0, to.1.additional),
                [
                    "ADDITIONAL_PROPERTIES_ADDED",
                    "ADDITIONAL_PROPERTIES_REMOVED",
                    "ADDITIONAL_PROPERTIES_EXTENDED",
                    "ADDITIONAL_PROPERTIES_NARROWED",
                ],
            );
        });
        self.at("unevaluatedProperties", |compare| {
            compare.unevaluated(
                from.1.unevaluated.map(|id| from.0.other(id)),
                to.1.unevaluated.map(|id| to.0.other(id)),
                [
                    "UNEVALUATED_PROPERTIES_ADDED",
                    "UNEVALUATED_PROPERTIES_REMOVED",
                    "UNEVALUATED_PROPERTIES_EXTENDED",
                    "UNEVALUATED_PROPERTIES_NARROWED",
                ],
            );
        });
        self.limit(
            "maxProperties",
            from.1.max_properties,
            to.1.max_properties,
            [
                "MAX_PROPERTIES_ADDED",
                "MAX_PROPERTIES_REMOVED",
                "MAX_PROPERTIES_INCREASED",
                "MAX_PROPERTIES_DECREASED",
            ],
        );
        self.limit(
            "minProperties",
            from.1.min_properties,
            to.1.min_properties,
            [
                "MIN_PROPERTIES_ADDED",
                "MIN_PROPERTIES_REMOVED",
                "MIN_PROPERTIES_INCREASED",
                "MIN_PROPERTIES_DECREASED",
            ],
        );
    }

    fn required(&mut self, (_, from): Side<'_>, (part, to): Side<'_>) {
        let after = self.by_name(&to.properties);
        for (name, _) in &from.properties {
            let Some(&&id) = after.get(name.as_str()) else { continue };
            let kind = match (from.required.contains(name), to.required.contains(name)) {
                (true, false) => "REQUIRED_ATTRIBUTE_REMOVED",
                (false, true) if self.has_default(part.other(id)) => "REQUIRED_ATTRIBUTE_WITH_DEFAULT_ADDED",
                (false, true) => "REQUIRED_ATTRIBUTE_ADDED",
                _ => continue,
            };
            self.add_at(name, kind);
        }
    }

    fn has_default(&self, part: Part) -> bool {
        self.node(part).default.is_some()
    }

    fn properties(&mut self, from: Side<'_>, to: Side<'_>) {
        let (before, after) = (self.by_name(&from.1.properties), self.by_name(&to.1.properties));
        for (name, id) in &from.1.properties {
            if self.given_up() {
                return;
            }
            let original = from.0.other(*id);
            self.at(name, |compare| match after.get(name.as_str()) {
                Some(id) => compare.parts(original, to.0.other(**id)),
                None => compare.property_removed(name, original, to),
            });
        }
        for (name, id) in &to.1.properties {
            if self.given_up() {
                return;
            }
            if !before.contains_key(name.as_str()) {
                self.at(name, |compare| compare.property_added(name, to.0.other(*id), from, to));
            }
        }
    }

    fn property_removed(&mut self, name: &str, original: Part, to: Side<'_>) {
        if self.is_open(to) {
            return self.add("PROPERTY_REMOVED_FROM_OPEN_CONTENT_MODEL");
        }
        match self.covering(to, name) {
            Some(cover) => {
                let (found, fits) = self.trial(original, cover);
                self.found.extend(found);
                self.add(if fits {
                    "PROPERTY_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
                } else {
                    "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
                });
            }
            None if matches!(self.shape(original), Shape::Nothing) => {
                self.add("PROPERTY_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL");
            }
            None => self.add("PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL"),
        }
    }

    fn property_added(&mut self, name: &str, update: Part, from: Side<'_>, to: Side<'_>) {
        let (required, default) = (to.1.required.contains(name), self.has_default(update));
        if self.is_open(from) {
            return self.add(match (required, default) {
                _ if matches!(self.shape(update), Shape::Anything) => {
                    "PROPERTY_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL"
                }
                (true, true) => "REQUIRED_PROPERTY_WITH_DEFAULT_ADDED_TO_OPEN_CONTENT_MODEL",
                (true, false) => "REQUIRED_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL",
                (false, _) => "OPTIONAL_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL",
            });
        }
        if let Some(cover) = self.covering(from, name) {
            let (found, fits) = self.trial(cover, update);
            self.found.extend(found);
            self.add(if fits {
                "PROPERTY_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
            } else {
                "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
            });
        }
        self.add(match (required, default) {
            (true, true) => "REQUIRED_PROPERTY_WITH_DEFAULT_ADDED_TO_UNOPEN_CONTENT_MODEL",
            (true, false) => "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL",
            (false, _) => "OPTIONAL_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL",
        });
    }

    /// The values by their names; the first where one stands twice.
    fn by_name<'l, T>(&mut self, list: &'l [(String, T)]) -> HashMap<&'l str, &'l T> {
        self.spend(list.len());
        list.iter().rev().map(|(name, value)| (name.as_str(), value)).collect()
    }

    fn dependencies(&mut self, from: Side<'_>, to: Side<'_>) {
        self.dependent_names(from, to);
        let (before, after) =
            (self.by_name(&from.1.dependent_schemas), self.by_name(&to.1.dependent_schemas));
        for (name, id) in &from.1.dependent_schemas {
            if self.given_up() {
                return;
            }
            match after.get(name.as_str()) {
                None => self.add_at(name, "DEPENDENCY_SCHEMA_REMOVED"),
                Some(other) => {
                    self.at(name, |compare| compare.parts(from.0.other(*id), to.0.other(**other)));
                }
            }
        }
        for (name, _) in &to.1.dependent_schemas {
            if !before.contains_key(name.as_str()) {
                self.add_at(name, "DEPENDENCY_SCHEMA_ADDED");
            }
        }
    }

    fn dependent_names(&mut self, (_, from): Side<'_>, (_, to): Side<'_>) {
        let (before, after) = (self.by_name(&from.dependent_names), self.by_name(&to.dependent_names));
        for (name, names) in &from.dependent_names {
            let others = after.get(name.as_str());
            self.spend(names.len() + others.map_or(0, |others| others.len()));
            if self.given_up() {
                return;
            }
            let kind = match others.map(|others| (names.is_subset(others), others.is_subset(names))) {
                None => "DEPENDENCY_ARRAY_REMOVED",
                Some((true, true)) => continue,
                Some((true, false)) => "DEPENDENCY_ARRAY_EXTENDED",
                Some((false, true)) => "DEPENDENCY_ARRAY_NARROWED",
                Some((false, false)) => "DEPENDENCY_ARRAY_CHANGED",
            };
            self.add_at(name, kind);
        }
        for (name, _) in &to.dependent_names {
            if !before.contains_key(name.as_str()) {
                self.add_at(name, "DEPENDENCY_ARRAY_ADDED");
            }
        }
    }

    /// What is said of values beyond the named ones, of objects as of arrays.
    pub(super) fn others(
        &mut self,
        (part, from): (Part, Others),
        (other, to): (Part, Others),
        [added, removed, extended, narrowed]: [&'static str; 4],
    ) {
        match (from, to) {
            (Others::None, Others::None) | (Others::Any, Others::Any) => {}
            (Others::None, _) => self.add(added),
            (_, Others::None) => self.add(removed),
            (Others::Any, Others::Schema(_)) => self.add(narrowed),
            (Others::Schema(_), Others::Any) => self.add(extended),
            (Others::Schema(from), Others::Schema(to)) => self.parts(part.other(from), other.other(to)),
        }
    }

    /// The same of values that no other keyword has looked at.
    pub(super) fn unevaluated(
        &mut self,
        from: Option<Part>,
        to: Option<Part>,
        [added, removed, extended, narrowed]: [&'static str; 4],
    ) {
        let nothing =
            |part: Option<Part>| part.is_some_and(|part| matches!(self.shape(part), Shape::Nothing));
        let anything =
            |part: Option<Part>| part.is_none_or(|part| matches!(self.shape(part), Shape::Anything));
        let kind = match ((nothing(from), nothing(to)), (anything(from), anything(to))) {
            _ if from.is_none() && to.is_none() => return,
            ((true, false), _) => added,
            ((false, true), _) => removed,
            (_, (true, false)) => narrowed,
            (_, (false, true)) => extended,
            _ if from.is_none() => narrowed,
            _ if to.is_none() => extended,
            _ => return self.optional(from, to),
        };
        self.add(kind);
    }

    fn is_open(&self, (part, rules): Side<'_>) -> bool {
        let anything = |id| matches!(self.shape(part.other(id)), Shape::Anything);
        matches!(rules.additional, Others::Any)
            && rules.patterns.is_empty()
            && rules.unevaluated.is_none_or(anything)
    }

    /// The schema that a property which is not named must fit, where there is one.
    fn covering(&mut self, (part, rules): Side<'_>, name: &str) -> Option<Part> {
        self.spend(rules.patterns.len() * (PATTERN_STEPS + name.len() / BYTES_PER_STEP));
        if self.given_up() {
            return None;
        }
        let matches = |pattern: &fancy_regex::Regex| pattern.is_match(name).unwrap_or(false);
        let by_pattern = rules.patterns.iter().find(|(pattern, _)| pattern.as_ref().is_some_and(matches));
        let id = match (by_pattern, rules.additional) {
            (Some((_, id)), _) => *id,
            (None, Others::Schema(id)) => id,
            (None, Others::None) => return None,
            (None, Others::Any) => {
                let id = rules.unevaluated?;
                if matches!(self.shape(part.other(id)), Shape::Anything | Shape::Nothing) {
                    return None;
                }
                id
            }
        };
        Some(part.other(id))
    }
}

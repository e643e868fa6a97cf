//! Arrays of two JSON schemas.

use super::compare::{Compare, Part};
use super::{ArrayRules, Others, Shape};

type Side<'a> = (Part, &'a ArrayRules);

impl Compare<'_> {
    pub(super) fn arrays(&mut self, from: Side<'_>, to: Side<'_>) {
        let whole = |side: Side<'_>| side.1.all_items.map(|id| side.0.other(id));
        self.at("items", |compare| compare.optional(whole(from), whole(to)));
        self.items(from, to);
        self.at("additionalItems", |compare| {
            compare.others(
                (from.0, from.1.additional),
                (to.0, to.1.additional),
                [
                    "ADDITIONAL_ITEMS_ADDED",
                    "ADDITIONAL_ITEMS_REMOVED",
                    "ADDITIONAL_ITEMS_EXTENDED",
                    "ADDITIONAL_ITEMS_NARROWED",
                ],
            );
        });
        self.at("unevaluatedItems", |compare| {
            compare.unevaluated(
                from.1.unevaluated.map(|id| from.0.other(id)),
                to.1.unevaluated.map(|id| to.0.other(id)),
                [
                    "UNEVALUATED_ITEMS_ADDED",
                    "UNEVALUATED_ITEMS_REMOVED",
                    "UNEVALUATED_ITEMS_EXTENDED",
                    "UNEVALUATED_ITEMS_NARROWED",
                ],
            );
        });
        self.limit(
            "maxItems",
            from.1.max_items,
            to.1.max_items,
            ["MAX_ITEMS_ADDED", "MAX_ITEMS_REMOVED", "MAX_ITEMS_INCREASED", "MAX_ITEMS_DECREASED"],
        );
        self.limit(
            "minItems",
            from.1.min_items,
            to.1.min_items,
            ["MIN_ITEMS_ADDED", "MIN_ITEMS_REMOVED", "MIN_ITEMS_INCREASED", "MIN_ITEMS_DECREASED"],
        );
        match (from.1.unique, to.1.unique) {
            (true, false) => self.add_at("uniqueItems", "UNIQUE_ITEMS_REMOVED"),
            (false, true) => self.add_at("uniqueItems", "UNIQUE_ITEMS_ADDED"),
            _ => {}
        }
        self.limit(
            "maxContains",
            from.1.max_contains,
            to.1.max_contains,
            [
                "MAX_CONTAINS_ADDED",
                "MAX_CONTAINS_REMOVED",
                "MAX_CONTAINS_INCREASED",
                "MAX_CONTAINS_DECREASED",
            ],
        );
        self.limit(
            "minContains",
            from.1.min_contains,
            to.1.min_contains,
            [
                "MIN_CONTAINS_ADDED",
                "MIN_CONTAINS_REMOVED",
                "MIN_CONTAINS_INCREASED",
                "MIN_CONTAINS_DECREASED",
            ],
        );
    }

    /// Items that have a schema each.
    fn items(&mut self, from: Side<'_>, to: Side<'_>) {
        for index in 0..from.1.items.len().max(to.1.items.len()) {
            if self.given_up() {
                return;
            }
            let original = from.1.items.get(index).map(|id| from.0.other(*id));
            let update = to.1.items.get(index).map(|id| to.0.other(*id));
            self.at(&format!("items/{index}"), |compare| match (original, update) {
                (Some(original), Some(update)) => compare.parts(original, update),
                (Some(original), None) => compare.item_removed(original, to),
                (None, Some(update)) => compare.item_added(update, from),
                (None, None) => {}
            });
        }
    }

    fn item_removed(&mut self, original: Part, to: Side<'_>) {
        if self.is_open_array(to) {
            return self.add("ITEM_REMOVED_FROM_OPEN_CONTENT_MODEL");
        }
        match self.covering_items(to) {
            Some(cover) => {
                let (found, fits) = self.trial(original, cover);
                self.found.extend(found);
                self.add(if fits {
                    "ITEM_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
                } else {
                    "ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
                });
            }
            None if matches!(self.shape(original), Shape::Nothing) => {
                self.add("ITEM_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL");
            }
            None => self.add("ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL"),
        }
    }

    fn item_added(&mut self, update: Part, from: Side<'_>) {
        if self.is_open_array(from) {
            return self.add(match self.shape(update) {
                Shape::Anything => "ITEM_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL",
                _ => "ITEM_ADDED_TO_OPEN_CONTENT_MODEL",
            });
        }
        match self.covering_items(from) {
            Some(cover) => {
                let (found, fits) = self.trial(cover, update);
                self.found.extend(found);
                self.add(if fits {
                    "ITEM_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
                } else {
                    "ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL"
                });
            }
            None => self.add("ITEM_ADDED_TO_CLOSED_CONTENT_MODEL"),
        }
    }

    fn is_open_array(&self, (part, rules): Side<'_>) -> bool {
        let anything = |id| matches!(self.shape(part.other(id)), Shape::Anything);
        matches!(rules.additional, Others::Any) && rules.unevaluated.is_none_or(anything)
    }

    fn covering_items(&self, (part, rules): Side<'_>) -> Option<Part> {
        match rules.additional {
            Others::Schema(id) => Some(part.other(id)),
            Others::None => None,
            Others::Any => {
                let id = rules.unevaluated?;
                let partly = !matches!(self.shape(part.other(id)), Shape::Anything | Shape::Nothing);
                partly.then(|| part.other(id))
            }
        }
    }
}

//! Which differences between JSON schemas do no harm, and how the others are told.

/// Differences after which everything that the old schema let through is still let through.
const HARMLESS: &[&str] = &[
    "ID_CHANGED",
    "DESCRIPTION_CHANGED",
    "TITLE_CHANGED",
    "DEFAULT_CHANGED",
    "SCHEMA_REMOVED",
    "TYPE_EXTENDED",
    "MAX_LENGTH_INCREASED",
    "MAX_LENGTH_REMOVED",
    "MIN_LENGTH_DECREASED",
    "MIN_LENGTH_REMOVED",
    "PATTERN_REMOVED",
    "MAXIMUM_INCREASED",
    "MAXIMUM_REMOVED",
    "MINIMUM_DECREASED",
    "MINIMUM_REMOVED",
    "EXCLUSIVE_MAXIMUM_INCREASED",
    "EXCLUSIVE_MAXIMUM_REMOVED",
    "EXCLUSIVE_MINIMUM_DECREASED",
    "EXCLUSIVE_MINIMUM_REMOVED",
    "MULTIPLE_OF_REDUCED",
    "MULTIPLE_OF_REMOVED",
    "REQUIRED_ATTRIBUTE_WITH_DEFAULT_ADDED",
    "REQUIRED_ATTRIBUTE_REMOVED",
    "DEPENDENCY_ARRAY_NARROWED",
    "DEPENDENCY_ARRAY_REMOVED",
    "DEPENDENCY_SCHEMA_REMOVED",
    "MAX_PROPERTIES_INCREASED",
    "MAX_PROPERTIES_REMOVED",
    "MIN_PROPERTIES_DECREASED",
    "MIN_PROPERTIES_REMOVED",
    "ADDITIONAL_PROPERTIES_ADDED",
    "ADDITIONAL_PROPERTIES_EXTENDED",
    "UNEVALUATED_PROPERTIES_ADDED",
    "UNEVALUATED_PROPERTIES_EXTENDED",
    "PROPERTY_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL",
    "REQUIRED_PROPERTY_WITH_DEFAULT_ADDED_TO_UNOPEN_CONTENT_MODEL",
    "OPTIONAL_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL",
    "PROPERTY_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL",
    "PROPERTY_REMOVED_FROM_OPEN_CONTENT_MODEL",
    "PROPERTY_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
    "PROPERTY_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
    "MAX_ITEMS_INCREASED",
    "MAX_ITEMS_REMOVED",
    "MIN_ITEMS_DECREASED",
    "MIN_ITEMS_REMOVED",
    "MAX_CONTAINS_INCREASED",
    "MAX_CONTAINS_REMOVED",
    "MIN_CONTAINS_DECREASED",
    "MIN_CONTAINS_REMOVED",
    "UNIQUE_ITEMS_REMOVED",
    "ADDITIONAL_ITEMS_ADDED",
    "ADDITIONAL_ITEMS_EXTENDED",
    "UNEVALUATED_ITEMS_ADDED",
    "UNEVALUATED_ITEMS_EXTENDED",
    "ITEM_WITH_EMPTY_SCHEMA_ADDED_TO_OPEN_CONTENT_MODEL",
    "ITEM_ADDED_TO_CLOSED_CONTENT_MODEL",
    "ITEM_WITH_FALSE_REMOVED_FROM_CLOSED_CONTENT_MODEL",
    "ITEM_REMOVED_FROM_OPEN_CONTENT_MODEL",
    "ITEM_ADDED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
    "ITEM_REMOVED_IS_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
    "ENUM_ARRAY_EXTENDED",
    "COMBINED_TYPE_EXTENDED",
    "PRODUCT_TYPE_NARROWED",
    "SUM_TYPE_EXTENDED",
    "NOT_TYPE_NARROWED",
];

/// What the lenient policy lets pass as well: it takes objects for what their authors mean, not for what they let in.
const LENIENT: &[&str] = &[
    "ADDITIONAL_PROPERTIES_NARROWED",
    "ADDITIONAL_PROPERTIES_REMOVED",
    "UNEVALUATED_PROPERTIES_NARROWED",
    "UNEVALUATED_PROPERTIES_REMOVED",
    "REQUIRED_PROPERTY_WITH_DEFAULT_ADDED_TO_OPEN_CONTENT_MODEL",
    "OPTIONAL_PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL",
    "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL",
    "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
    "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
];

/// Whether a difference keeps no value out that was let in before.
pub(super) fn harmless(kind: &str, lenient: bool) -> bool {
    HARMLESS.contains(&kind) || (lenient && LENIENT.contains(&kind))
}

/// The sentence of a difference, with `%s` for the schemas.
pub(super) fn sentence(kind: &str, path: &str) -> String {
    match kind {
        "ADDITIONAL_ITEMS_REMOVED"
        | "ADDITIONAL_PROPERTIES_REMOVED"
        | "UNEVALUATED_PROPERTIES_REMOVED"
        | "UNEVALUATED_ITEMS_REMOVED"
        | "REQUIRED_ATTRIBUTE_ADDED" => keyword(path),
        "MULTIPLE_OF_EXPANDED" => more(path),
        "PATTERN_CHANGED" | "MULTIPLE_OF_CHANGED" | "DEPENDENCY_ARRAY_CHANGED" => {
            format!("The value at path '{path}' is different between the %s and %s schema")
        }
        "TYPE_CHANGED"
        | "TYPE_NARROWED"
        | "COMBINED_TYPE_CHANGED"
        | "COMBINED_TYPE_SUBSCHEMAS_CHANGED"
        | "ENUM_ARRAY_CHANGED" => {
            format!("A type at path '{path}' is different between the %s schema and the %s schema")
        }
        "DEPENDENCY_ARRAY_EXTENDED" | "PRODUCT_TYPE_EXTENDED" | "SUM_TYPE_EXTENDED" | "NOT_TYPE_EXTENDED" => {
            format!(
                "An array or combined type at path '{path}' has more elements in the %s schema than the %s schema"
            )
        }
        "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL" => format!(
            "The %s schema has an unopen content model and has a required property at path '{path}' which is missing in the %s schema"
        ),
        _ if kind.ends_with("ADDED_TO_OPEN_CONTENT_MODEL") => format!(
            "The %s schema has an open content model and has a property or item at path '{path}' which is missing in the %s schema"
        ),
        _ if kind.ends_with("REMOVED_FROM_CLOSED_CONTENT_MODEL") => format!(
            "The %s has a closed content model and is missing a property or item present at path '{path}' in the %s schema"
        ),
        _ if kind.contains("REMOVED_NOT_COVERED") => format!(
            "A property or item is missing in the %s schema but present at path '{path}' in the %s schema and is not covered by its partially open content model"
        ),
        _ if kind.contains("ADDED_NOT_COVERED") => format!(
            "The %s schema has a property or item at path '{path}' which is missing in the %s schema and is not covered by its partially open content model"
        ),
        _ if kind.ends_with("_NARROWED") => format!(
            "An array or combined type at path '{path}' has fewer elements in the %s schema than the %s schema"
        ),
        _ if kind.ends_with("_ADDED") => keyword(path),
        _ if kind.ends_with("_INCREASED") => more(path),
        _ if kind.ends_with("_DECREASED") => {
            format!("The value at path '{path}' in the %s schema is less than its value in the %s schema")
        }
        _ => format!("The schemas differ at path '{path}'"),
    }
}

fn keyword(path: &str) -> String {
    format!("The keyword at path '{path}' in the %s schema is not present in the %s schema")
}

fn more(path: &str) -> String {
    format!("The value at path '{path}' in the %s schema is more than its value in the %s schema")
}

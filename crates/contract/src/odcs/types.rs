//! Types: our names, the logical types of the standard, and the names that others use in `physicalType`.

use flowline_model::ColumnType;
use serde_json::{Map, Value, json};

/// The logical type, its options, and what is nested within, as keys of a property.
pub(super) fn describe(kind: &ColumnType) -> Map<String, Value> {
    let mut property = Map::new();
    let mut set = |key: &str, value: Value| drop(property.insert(key.to_owned(), value));
    set("logicalType", logical(kind).into());
    set("physicalType", kind.to_string().into());
    match kind {
        ColumnType::Int8 => set("logicalTypeOptions", json!({ "format": "i8" })),
        ColumnType::Int16 => set("logicalTypeOptions", json!({ "format": "i16" })),
        ColumnType::Int32 => set("logicalTypeOptions", json!({ "format": "i32" })),
        ColumnType::Int64 => set("logicalTypeOptions", json!({ "format": "i64" })),
        ColumnType::Float32 => set("logicalTypeOptions", json!({ "format": "f32" })),
        ColumnType::Float64 => set("logicalTypeOptions", json!({ "format": "f64" })),
        ColumnType::List(item) => set("items", Value::Object(describe(item))),
        ColumnType::Struct(fields) => {
            let field = |(name, kind): &(String, ColumnType)| {
                let mut property = Map::new();
                property.insert("name".to_owned(), name.clone().into());
                property.extend(describe(kind));
                Value::Object(property)
            };
            set("properties", fields.iter().map(field).collect());
        }
        _ => {}
    }
    property
}

fn logical(kind: &ColumnType) -> &'static str {
    match kind {
        // The standard has neither bytes nor documents: they are texts of some form.
        ColumnType::String | ColumnType::Binary | ColumnType::Json => "string",
        ColumnType::Boolean => "boolean",
        ColumnType::Int8 | ColumnType::Int16 | ColumnType::Int32 | ColumnType::Int64 => "integer",
        ColumnType::Float32 | ColumnType::Float64 | ColumnType::Decimal { .. } => "number",
        ColumnType::Date => "date",
        ColumnType::Timestamp => "timestamp",
        ColumnType::List(_) => "array",
        ColumnType::Struct(_) => "object",
    }
}

/// The type of a property: what its `physicalType` says where we know the word, or else its logical type.
///
/// # Errors
/// Why it has none.
pub(super) fn read(property: &Value, depth: usize) -> Result<ColumnType, String> {
    if depth > flowline_model::column::MAX_DEPTH {
        return Err("types are nested too deeply".to_owned());
    }
    let text = |key: &str| property[key].as_str().map(str::trim);
    let logical = text("logicalType").map(str::to_ascii_lowercase);
    match logical.as_deref() {
        Some("array") => return list(property, depth),
        Some("object") if property["properties"].is_array() => return structure(property, depth),
        _ => {}
    }
    if let Some(known) = text("physicalType").and_then(physical) {
        let agrees = |logical: &str| logical_fits(logical, &known);
        if logical.as_deref().is_none_or(agrees) {
            return Ok(known);
        }
    }
    let format = property["logicalTypeOptions"]["format"].as_str();
    Ok(match logical.as_deref() {
        Some("string") => ColumnType::String,
        Some("boolean") => ColumnType::Boolean,
        Some("date") => ColumnType::Date,
        Some("timestamp") => ColumnType::Timestamp,
        Some("integer") => match format {
            Some("i8") => ColumnType::Int8,
            Some("i16" | "u8") => ColumnType::Int16,
            Some("i32" | "u16") => ColumnType::Int32,
            _ => ColumnType::Int64,
        },
        Some("number") => {
            if format == Some("f32") {
                ColumnType::Float32
            } else {
                ColumnType::Float64
            }
        }
        // An object of which nothing more is said.
        Some("object") => ColumnType::Json,
        Some("time") => return Err("`time` is no type of a column here; it is kept as text".to_owned()),
        Some(other) => return Err(format!("the logical type `{other}` is not known; it is kept as text")),
        None => return Err("it has no type; it is kept as text".to_owned()),
    })
}

fn list(property: &Value, depth: usize) -> Result<ColumnType, String> {
    let items = &property["items"];
    let item = if items.is_object() { read(items, depth + 1)? } else { ColumnType::Json };
    Ok(ColumnType::List(Box::new(item)))
}

fn structure(property: &Value, depth: usize) -> Result<ColumnType, String> {
    let mut fields: Vec<(String, ColumnType)> = Vec::new();
    for field in property["properties"].as_array().into_iter().flatten() {
        let name = field["name"].as_str().ok_or("a field within it has no name")?;
        // The name stands within the text of our type.
        if name.contains([':', ',', '<', '>', '(', ')']) || name.trim() != name || name.is_empty() {
            return Err(format!("the field `{name}` within it cannot be written in a type"));
        }
        if fields.iter().any(|(known, _)| known == name) {
            return Err(format!("the field `{name}` stands twice within it"));
        }
        fields.push((name.to_owned(), read(field, depth + 1)?));
    }
    if fields.is_empty() { Ok(ColumnType::Json) } else { Ok(ColumnType::Struct(fields)) }
}

fn logical_fits(logical: &str, kind: &ColumnType) -> bool {
    logical == self::logical(kind)
        // Whole numbers are often kept in types that could hold more.
        || (logical == "integer" && matches!(kind, ColumnType::Decimal { scale: 0, .. }))
        || (logical == "object" && *kind == ColumnType::Json)
        || (logical == "number" && self::logical(kind) == "integer")
}

/// The type that a system calls by this name.
fn physical(name: &str) -> Option<ColumnType> {
    if let Ok(kind) = name.parse() {
        return Some(kind);
    }
    let name = name.to_ascii_lowercase();
    if let Ok(kind) = name.replace("numeric(", "decimal(").replace("number(", "decimal(").parse() {
        return Some(kind);
    }
    let word = name.split('(').next().unwrap_or_default().trim();
    Some(match word {
        "varchar" | "char" | "text" | "nvarchar" | "utf8" | "uuid" | "character varying" => {
            ColumnType::String
        }
        "tinyint" => ColumnType::Int8,
        "smallint" | "short" | "int2" => ColumnType::Int16,
        "integer" | "int4" => ColumnType::Int32,
        "long" | "int8 unsigned" => ColumnType::Int64,
        "real" | "float4" => ColumnType::Float32,
        "double precision" | "float8" => ColumnType::Float64,
        "datetime" | "timestamptz" | "timestamp_tz" | "timestamp with time zone" => ColumnType::Timestamp,
        "bytea" | "blob" | "bytes" | "varbinary" => ColumnType::Binary,
        "jsonb" | "variant" => ColumnType::Json,
        _ => return None,
    })
}

//! One value of a record becomes one value of a column, or the reason why it cannot.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flowline_source::json::{self, Json, JsonError, Kind};
use flowline_source::number::{self, NumberError};

use super::column::{ColumnBuilder, ListBuilder, StructBuilder};

use super::time::TimeFormat;

/// Base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a value is not what the column holds.
#[derive(Debug)]
pub(crate) enum ValueError {
    /// The record is no JSON from here on.
    Json(JsonError),
    /// The value is of another type; the value was read and null was appended.
    Type(String),
}

impl From<JsonError> for ValueError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

/// What is learnt on the way through a nested value: fields that the contract does not know.
#[derive(Debug, Default)]
pub(crate) struct Nested {
    /// Where we are, `address.street`; only kept up below the top.
    path: Vec<String>,
    /// The first unknown field of the value, with its path.
    unknown: Option<String>,
    /// Whether values are written as their types demand, and not as the columns say.
    pub(crate) typed: bool,
    /// Room for a text with escapes.
    scratch: String,
}

impl Nested {
    /// Goes into a column of its own.
    pub(crate) fn enter(&mut self, field: &str) {
        self.path.clear();
        self.path.push(field.to_owned());
        self.unknown = None;
    }

    /// The unknown field that was met since.
    pub(crate) fn leave(&mut self) -> Option<String> {
        self.unknown.take()
    }

    fn note_unknown(&mut self, name: &str) {
        if self.unknown.is_none() {
            let mut path = self.path.join(".");
            path.push('.');
            path.push_str(name);
            self.unknown = Some(path);
        }
    }
}

impl ColumnBuilder {
    /// Reads the value of this kind that comes next and appends it, or null with the reason why not. Whatever happens,
    /// exactly one value was appended; after [`ValueError::Json`] nothing more can be read.
    pub(crate) fn append_json(
        &mut self,
        json: &mut Json<'_>,
        kind: Kind,
        nested: &mut Nested,
    ) -> Result<(), ValueError> {
        let result = match kind {
            Kind::Null => json.null().map_err(ValueError::Json).map(|()| false),
            Kind::Text => self.append_json_string(json, nested),
            Kind::True | Kind::False => self.append_json_boolean(json),
            Kind::Object | Kind::List => return self.append_json_nested(json, kind, nested),
            Kind::Number => self.append_json_number(json),
        };
        match result {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.append_null();
                Ok(())
            }
            Err(error) => {
                self.append_null();
                Err(error)
            }
        }
    }

    fn append_json_string(&mut self, json: &mut Json<'_>, nested: &mut Nested) -> Result<bool, ValueError> {
        if let Self::Json(builder) = self {
            let start = json.at();
            json.skip()?;
            builder.append_value(json.since(start));
            return Ok(true);
        }
        let typed = nested.typed;
        let text = json.text(&mut nested.scratch)?;
        match self {
            Self::Timestamp(builder, format) if typed && !matches!(**format, TimeFormat::Iso) => {
                let value = TimeFormat::Iso.timestamp(text).or_else(|| format.timestamp(text));
                let wrong = || ValueError::Type(format!("{} is not a timestamp", quoted(text)));
                builder.append_value(value.ok_or_else(wrong)?);
                Ok(true)
            }
            Self::Date(builder, format) if typed && !matches!(**format, TimeFormat::Iso) => {
                let value = TimeFormat::Iso.date(text).or_else(|| format.date(text));
                let wrong = || ValueError::Type(format!("{} is not a date", quoted(text)));
                builder.append_value(value.ok_or_else(wrong)?);
                Ok(true)
            }
            Self::Text(builder) => {
                builder.append_value(text);
                Ok(true)
            }
            // Numbers too large for what reads JSON elsewhere are sent as text; truth values never need to be.
            Self::Boolean(_) | Self::List(_) | Self::Struct(_) => {
                Err(self.wrong_type(&format!("the text {}", quoted(text))))
            }
            _ => self.append_scalar(text).map(|()| true).map_err(ValueError::Type),
        }
    }

    fn append_json_boolean(&mut self, json: &mut Json<'_>) -> Result<bool, ValueError> {
        let value = json.boolean()?;
        match self {
            Self::Boolean(builder) => builder.append_value(value),
            Self::Json(builder) => builder.append_value(if value { "true" } else { "false" }),
            _ => return Err(self.wrong_type(if value { "`true`" } else { "`false`" })),
        }
        Ok(true)
    }

    fn append_json_number(&mut self, json: &mut Json<'_>) -> Result<bool, ValueError> {
        if self.append_whole(json) {
            return Ok(true);
        }
        let text = json.number()?;
        match self {
            Self::Json(builder) => {
                builder.append_value(text);
                Ok(true)
            }
            Self::Date(_, format) | Self::Timestamp(_, format) if !format.is_epoch() => {
                Err(self.wrong_type(&format!("the number {}", shortened(text))))
            }
            Self::Text(_) | Self::Boolean(_) | Self::Binary(_) | Self::List(_) | Self::Struct(_) => {
                Err(self.wrong_type(&format!("the number {}", shortened(text))))
            }
            _ => self.append_scalar(text).map(|()| true).map_err(ValueError::Type),
        }
    }

    /// Appends the number that comes next if it is a short whole one and the column is of such.
    #[inline]
    fn append_whole(&mut self, json: &mut Json<'_>) -> bool {
        match self {
            Self::Int32(builder) => whole(json).map(|number| builder.append_value(number)),
            Self::Int64(builder) => whole(json).map(|number| builder.append_value(number)),
            _ => None,
        }
        .is_some()
    }

    fn append_json_nested(
        &mut self,
        json: &mut Json<'_>,
        kind: Kind,
        nested: &mut Nested,
    ) -> Result<(), ValueError> {
        match (&mut *self, kind) {
            (Self::Json(builder), _) => {
                let start = json.at();
                let value = json.skip().map(|()| json.since(start));
                builder.append_option(value.ok());
                Ok(value.map(drop)?)
            }
            (Self::List(list), Kind::List) => append_list(list, json, nested),
            (Self::Struct(fields), Kind::Object) => append_struct(fields, json, nested),
            _ => {
                self.append_null();
                json.skip()?;
                Err(self.wrong_type(if kind == Kind::List { "a list" } else { "an object" }))
            }
        }
    }

    /// Appends the value that a text stands for, or null with the reason why not.
    pub(crate) fn append_text(&mut self, text: &str) -> Result<(), String> {
        if matches!(self, Self::List(_) | Self::Struct(_)) {
            return self.append_nested_text(text);
        }
        // White space around text may be meant; around anything else it is an accident of writing.
        let text = if matches!(self, Self::Text(_)) { text } else { text.trim() };
        let result = self.append_scalar(text);
        if result.is_err() {
            self.append_null();
        }
        result
    }

    /// Appends the value that a text stands for, or nothing with the reason why not.
    fn append_scalar(&mut self, text: &str) -> Result<(), String> {
        let number = |error: NumberError| format!("{} {}", quoted(text), error.reason());
        match self {
            Self::Text(builder) => builder.append_value(text),
            Self::Int8(builder) => builder.append_value(number::integer(text).map_err(number)?),
            Self::Int16(builder) => builder.append_value(number::integer(text).map_err(number)?),
            Self::Int32(builder) => builder.append_value(number::integer(text).map_err(number)?),
            Self::Int64(builder) => builder.append_value(number::integer(text).map_err(number)?),
            Self::Float32(builder) => builder.append_value(number::float32(text).map_err(number)?),
            Self::Float64(builder) => builder.append_value(number::float64(text).map_err(number)?),
            Self::Decimal(builder, digits) => builder.append_value(digits.parse(text).map_err(number)?),
            Self::Date(builder, format) => {
                builder.append_value(
                    format.date(text).ok_or_else(|| format!("{} is not a date", quoted(text)))?,
                );
            }
            Self::Timestamp(builder, format) => {
                let value = format.timestamp(text);
                builder.append_value(value.ok_or_else(|| format!("{} is not a timestamp", quoted(text)))?);
            }
            Self::Binary(builder) => {
                let bytes = BASE64.decode(text).map_err(|_| format!("{} is not base64", quoted(text)))?;
                builder.append_value(bytes);
            }
            Self::Boolean(builder) => {
                let value =
                    boolean(text).ok_or_else(|| format!("{} is neither true nor false", quoted(text)))?;
                builder.append_value(value);
            }
            Self::Json(builder) => {
                if !json::is_value(text) {
                    return Err(format!("{} is not JSON", quoted(text)));
                }
                builder.append_option(Some(text.trim()).filter(|text| *text != "null"));
            }
            Self::List(_) | Self::Struct(_) => {
                return Err(format!("{} is not {}", quoted(text), self.expected()));
            }
        }
        Ok(())
    }

    /// Lists and structs in a text format are written as JSON. Appends exactly one value or null.
    fn append_nested_text(&mut self, text: &str) -> Result<(), String> {
        let mut json = Json::new(text);
        let fits = json::is_value(text);
        match (&*self, json.peek()) {
            (Self::List(_), Ok(kind @ Kind::List)) | (Self::Struct(_), Ok(kind @ Kind::Object)) if fits => {
                self.append_json(&mut json, kind, &mut Nested::default()).map_err(|error| match error {
                    ValueError::Type(message) => message,
                    ValueError::Json(error) => error.to_string(),
                })
            }
            _ => {
                self.append_null();
                Err(format!("{} is not {}", quoted(text), self.expected()))
            }
        }
    }

    fn wrong_type(&self, found: &str) -> ValueError {
        ValueError::Type(format!("expected {}, found {found}", self.expected()))
    }

    /// What the column takes, with its article.
    pub(crate) fn expected(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Json(_) => "JSON",
            Self::Boolean(_) => "true or false",
            Self::Int8(_) => "a whole number of 8 bits",
            Self::Int16(_) => "a whole number of 16 bits",
            Self::Int32(_) => "a whole number of 32 bits",
            Self::Int64(_) => "a whole number of 64 bits",
            Self::Float32(_) | Self::Float64(_) => "a number",
            Self::Decimal(..) => "a decimal number",
            Self::Date(..) => "a date",
            Self::Timestamp(..) => "a timestamp",
            Self::Binary(_) => "base64",
            Self::List(_) => "a list",
            Self::Struct(_) => "an object",
        }
    }
}

/// Passes the whole number that comes next if it is a short one that the type has.
#[inline]
fn whole<T: TryFrom<i64>>(json: &mut Json<'_>) -> Option<T> {
    let mut ahead = json.clone();
    let number = T::try_from(ahead.whole()?).ok()?;
    *json = ahead;
    Some(number)
}

fn append_list(list: &mut ListBuilder, json: &mut Json<'_>, nested: &mut Nested) -> Result<(), ValueError> {
    let mut wrong = None;
    let mut step = json.list().and_then(|()| json.item(true));
    let result = loop {
        let kind = match step {
            Ok(Some(kind)) => kind,
            Ok(None) => break wrong.map_or(Ok(()), |message| Err(ValueError::Type(message))),
            Err(error) => break Err(error.into()),
        };
        let appended = list.element.append_json(json, kind, nested);
        list.element_appended();
        match appended {
            Ok(()) => {}
            Err(ValueError::Type(message)) => wrong = wrong.or(Some(format!("in the list: {message}"))),
            Err(error) => break Err(error),
        }
        step = json.item(false);
    };
    list.end(true);
    result
}

fn append_struct(
    builder: &mut StructBuilder,
    json: &mut Json<'_>,
    nested: &mut Nested,
) -> Result<(), ValueError> {
    let mut wrong = None;
    let mut filled = vec![false; builder.fields.len()];
    let mut step = json.object().and_then(|()| json.member(true));
    let result = loop {
        match step {
            Ok(true) => {}
            Ok(false) => break wrong.map_or(Ok(()), |message| Err(ValueError::Type(message))),
            Err(error) => break Err(error.into()),
        }
        match append_member(builder, &mut filled, json, nested) {
            Ok(()) => {}
            Err(ValueError::Type(message)) => wrong = wrong.or(Some(message)),
            Err(error) => break Err(error),
        }
        step = json.member(false);
    };
    for (index, _) in filled.iter().enumerate().filter(|(_, filled)| !**filled) {
        builder.fields[index].1.append_null();
    }
    builder.end(true);
    result
}

fn append_member(
    builder: &mut StructBuilder,
    filled: &mut [bool],
    json: &mut Json<'_>,
    nested: &mut Nested,
) -> Result<(), ValueError> {
    let mut scratch = std::mem::take(&mut nested.scratch);
    let key = json.key(&mut scratch)?;
    let place = builder.fields.iter().position(|(field, _)| field == key);
    if place.is_none() {
        nested.note_unknown(key);
    }
    nested.scratch = scratch;
    let kind = json.peek()?;
    let Some(place) = place else { return Ok(json.skip()?) };
    let (name, field) = &mut builder.fields[place];
    if std::mem::replace(&mut filled[place], true) {
        json.skip()?;
        return Err(ValueError::Type(format!("`{name}` stands twice")));
    }
    let deeper = matches!(field, ColumnBuilder::List(_) | ColumnBuilder::Struct(_));
    if deeper {
        nested.path.push(name.clone());
    }
    let result = field.append_json(json, kind, nested);
    if deeper {
        nested.path.pop();
    }
    result.map_err(|error| match error {
        ValueError::Type(message) => ValueError::Type(format!("in `{name}`: {message}")),
        error => error,
    })
}

/// The words that are taken for truth values in text formats.
fn boolean(text: &str) -> Option<bool> {
    const TRUE: [&str; 5] = ["true", "t", "yes", "y", "1"];
    const FALSE: [&str; 5] = ["false", "f", "no", "n", "0"];
    let is_in = |words: [&str; 5]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_in(TRUE) { Some(true) } else { is_in(FALSE).then_some(false) }
}

/// A value as a message shows it.
pub(crate) fn quoted(text: &str) -> String {
    format!("`{}`", shortened(text))
}

fn shortened(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", text[..end].escape_debug()),
        None => text.escape_debug().to_string(),
    }
}

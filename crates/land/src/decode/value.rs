//! One value of a record becomes one value of a column, or the reason why it cannot.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiter::{Jiter, JiterError, Peek};

use super::column::{ColumnBuilder, ListBuilder, StructBuilder};
use super::number::{self, NumberError};
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
    Json(JiterError),
    /// The value is of another type; the value was read and null was appended.
    Type(String),
}

impl From<JiterError> for ValueError {
    fn from(error: JiterError) -> Self {
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
    /// Reads the value that `peek` announces and appends it, or null with the reason why not. Whatever happens,
    /// exactly one value was appended; after [`ValueError::Json`] nothing more can be read.
    pub(crate) fn append_json(
        &mut self,
        json: &mut Jiter<'_>,
        peek: Peek,
        nested: &mut Nested,
    ) -> Result<(), ValueError> {
        let result = match peek {
            Peek::Null => json.known_null().map_err(ValueError::Json).map(|()| false),
            Peek::String => self.append_json_string(json, nested.typed),
            Peek::True | Peek::False => self.append_json_boolean(json, peek),
            Peek::Object | Peek::Array => return self.append_json_nested(json, peek, nested),
            _ => self.append_json_number(json, peek),
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

    fn append_json_string(&mut self, json: &mut Jiter<'_>, typed: bool) -> Result<bool, ValueError> {
        if let Self::Json(builder) = self {
            let start = json.current_index();
            json.known_str()?;
            builder.append_value(raw(json, start)?);
            return Ok(true);
        }
        let text = json.known_str()?;
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

    fn append_json_boolean(&mut self, json: &mut Jiter<'_>, peek: Peek) -> Result<bool, ValueError> {
        let value = json.known_bool(peek)?;
        match self {
            Self::Boolean(builder) => builder.append_value(value),
            Self::Json(builder) => builder.append_value(if value { "true" } else { "false" }),
            _ => return Err(self.wrong_type(if value { "`true`" } else { "`false`" })),
        }
        Ok(true)
    }

    fn append_json_number(&mut self, json: &mut Jiter<'_>, peek: Peek) -> Result<bool, ValueError> {
        let bytes = json.known_number_bytes(peek)?;
        // The characters of a number are ASCII.
        let text = std::str::from_utf8(bytes).unwrap_or_default();
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

    fn append_json_nested(
        &mut self,
        json: &mut Jiter<'_>,
        peek: Peek,
        nested: &mut Nested,
    ) -> Result<(), ValueError> {
        match (&mut *self, peek) {
            (Self::Json(builder), _) => {
                let start = json.current_index();
                let value = json.known_skip(peek).map_err(ValueError::Json).and_then(|()| raw(json, start));
                builder.append_option(value.as_ref().ok());
                value.map(|_| ())
            }
            (Self::List(list), Peek::Array) => append_list(list, json, nested),
            (Self::Struct(fields), Peek::Object) => append_struct(fields, json, nested),
            _ => {
                self.append_null();
                json.known_skip(peek)?;
                Err(self.wrong_type(if peek == Peek::Array { "a list" } else { "an object" }))
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
                if !flowline_source::split::json::is_value(text.as_bytes()) {
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
        let mut json = Jiter::new(text.as_bytes());
        let fits = flowline_source::split::json::is_value(text.as_bytes());
        match (&*self, json.peek()) {
            (Self::List(_), Ok(peek @ Peek::Array)) | (Self::Struct(_), Ok(peek @ Peek::Object)) if fits => {
                self.append_json(&mut json, peek, &mut Nested::default()).map_err(|error| match error {
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

fn append_list(list: &mut ListBuilder, json: &mut Jiter<'_>, nested: &mut Nested) -> Result<(), ValueError> {
    let mut wrong = None;
    let mut step = json.known_array();
    let result = loop {
        let peek = match step {
            Ok(Some(peek)) => peek,
            Ok(None) => break wrong.map_or(Ok(()), |message| Err(ValueError::Type(message))),
            Err(error) => break Err(error.into()),
        };
        let appended = list.element.append_json(json, peek, nested);
        list.element_appended();
        match appended {
            Ok(()) => {}
            Err(ValueError::Type(message)) => wrong = wrong.or(Some(format!("in the list: {message}"))),
            Err(error) => break Err(error),
        }
        step = json.array_step();
    };
    list.end(true);
    result
}

fn append_struct(
    builder: &mut StructBuilder,
    json: &mut Jiter<'_>,
    nested: &mut Nested,
) -> Result<(), ValueError> {
    let mut wrong = None;
    let mut filled = vec![false; builder.fields.len()];
    let mut key = json.known_object();
    let result = loop {
        let found = match key {
            Ok(Some(name)) => {
                let place = builder.fields.iter().position(|(field, _)| field == name);
                if place.is_none() {
                    nested.note_unknown(name);
                }
                place
            }
            Ok(None) => break wrong.map_or(Ok(()), |message| Err(ValueError::Type(message))),
            Err(error) => break Err(error.into()),
        };
        let value = append_field(builder, found, &mut filled, json, nested);
        match value {
            Ok(()) => {}
            Err(ValueError::Type(message)) => wrong = wrong.or(Some(message)),
            Err(error) => break Err(error),
        }
        key = json.next_key();
    };
    for (index, _) in filled.iter().enumerate().filter(|(_, filled)| !**filled) {
        builder.fields[index].1.append_null();
    }
    builder.end(true);
    result
}

fn append_field(
    builder: &mut StructBuilder,
    place: Option<usize>,
    filled: &mut [bool],
    json: &mut Jiter<'_>,
    nested: &mut Nested,
) -> Result<(), ValueError> {
    let peek = json.peek()?;
    let Some(place) = place else { return Ok(json.known_skip(peek)?) };
    let (name, field) = &mut builder.fields[place];
    if std::mem::replace(&mut filled[place], true) {
        json.known_skip(peek)?;
        return Err(ValueError::Type(format!("`{name}` stands twice")));
    }
    let deeper = matches!(field, ColumnBuilder::List(_) | ColumnBuilder::Struct(_));
    if deeper {
        nested.path.push(name.clone());
    }
    let result = field.append_json(json, peek, nested);
    if deeper {
        nested.path.pop();
    }
    result.map_err(|error| match error {
        ValueError::Type(message) => ValueError::Type(format!("in `{name}`: {message}")),
        error => error,
    })
}

/// The text of the value that began at `start` and was just read. The record as a whole was found to be UTF-8.
fn raw<'j>(json: &Jiter<'j>, start: usize) -> Result<&'j str, ValueError> {
    std::str::from_utf8(json.slice_to_current(start))
        .map_err(|_| ValueError::Type("it is not UTF-8".to_owned()))
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

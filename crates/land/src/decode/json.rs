//! JSON objects.

use jiter::{Jiter, JiterError, Peek};

use super::Place;
use super::column::ColumnBuilder;
use super::rows::{Reject, Rows};
use super::value::ValueError;

impl Rows {
    /// Reads a record that is a JSON object.
    pub(crate) fn push_json(&mut self, record: &[u8], place: Place) {
        self.begin(place);
        let mut wrong = None;
        let tape = std::mem::take(&mut self.tape);
        let mut json = Jiter::with_tape(record, tape);
        let result = self.read_object(&mut json, &mut wrong);
        let result = result.and_then(|()| json.finish().map_err(|error| not_json(&error)));
        self.tape = json.into_tape();
        self.end(result.err().or(wrong));
    }

    fn read_object(&mut self, json: &mut Jiter<'_>, wrong: &mut Option<Reject>) -> Result<(), Reject> {
        match json.peek() {
            Ok(Peek::Object) => self.read_members(json, wrong).map_err(|error| not_json(&error)),
            Ok(other) => {
                json.known_skip(other).map_err(|error| not_json(&error))?;
                Err(Reject::unparsable(format!("the record is {} and not an object", kind(other))))
            }
            Err(_) => Err(Reject::unparsable("the record is empty")),
        }
    }

    /// Reads the members of an object whose brace comes next. `wrong` keeps the first value that does not fit.
    pub(crate) fn read_members(
        &mut self,
        json: &mut Jiter<'_>,
        wrong: &mut Option<Reject>,
    ) -> Result<(), JiterError> {
        let mut key = json.known_object()?;
        let mut position = 0;
        while let Some(name) = key {
            match self.order.find(&self.layout.fields, position, name) {
                Some(column) => self.read_value(json, column, wrong)?,
                None => {
                    let name = name.to_owned();
                    let value = skip_value(json)?;
                    self.keep_unknown(&name, value);
                    self.note_unknown(&name, value);
                }
            }
            position += 1;
            key = json.next_key()?;
        }
        Ok(())
    }

    /// Reads the value that comes next into a column.
    pub(crate) fn read_value(
        &mut self,
        json: &mut Jiter<'_>,
        column: usize,
        wrong: &mut Option<Reject>,
    ) -> Result<(), JiterError> {
        let peek = json.peek()?;
        if !self.fill(column) {
            json.known_skip(peek)?;
            let field = self.layout.fields.name(column);
            // Worse than a value that does not fit: which of the two is meant, nobody can say.
            *wrong = Some(Reject::unparsable(format!("the field `{field}` stands twice")));
            return Ok(());
        }
        let builder = &mut self.columns[column];
        let deep = matches!(builder, ColumnBuilder::List(_) | ColumnBuilder::Struct(_));
        if deep {
            self.nested.enter(self.layout.fields.name(column));
        }
        let start = json.current_index();
        let number = peek == Peek::String && builder.is_plain_number();
        match builder.append_json(json, peek, &mut self.nested) {
            Ok(()) if number => self.note_coerced(column, json.slice_to_current(start)),
            Ok(()) => {}
            Err(ValueError::Type(message)) => {
                let name = &self.layout.columns[column].name;
                wrong.get_or_insert_with(|| Reject::wrong_type(name, message));
            }
            Err(ValueError::Json(error)) => return Err(error),
        }
        if deep && let Some(path) = self.nested.leave() {
            // The whole value is kept, because a part of it could not be put back where it was.
            let name = self.layout.fields.name(column).to_owned();
            let value = json.slice_to_current(start);
            self.keep_unknown(&name, value);
            self.note_unknown(&path, value);
        }
        Ok(())
    }
}

/// The text of the value that comes next.
pub(crate) fn skip_value<'j>(json: &mut Jiter<'j>) -> Result<&'j [u8], JiterError> {
    let peek = json.peek()?;
    let start = json.current_index();
    json.known_skip(peek)?;
    Ok(json.slice_to_current(start))
}

pub(crate) fn not_json(error: &JiterError) -> Reject {
    Reject::unparsable(format!("the record is not JSON: {error}"))
}

pub(crate) fn kind(peek: Peek) -> &'static str {
    match peek {
        Peek::Null => "null",
        Peek::True | Peek::False => "a truth value",
        Peek::String => "a text",
        Peek::Array => "a list",
        Peek::Object => "an object",
        _ => "a number",
    }
}

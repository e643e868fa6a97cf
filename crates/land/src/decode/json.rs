//! JSON objects.

use flowline_source::json::{Json, JsonError, Kind};

use super::Place;
use super::column::ColumnBuilder;
use super::rows::{Reject, Rows};
use super::value::ValueError;

impl Rows {
    /// Reads a record that is a JSON object.
    pub(crate) fn push_json(&mut self, record: &str, place: Place) {
        self.begin(place);
        let mut wrong = None;
        let mut json = Json::new(record);
        let result = self.read_object(&mut json, &mut wrong);
        let result = result.and_then(|()| json.finish().map_err(|error| not_json(&error)));
        self.end(result.err().or(wrong));
    }

    fn read_object(&mut self, json: &mut Json<'_>, wrong: &mut Option<Reject>) -> Result<(), Reject> {
        match json.peek() {
            Ok(Kind::Object) => self.read_members(json, wrong).map_err(|error| not_json(&error)),
            Ok(other) => {
                json.skip().map_err(|error| not_json(&error))?;
                Err(Reject::unparsable(format!("the record is {} and not an object", kind(other))))
            }
            Err(_) if json.finish().is_ok() => Err(Reject::unparsable("the record is empty")),
            Err(error) => Err(not_json(&error)),
        }
    }

    /// Reads the members of an object whose brace comes next. `wrong` keeps the first value that does not fit.
    pub(crate) fn read_members(
        &mut self,
        json: &mut Json<'_>,
        wrong: &mut Option<Reject>,
    ) -> Result<(), JsonError> {
        json.object()?;
        let mut position = 0;
        while json.member(position == 0)? {
            let expected = self.order.expected(position);
            let key = expected.and_then(|column| Some((column, self.layout.fields.key(column)?)));
            match key {
                Some((column, key)) if json.key_is(key)? => self.read_value(json, column, wrong)?,
                _ => self.read_member(json, position, wrong)?,
            }
            position += 1;
        }
        Ok(())
    }

    /// Reads a member that is another one than in the last record.
    fn read_member(
        &mut self,
        json: &mut Json<'_>,
        position: usize,
        wrong: &mut Option<Reject>,
    ) -> Result<(), JsonError> {
        let mut scratch = std::mem::take(&mut self.key);
        let name = json.key(&mut scratch)?;
        match self.order.find(&self.layout.fields, position, name) {
            Some(column) => self.read_value(json, column, wrong)?,
            None => {
                let value = skip_value(json)?;
                self.keep_unknown(name, value);
                self.note_unknown(name, value);
            }
        }
        self.key = scratch;
        Ok(())
    }

    /// Reads the value that comes next into a column.
    pub(crate) fn read_value(
        &mut self,
        json: &mut Json<'_>,
        column: usize,
        wrong: &mut Option<Reject>,
    ) -> Result<(), JsonError> {
        let kind = json.peek()?;
        if !self.fill(column) {
            json.skip()?;
            let field = self.layout.fields.name(column);
            // Worse than a value that does not fit.
            let name = &self.layout.columns[column].name;
            *wrong = Some(Reject::twice(name, format!("the field `{field}` stands twice")));
            return Ok(());
        }
        let builder = &mut self.columns[column];
        let deep = matches!(builder, ColumnBuilder::List(_) | ColumnBuilder::Struct(_));
        if deep {
            self.nested.enter(self.layout.fields.name(column));
        }
        let start = json.at();
        let number = kind == Kind::Text && builder.is_plain_number();
        match builder.append_json(json, kind, &mut self.nested) {
            Ok(()) if number => self.note_coerced(column, json.since(start)),
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
            let value = json.since(start);
            self.keep_unknown(&name, value);
            self.note_unknown(&path, value);
        }
        Ok(())
    }
}

/// The text of the value that comes next.
pub(crate) fn skip_value<'j>(json: &mut Json<'j>) -> Result<&'j str, JsonError> {
    json.peek()?;
    let start = json.at();
    json.skip()?;
    Ok(json.since(start))
}

pub(crate) fn not_json(error: &JsonError) -> Reject {
    Reject::unparsable(format!("the record is not JSON: {error}"))
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "null",
        Kind::True | Kind::False => "a truth value",
        Kind::Text => "a text",
        Kind::List => "a list",
        Kind::Object => "an object",
        Kind::Number => "a number",
    }
}

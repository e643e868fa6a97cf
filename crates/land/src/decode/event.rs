//! CloudEvents: the fields of the data beside the attributes as `ce_<name>`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flowline_model::FindingKind;
use flowline_source::json::{Json, JsonError, Kind};

use super::Place;
use super::json::{not_json, skip_value};
use super::rows::{Reject, Rows, push_json_text};

/// What is needed of an event once all of it was read.
#[derive(Debug, Default)]
struct Envelope {
    id: bool,
    source: bool,
    kind: bool,
    specversion: Option<String>,
    content_type: Option<String>,
    data_base64: Option<String>,
    has_data: bool,
}

impl Rows {
    /// Reads a record that is a CloudEvent in the JSON format. Fields of its data are fields of the record; an attribute
    /// is the field `ce_<name>`; data that is no object is the field `data`, binary data `data_base64`.
    pub(crate) fn push_event(&mut self, record: &str, place: Place) {
        self.begin(place);
        let mut wrong = None;
        let mut json = Json::new(record);
        let result = self.read_event(&mut json, &mut wrong);
        let result = result.and_then(|envelope| {
            json.finish().map_err(|error| not_json(&error))?;
            self.end_event(&envelope, &mut wrong)
        });
        self.end(result.err().or(wrong));
    }

    fn read_event(&mut self, json: &mut Json<'_>, wrong: &mut Option<Reject>) -> Result<Envelope, Reject> {
        match json.peek() {
            Ok(Kind::Object) => self.read_envelope(json, wrong).map_err(|error| not_json(&error)),
            Ok(_) => Err(Reject::unparsable("the record is not a CloudEvent: an event is an object")),
            Err(error) => Err(not_json(&error)),
        }
    }

    fn read_envelope(
        &mut self,
        json: &mut Json<'_>,
        wrong: &mut Option<Reject>,
    ) -> Result<Envelope, JsonError> {
        let mut envelope = Envelope::default();
        json.object()?;
        let mut position = 0;
        while json.member(position == 0)? {
            self.read_event_member(json, position, &mut envelope, wrong)?;
            position += 1;
        }
        Ok(envelope)
    }

    fn read_event_member(
        &mut self,
        json: &mut Json<'_>,
        position: usize,
        envelope: &mut Envelope,
        wrong: &mut Option<Reject>,
    ) -> Result<(), JsonError> {
        let mut scratch = String::new();
        let name = json.key(&mut scratch)?;
        match (name, json.peek()?) {
            ("data", kind) => {
                if std::mem::replace(&mut envelope.has_data, true) {
                    *wrong = Some(Reject::unparsable("the event has its data twice"));
                }
                match kind {
                    Kind::Object => self.read_members(json, wrong),
                    Kind::Null => json.null(),
                    _ => self.read_field(json, "data", position, wrong),
                }
            }
            ("data_base64", Kind::Text) => {
                envelope.data_base64 = Some(json.text(&mut String::new())?.to_owned());
                Ok(())
            }
            ("specversion", Kind::Text) => {
                envelope.specversion = Some(json.text(&mut String::new())?.to_owned());
                Ok(())
            }
            (_, Kind::Null) => json.null(),
            (_, kind) => self.read_attribute(json, name, kind, position, envelope, wrong),
        }
    }

    fn read_attribute(
        &mut self,
        json: &mut Json<'_>,
        name: &str,
        kind: Kind,
        position: usize,
        envelope: &mut Envelope,
        wrong: &mut Option<Reject>,
    ) -> Result<(), JsonError> {
        // An attribute that is required is text and not empty.
        let mut scratch = String::new();
        let text = if kind == Kind::Text { json.clone().text(&mut scratch)? } else { "" };
        match name {
            "id" => envelope.id = !text.is_empty(),
            "source" => envelope.source = !text.is_empty(),
            "type" => envelope.kind = !text.is_empty(),
            "datacontenttype" => envelope.content_type = Some(text.to_owned()),
            _ => {}
        }
        self.read_field(json, &format!("ce_{name}"), position, wrong)
    }

    fn read_field(
        &mut self,
        json: &mut Json<'_>,
        name: &str,
        position: usize,
        wrong: &mut Option<Reject>,
    ) -> Result<(), JsonError> {
        match self.event_order.find(&self.layout.fields, position, name) {
            Some(column) => self.read_value(json, column, wrong),
            None => {
                let value = skip_value(json)?;
                self.keep_unknown(name, value);
                Ok(())
            }
        }
    }

    /// Checks what every event has, and reads data that was sent as base64.
    fn end_event(&mut self, envelope: &Envelope, wrong: &mut Option<Reject>) -> Result<(), Reject> {
        match envelope.specversion.as_deref() {
            Some("1.0") => {}
            Some(other) => {
                return Err(Reject::unparsable(format!("specversion `{other}` is not understood, `1.0` is")));
            }
            None => return Err(missing("specversion")),
        }
        for (name, there) in [("id", envelope.id), ("source", envelope.source), ("type", envelope.kind)] {
            if !there {
                return Err(missing(name));
            }
        }
        let Some(text) = &envelope.data_base64 else { return Ok(()) };
        if envelope.has_data {
            return Err(Reject::unparsable("the event has both `data` and `data_base64`"));
        }
        let essence =
            envelope.content_type.as_deref().and_then(|value| value.split(';').next()).unwrap_or("");
        let essence = essence.trim().to_ascii_lowercase();
        if essence.ends_with("/json") || essence.ends_with("+json") {
            return self.read_packed_data(text, wrong);
        }
        let mut value = String::with_capacity(text.len() + 2);
        push_json_text(&mut value, text);
        let mut json = Json::new(&value);
        self.read_field(&mut json, "data_base64", usize::MAX, wrong).map_err(|error| not_json(&error))
    }

    /// JSON that was packed into base64 because it was sent in binary mode and could not be embedded.
    fn read_packed_data(&mut self, text: &str, wrong: &mut Option<Reject>) -> Result<(), Reject> {
        let bytes = STANDARD.decode(text).map_err(|_| Reject::unparsable("`data_base64` is not base64"))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Reject::unparsable("the data is not UTF-8"))?;
        let mut json = Json::new(text);
        let read = match json.peek() {
            Ok(Kind::Object) => self.read_members(&mut json, wrong),
            Ok(_) => self.read_field(&mut json, "data", usize::MAX, wrong),
            Err(error) => Err(error),
        };
        read.and_then(|()| json.finish())
            .map_err(|error| Reject::unparsable(format!("the data is not JSON: {error}")))
    }
}

fn missing(attribute: &str) -> Reject {
    Reject {
        reason: FindingKind::Missing,
        column: Some(format!("ce_{attribute}")),
        message: format!("the event has no `{attribute}`"),
    }
}

//! Records that begin with the number of their schema.
//!
//! They become JSON by the schema that they were written with, as the latest version of its subject reads it (newer names,
//! defaults), and rows by the contract, like any other record: fields are told apart by name (a column's `field` is its
//! alias), numbers are taken wherever they fit, what the contract does not know goes to `_extra`, and what nobody has said
//! is null.

use std::fmt::Display;
use std::ops::Range;

use flowline_log::Batch;
use flowline_registry::Framed;

use super::rows::{Reject, Rows};
use super::{Decoding, Place};
use crate::schemas::FoundSchemas;

impl Decoding {
    pub(super) fn push_registered(&mut self, number: u32, batch: &Batch, records: Range<usize>) {
        let schemas = FoundSchemas::clone(&self.schemas);
        let mut text = std::mem::take(&mut self.text);
        let rows = self.rows();
        for index in records {
            let place = Place { batch: number, record: index as u32 };
            text.clear();
            let record = batch.record(index).unwrap_or_default();
            match as_json(record, &schemas, &mut text) {
                Ok(json) => rows.push_typed(json, place),
                Err(reason) => rows.push_rejected(place, Reject::unparsable(reason)),
            }
        }
        text.shrink_to(TEXT_BYTES_KEPT);
        self.text = text;
    }
}

/// What is kept of the room that one large record took.
const TEXT_BYTES_KEPT: usize = 1 << 20;

/// How a record that begins with the number of its schema reads as JSON, with the names that the latest version has; none
/// when it cannot be read.
pub fn registered_json(record: &[u8], schemas: &FoundSchemas) -> Option<String> {
    as_json(record, schemas, &mut Vec::new()).ok().map(str::to_owned)
}

fn as_json<'t>(record: &[u8], schemas: &FoundSchemas, text: &'t mut Vec<u8>) -> Result<&'t str, String> {
    let framed = Framed::parse(record)?;
    let wrong =
        |reason: &dyn Display| format!("the record is not what schema {} says: {reason}", framed.schema);
    match schemas.get(&framed.schema) {
        Some(Ok(schema)) => schema.write_json(&framed, text).map_err(|reason| wrong(&reason))?,
        Some(Err(reason)) => return Err(reason.clone()),
        None => return Err(format!("schema {} was not asked for", framed.schema)),
    }
    std::str::from_utf8(text).map_err(|reason| wrong(&reason))
}

impl Rows {
    /// Reads an object whose values are written as their types demand, whatever `format` the columns have.
    fn push_typed(&mut self, record: &str, place: Place) {
        self.nested.typed = true;
        self.push_json(record, place);
        self.nested.typed = false;
    }
}

//! Which partition of the log a record belongs to: records with the same partition key go to the same one.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use csv_core::{ReadRecordResult, Reader};
use flowline_log::RecordFormat;
use flowline_model::{ColumnType, Dataset};
use xxhash_rust::xxh3::xxh3_64;

use super::{Limits, Received};
use crate::json::{Json, JsonError, Kind};
use crate::number::integer;

/// How a record that begins with the number of its schema reads as JSON; none when it cannot be read.
pub type ReadRegistered<'a> = dyn Fn(&[u8]) -> Option<String> + 'a;

impl Received {
    /// The records of each partition that gets any, in the order in which they were sent. The same records with the
    /// same idempotency key are always divided alike, so that a repeated request repeats each of its appends.
    ///
    /// A record whose key cannot be found goes where its own bytes lead; without a key in the contract all records of
    /// the request stay together. Cost: nothing with one partition, otherwise one copy of the records and one look
    /// at each.
    pub fn partition(
        self,
        dataset: &Dataset,
        partitions: u32,
        idempotency_key: Option<&str>,
        registered: &ReadRegistered<'_>,
    ) -> Vec<(u32, Self)> {
        if partitions <= 1 {
            return vec![(0, self)];
        }
        let together = |received: Self| {
            let hash = xxh3_64(idempotency_key.map_or(&received.payload[..], str::as_bytes));
            vec![(place(hash, partitions), received)]
        };
        if dataset.partition_key().is_empty() || self.records == 0 {
            return together(self);
        }
        let key = Key::new(dataset, &self, registered);
        if self.format == RecordFormat::ArrowStream {
            return divide_stream(&self, &key, partitions).unwrap_or_else(|_| together(self));
        }
        divide(&self, &key, partitions)
    }
}

fn place(hash: u64, partitions: u32) -> u32 {
    (hash % u64::from(partitions)) as u32
}

/// How the key of a record is found.
struct Key<'a> {
    registered: &'a ReadRegistered<'a>,
    /// Names of the key's fields in the record.
    fields: Vec<String>,
    /// Which of them are whole numbers, that may be written in several ways.
    whole: Vec<bool>,
    /// For CSV: where they stand in a row.
    places: Vec<Option<usize>>,
}

impl<'a> Key<'a> {
    fn new(dataset: &Dataset, received: &Received, registered: &'a ReadRegistered<'a>) -> Self {
        let (mut fields, mut whole) = (Vec::new(), Vec::new());
        for name in dataset.partition_key() {
            let column = dataset.column(name);
            fields.push(column.map_or(name.as_str(), |column| column.field_name()).to_owned());
            whole.push(
                column
                    .is_some_and(|column| matches!(column.data_type, ColumnType::Int32 | ColumnType::Int64)),
            );
        }
        let header =
            if received.format == RecordFormat::Csv { csv_fields(&received.schema) } else { Vec::new() };
        let places =
            fields.iter().map(|field| header.iter().position(|name| name == field.as_bytes())).collect();
        Self { registered, fields, whole, places }
    }

    fn hash(&self, format: RecordFormat, record: &[u8]) -> u64 {
        let mut parts = vec![None; self.fields.len()];
        match format {
            RecordFormat::Registered => {
                if let Some(json) = (self.registered)(record) {
                    self.json_parts(json.as_bytes(), false, &mut parts);
                }
            }
            RecordFormat::Csv => self.csv_parts(record, &mut parts),
            RecordFormat::CloudEvent => self.json_parts(record, true, &mut parts),
            RecordFormat::Json | RecordFormat::ArrowStream => self.json_parts(record, false, &mut parts),
        }
        combine(&parts).unwrap_or_else(|| xxh3_64(record))
    }

    fn csv_parts(&self, record: &[u8], parts: &mut [Option<u64>]) {
        let values = csv_fields(record);
        for (index, (part, place)) in parts.iter_mut().zip(&self.places).enumerate() {
            *part = place.and_then(|place| values.get(place)).map(|value| self.text_hash(index, value));
        }
    }

    /// What is broken behind the key does not matter here.
    fn json_parts(&self, record: &[u8], event: bool, parts: &mut [Option<u64>]) {
        let Ok(text) = std::str::from_utf8(record) else { return };
        let mut json = Json::new(text);
        if json.peek() == Ok(Kind::Object) {
            // An error ends the search: the record is broken.
            let _ = self.object_parts(&mut json, event, parts);
        }
    }

    fn object_parts(
        &self,
        json: &mut Json<'_>,
        event: bool,
        parts: &mut [Option<u64>],
    ) -> Result<(), JsonError> {
        let (mut scratch, mut first) = (String::new(), true);
        json.object()?;
        while json.member(first)? {
            first = false;
            let key = json.key(&mut scratch)?;
            let data = event && key == "data";
            let field = self.fields.iter().position(|field| match event {
                true => field.strip_prefix("ce_") == Some(key),
                false => field == key,
            });
            match (json.peek()?, field) {
                (Kind::Object, _) if data => self.object_parts(json, false, parts)?,
                (kind, Some(index)) => parts[index] = Some(self.value_hash(index, json, kind)?),
                (_, None) => json.skip()?,
            }
        }
        Ok(())
    }

    fn value_hash(&self, index: usize, json: &mut Json<'_>, kind: Kind) -> Result<u64, JsonError> {
        if kind == Kind::Text {
            return json.text(&mut String::new()).map(|text| self.text_hash(index, text.as_bytes()));
        }
        let start = json.at();
        json.skip()?;
        Ok(self.text_hash(index, json.since(start).as_bytes()))
    }

    /// One value is one text: `+7`, `07` and `7.0` are 7.
    fn text_hash(&self, index: usize, text: &[u8]) -> u64 {
        let whole = self.whole.get(index).is_some_and(|whole| *whole);
        let text_of_number = std::str::from_utf8(text).ok().filter(|_| whole);
        match text_of_number.map(|text| integer::<i64>(text.trim())) {
            Some(Ok(number)) => xxh3_64(number.to_string().as_bytes()),
            _ => xxh3_64(text),
        }
    }
}

fn combine(parts: &[Option<u64>]) -> Option<u64> {
    let bytes: Option<Vec<[u8; 8]>> = parts.iter().map(|part| part.map(u64::to_le_bytes)).collect();
    bytes.map(|bytes| xxh3_64(bytes.as_flattened()))
}

/// The fields of one CSV row.
fn csv_fields(row: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = Reader::new();
    let (mut output, mut ends) = (vec![0; row.len() + 1], vec![0; row.len() + 2]);
    let (mut read, mut written, mut fields) = (0, 0, 0);
    loop {
        let (result, more, wrote, ended) =
            reader.read_record(&row[read..], &mut output[written..], &mut ends[fields..]);
        read += more;
        written += wrote;
        fields += ended;
        if !matches!(result, ReadRecordResult::InputEmpty) {
            break;
        }
    }
    let mut start = 0;
    ends[..fields]
        .iter()
        .map(|end| {
            let field = output[start..*end].to_vec();
            start = *end;
            field
        })
        .collect()
}

fn divide(received: &Received, key: &Key<'_>, partitions: u32) -> Vec<(u32, Received)> {
    let mut parts: Vec<(Vec<u8>, crate::split::Spans)> = vec![Default::default(); partitions as usize];
    for index in 0..received.spans.len() {
        let record = received.record(index).unwrap_or_default();
        let (payload, spans) = &mut parts[place(key.hash(received.format, record), partitions) as usize];
        let start = payload.len() as u32;
        payload.extend_from_slice(record);
        spans.push((start, payload.len() as u32));
        // A line end keeps the payload legible; it belongs to no record. Payloads stay below the size of the body
        // only if the body had separators, which every format with more than one record has.
        payload.push(b'\n');
    }
    (0..)
        .zip(parts)
        .filter(|(_, (_, spans))| !spans.is_empty())
        .map(|(partition, (payload, spans))| {
            let records = spans.len() as u32;
            let schema = received.schema.clone();
            (partition, Received { format: received.format, schema, payload: payload.into(), spans, records })
        })
        .collect()
}

fn divide_stream(
    received: &Received,
    key: &Key<'_>,
    partitions: u32,
) -> Result<Vec<(u32, Received)>, ArrowError> {
    let (schema, batches) = crate::arrow_ipc::read_stream(&received.payload, &Limits::default())
        .map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
    let mut writers = Vec::new();
    for _ in 0..partitions {
        writers.push((StreamWriter::try_new(Vec::new(), &schema)?, 0u32));
    }
    for batch in &batches {
        let hashes = row_hashes(batch, key)?;
        for (partition, (writer, records)) in (0..).zip(&mut writers) {
            let rows: Vec<u32> = (0..)
                .zip(&hashes)
                .filter(|(_, hash)| place(**hash, partitions) == partition)
                .map(|(row, _)| row)
                .collect();
            *records += rows.len() as u32;
            if !rows.is_empty() {
                writer.write(&take_record_batch(batch, &UInt32Array::from(rows))?)?;
            }
        }
    }
    let mut divided = Vec::new();
    for (partition, (writer, records)) in (0..).zip(writers) {
        if records > 0 {
            let payload = Bytes::from(writer.into_inner()?);
            divided.push((partition, Received { payload, records, ..received.clone() }));
        }
    }
    Ok(divided)
}

fn row_hashes(batch: &RecordBatch, key: &Key<'_>) -> Result<Vec<u64>, ArrowError> {
    let options = FormatOptions::default();
    let columns: Vec<_> =
        key.fields.iter().map(|field| batch.column_by_name(field).map(Arc::clone)).collect();
    let mut formatters = Vec::new();
    for column in columns.iter().flatten() {
        formatters.push((column, ArrayFormatter::try_new(column, &options)?));
    }
    let complete = formatters.len() == key.fields.len();
    let mut text = String::new();
    Ok((0..batch.num_rows())
        .map(|row| {
            let mut parts = Vec::with_capacity(formatters.len());
            for (column, formatter) in &formatters {
                use std::fmt::Write as _;
                text.clear();
                let written = write!(text, "{}", formatter.value(row)).is_ok();
                parts.push((written && !column.is_null(row)).then(|| xxh3_64(text.as_bytes())));
            }
            // A row has no bytes of its own to go by: without a key it goes by its place.
            combine(&parts).filter(|_| complete).unwrap_or(row as u64)
        })
        .collect())
}

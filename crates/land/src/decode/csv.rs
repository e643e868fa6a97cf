//! Rows of comma-separated values.

use csv_core::{ReadRecordResult, Reader};

use super::Place;
use super::rows::{Reject, Rows, push_json_text};

/// The header of a batch and what is needed to read its rows.
#[derive(Debug)]
pub(crate) struct CsvHeader {
    names: Vec<String>,
    columns: Vec<Option<usize>>,
    fields: CsvFields,
}

/// Reads the fields of one row after the other.
struct CsvFields {
    reader: Reader,
    output: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
}

impl std::fmt::Debug for CsvFields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CsvFields").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Rows {
    /// Reads the header line. None of the rows below it can be read when it fails.
    pub(crate) fn csv_header(&self, line: &[u8]) -> Result<CsvHeader, Reject> {
        let mut fields = CsvFields { reader: Reader::new(), output: Vec::new(), ends: Vec::new(), count: 0 };
        fields.read(line).map_err(|message| Reject::unparsable(format!("the header {message}")))?;
        let mut names: Vec<String> = Vec::with_capacity(fields.count);
        for index in 0..fields.count {
            let name = fields.get(index).ok_or_else(|| Reject::unparsable("the header is not UTF-8"))?;
            if names.iter().any(|known| known == name) {
                return Err(Reject::twice(name, format!("the header names `{name}` twice")));
            }
            names.push(name.to_owned());
        }
        let columns = names.iter().map(|name| self.layout.fields.find(name)).collect();
        Ok(CsvHeader { names, columns, fields })
    }

    /// Reads a record that is a row below this header. An empty field is null.
    pub(crate) fn push_csv(&mut self, header: &mut CsvHeader, record: &str, place: Place) {
        self.begin(place);
        let rejected = self.read_csv(header, record).err();
        self.end(rejected);
    }

    fn read_csv(&mut self, header: &mut CsvHeader, record: &str) -> Result<(), Reject> {
        let fields = &mut header.fields;
        fields.read(record.as_bytes()).map_err(|message| Reject::unparsable(format!("the row {message}")))?;
        if fields.count != header.names.len() {
            let (found, expected) = (fields.count, header.names.len());
            return Err(Reject::unparsable(format!(
                "the row has {found} fields where the header has {expected}"
            )));
        }
        let mut wrong = None;
        for (index, column) in header.columns.iter().enumerate() {
            let text = fields.get(index).ok_or_else(|| Reject::unparsable("the row is not UTF-8"))?;
            match column {
                Some(column) => {
                    // No header names a field twice, so that each column is filled once.
                    self.fill(*column);
                    let builder = &mut self.columns[*column];
                    if text.is_empty() {
                        builder.append_null();
                    } else if let Err(message) = builder.append_text(text) {
                        let name = &self.layout.columns[*column].name;
                        wrong.get_or_insert_with(|| Reject::wrong_type(name, message));
                    }
                }
                None if text.is_empty() => {}
                None => {
                    let mut value = String::with_capacity(text.len() + 2);
                    push_json_text(&mut value, text);
                    self.keep_unknown(&header.names[index], &value);
                    self.note_unknown(&header.names[index], &value);
                }
            }
        }
        wrong.map_or(Ok(()), Err)
    }
}

impl CsvFields {
    /// Reads one row; afterwards [`CsvFields::get`] returns its fields.
    fn read(&mut self, row: &[u8]) -> Result<(), &'static str> {
        if row.is_empty() {
            return Err("is empty");
        }
        self.output.resize(row.len() + 2, 0);
        self.ends.resize(row.len() + 2, 0);
        self.count = 0;
        let mut written = 0;
        // The line end that was cut off ends the row; when it does not, a quote is still open.
        for (input, last) in [(row, false), (&b"\n"[..], true)] {
            let (result, read, wrote, ended) =
                self.reader.read_record(input, &mut self.output[written..], &mut self.ends[self.count..]);
            written += wrote;
            self.count += ended;
            match result {
                ReadRecordResult::InputEmpty if !last => {}
                ReadRecordResult::Record if last => return Ok(()),
                ReadRecordResult::InputEmpty => return self.restart("has a quote that is never closed"),
                ReadRecordResult::Record if read <= row.len() => {
                    return self.restart("holds more than one line");
                }
                _ => return self.restart("cannot be read"),
            }
        }
        Ok(())
    }

    fn restart(&mut self, message: &'static str) -> Result<(), &'static str> {
        self.reader.reset();
        Err(message)
    }

    fn get(&self, index: usize) -> Option<&str> {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        std::str::from_utf8(self.output.get(start..*self.ends.get(index)?)?).ok()
    }
}

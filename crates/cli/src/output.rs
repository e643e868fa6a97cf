//! What is printed: tables and sentences for people, one JSON document for programs.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};
use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{CellAlignment, Table, presets};
use flowline_lake::json_rows;
use serde::Serialize;

use crate::args::{Colour, Global, Output};

/// Green: as it should be.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Yellow: worth a look.
pub const WARN: Style = AnsiColor::Yellow.on_default();
/// Red: wrong.
pub const BAD: Style = AnsiColor::Red.on_default();
/// Dimmed: besides.
pub const FAINT: Style = Style::new().dimmed();
/// Bold: headings.
pub const STRONG: Style = Style::new().bold();

/// Prints in the way that the flags ask for.
#[derive(Debug, Clone)]
pub struct Printer {
    output: Output,
}

impl Printer {
    /// A printer for these flags; sets the colour choice of the whole process.
    pub fn new(global: &Global) -> Self {
        match global.color {
            Colour::Auto => {}
            Colour::Always => anstream::ColorChoice::Always.write_global(),
            Colour::Never => anstream::ColorChoice::Never.write_global(),
        }
        Self { output: global.output }
    }

    /// Whether a program reads the output.
    pub fn json_wanted(&self) -> bool {
        self.output == Output::Json
    }

    /// A line for people; nothing when a program reads.
    pub fn line(&self, text: impl Display) {
        if !self.json_wanted() {
            anstream::println!("{text}");
        }
    }

    /// A remark beside the result, to standard error, for people only.
    pub fn remark(&self, text: impl Display) {
        if !self.json_wanted() {
            anstream::eprintln!("{text}");
        }
    }

    /// What must not be missed beside the result, to standard error, whoever reads.
    pub fn aside(&self, text: impl Display) {
        anstream::eprintln!("{text}");
    }

    /// The one JSON document; nothing when a person reads.
    pub fn json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        if self.json_wanted() {
            anstream::println!("{}", serde_json::to_string_pretty(value)?);
        }
        Ok(())
    }

    /// An error with its causes.
    pub fn error(&self, error: &anyhow::Error) {
        let text = flowline_base::chain(error.as_ref());
        if self.json_wanted() {
            anstream::println!("{}", serde_json::json!({ "error": text }));
        } else {
            anstream::eprintln!("{BAD}error{BAD:#}: {text}");
        }
    }

    /// Rows as a table, or as a JSON array of objects.
    pub fn batches(&self, batches: &[RecordBatch]) -> anyhow::Result<()> {
        if self.json_wanted() {
            return self.json(&json_rows(batches)?);
        }
        let Some(first) = batches.first() else { return Ok(()) };
        let schema = first.schema();
        let mut table = plain_table(schema.fields().iter().map(|field| field.name().clone()));
        for (index, field) in schema.fields().iter().enumerate() {
            if field.data_type().is_numeric()
                && let Some(column) = table.column_mut(index)
            {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let options = FormatOptions::default().with_null("");
        for batch in batches {
            let columns = batch
                .columns()
                .iter()
                .map(|c| ArrayFormatter::try_new(c, &options))
                .collect::<Result<Vec<_>, _>>()?;
            for row in 0..batch.num_rows() {
                table.add_row(columns.iter().map(|column| harmless(&column.value(row).to_string())));
            }
        }
        anstream::println!("{table}");
        Ok(())
    }
}

/// The text with its control characters written out: what producers send must not steer the terminal that shows it.
pub fn harmless(text: &str) -> String {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(steers) {
        return text.to_owned();
    }
    let written = |c: char| if steers(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(written).collect()
}

/// A table without lines, as the other tools of the field print them.
pub fn plain_table(header: impl IntoIterator<Item = String>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header.into_iter().map(|name| name.to_uppercase()));
    table
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, RecordBatch};

    use flowline_lake::json_rows;

    use super::harmless;

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        assert_eq!(harmless("a\nb\tü"), "a\nb\tü");
        assert_eq!(harmless("\u{1b}[31mred\u{7}\u{9b}é"), "\\u{1b}[31mred\\u{7}\\u{9b}é");
    }

    #[test]
    fn decimals_keep_their_digits() {
        let amounts = Decimal128Array::from(vec![1_234_567_890_123_456_789]).with_precision_and_scale(20, 2);
        let batch = RecordBatch::try_from_iter([("x", Arc::new(amounts.unwrap()) as ArrayRef)]).unwrap();
        let rows = json_rows(&[batch]).unwrap();
        assert_eq!(rows[0].get(), r#"{"x":12345678901234567.89}"#);
    }
}

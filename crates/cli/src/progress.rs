//! Bars on standard error for work that takes long, and lines that are written above them.
//!
//! Owns: how bars look, and that nothing else is printed through them. Bars are drawn on terminals only, and never
//! beside JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use flowline_model::DatasetName;
use flowline_node::{FileProgress, FileProgressFn};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::output::Printer;

/// Every bar of the process; standard error is one.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

const FILES: &str = "{spinner} {prefix} [{bar:24}] {bytes}/{total_bytes} {msg}";

/// A sign of life with a message.
pub fn spinner(printer: &Printer) -> anyhow::Result<ProgressBar> {
    if printer.json_wanted() {
        return Ok(ProgressBar::hidden());
    }
    let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}")?;
    Ok(BARS.add(ProgressBar::new_spinner().with_style(style)))
}

/// A bar for each dataset whose files are being landed, for as long as they are.
pub fn of_files(printer: &Printer) -> FileProgressFn {
    let hidden = printer.json_wanted();
    let bars: Mutex<BTreeMap<DatasetName, ProgressBar>> = Mutex::default();
    Arc::new(move |dataset, progress| {
        if hidden {
            return;
        }
        let mut bars = bars.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bars.entry(dataset.clone()).or_insert_with(|| bar_of_files(dataset));
        show(bar, progress);
        if progress.files_done == progress.files_total {
            bar.finish_and_clear();
            bars.remove(dataset);
        }
    })
}

fn bar_of_files(dataset: &DatasetName) -> ProgressBar {
    let style = ProgressStyle::with_template(FILES).unwrap_or_else(|_| ProgressStyle::default_bar());
    BARS.add(ProgressBar::new(0).with_style(style).with_prefix(dataset.to_string()))
}

fn show(bar: &ProgressBar, progress: &FileProgress) {
    bar.set_length(progress.bytes);
    bar.set_position(progress.bytes_read);
    let number = (progress.files_done + 1).min(progress.files_total);
    bar.set_message(format!(
        "{}, file {number} of {}, {} records",
        progress.path, progress.files_total, progress.records
    ));
}

/// Standard error, so written that bars are drawn again below.
#[derive(Debug, Clone, Copy)]
pub struct AboveBars;

impl Write for AboveBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        BARS.suspend(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

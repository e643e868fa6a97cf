//! The files that were read, and how a place in one becomes a diagnostic.
//!
//! Owns: the texts, the mapping from JSON pointers to lines and columns, the snippets. Does not own: what is wrong.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use flowline_model::Severity;

use crate::diagnostic::{Code, Diagnostic};
use crate::yaml::{Data, Node, Place};

/// The largest file that is read, bytes.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;

/// The text of every file that was read, so that a problem found later can show its place.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    texts: BTreeMap<String, Arc<str>>,
}

impl Sources {
    /// Keeps the text of a file.
    pub(crate) fn keep(&mut self, path: &str, text: &str) {
        self.texts.insert(path.to_owned(), text.into());
    }

    /// Reads the text of a file from disk; keeps nothing when it cannot be read or is too large.
    pub(crate) fn read(&mut self, dir: &Path, path: &str) {
        let file = dir.join(path);
        let small = std::fs::metadata(&file).is_ok_and(|metadata| metadata.len() <= FILE_BYTES_MAX);
        if let Some(text) = small.then(|| std::fs::read_to_string(file).ok()).flatten() {
            self.keep(path, &text);
        }
    }

    /// The diagnostic for a problem that another crate found in `file` (relative to the project), at `line` and
    /// `column` (from 1). The word that stands there is underlined.
    pub fn problem(
        &self,
        code: Code,
        file: &str,
        line: u32,
        column: u32,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Diagnostic {
        let place = Place::point(line, column);
        let mut diagnostic = self.diagnostic(Severity::Error, code, file, place, message.into(), hint);
        diagnostic.end_column = column + self.word_at(file, line, column);
        diagnostic
    }

    /// The diagnostic for a problem that another crate found in a column's rule, at the line of `file` that declares
    /// the column.
    pub fn column_problem(&self, file: &str, column: &str, message: impl Into<String>) -> Diagnostic {
        let declared = |text: &str| {
            let (_, rest) = text.split_once("name:")?;
            let value = rest.trim_start();
            let name = value.trim_start_matches(['"', '\'']).strip_prefix(column)?;
            let ends = name.chars().next().is_none_or(|next| !(next.is_alphanumeric() || next == '_'));
            ends.then(|| text.chars().count() - value.chars().count())
        };
        let text = self.texts.get(file).map(|text| text.to_string()).unwrap_or_default();
        let found = text.lines().enumerate().find_map(|(index, line)| Some((index, declared(line)?)));
        let (line, before) = found.unwrap_or((0, 0));
        self.problem(Code::Rule, file, line as u32 + 1, before as u32 + 1, message, None)
    }

    /// The diagnostic for a problem that another crate found with a name that `file` refers to, where the name stands
    /// there as a word for the first time.
    pub fn name_problem(
        &self,
        file: &str,
        name: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Diagnostic {
        let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let column = |line: &str| {
            let mut found = line.match_indices(name);
            let (at, _) = found.find(|(at, _)| {
                !in_word(line[..*at].chars().next_back()) && !in_word(line[at + name.len()..].chars().next())
            })?;
            Some(line[..at].chars().count())
        };
        let text = self.text_of(file);
        let place = text.lines().enumerate().find_map(|(index, line)| Some((index, column(line)?)));
        let (line, before) = place.unwrap_or((0, 0));
        self.problem(Code::UnknownName, file, line as u32 + 1, before as u32 + 1, message, hint)
    }

    /// The line and column of `file` at which a text that stands in it has this line and column. Where the text is
    /// written otherwise than it reads (folded, with escapes), it is the place where it begins; the start of the file
    /// when it does not stand there.
    pub fn place_within(&self, file: &str, text: &str, line: u32, column: u32) -> (u32, u32) {
        let whole = self.text_of(file);
        let written: Vec<&str> = whole.lines().collect();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let stands =
            |at: &[&str]| at.iter().zip(&lines).all(|(written, line)| written.trim_end().ends_with(line));
        let as_it_reads = match lines.as_slice() {
            [] => None,
            [only] => written.iter().position(|written| written.contains(only)),
            several => written.windows(several.len()).position(stands),
        };
        let (index, shown, column) = match as_it_reads {
            Some(start) => {
                let of_text = text.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default();
                let indent = of_text.chars().count() - of_text.trim_start().chars().count();
                let column = column.saturating_sub(indent as u32).max(1);
                (start + line.saturating_sub(1) as usize, of_text.trim().to_owned(), column)
            }
            None => {
                let words: Vec<&str> = text.split_whitespace().collect();
                // As many of the first words as stand on one line.
                let begins = |count: usize| {
                    let opening = words.get(..count)?.join(" ");
                    let start = written.iter().position(|written| written.contains(&opening))?;
                    Some((start, opening))
                };
                let Some((start, opening)) = (1..=3).rev().find_map(begins) else { return (1, 1) };
                (start, opening, 1)
            }
        };
        let at = written.get(index).copied().unwrap_or_default();
        let before = at.find(&shown).map_or(0, |bytes| at[..bytes].chars().count());
        (index as u32 + 1, before as u32 + column)
    }

    /// The diagnostic for a problem at a place of a file.
    pub(crate) fn diagnostic(
        &self,
        severity: Severity,
        code: Code,
        file: &str,
        place: Place,
        message: String,
        hint: Option<String>,
    ) -> Diagnostic {
        let line = self.line(file, place.line);
        let end_column = match line {
            Some(text) if place.end_line > place.line => text.trim_end().chars().count() as u32 + 1,
            _ => place.end_column,
        };
        Diagnostic {
            severity,
            code,
            file: file.to_owned(),
            line: place.line,
            column: place.column,
            end_column: end_column.max(place.column),
            message,
            hint,
            snippet: line.map(excerpt),
        }
    }

    /// The text of a file; empty when it was not read.
    pub(crate) fn text_of(&self, file: &str) -> Arc<str> {
        self.texts.get(file).cloned().unwrap_or_default()
    }

    fn line(&self, file: &str, line: u32) -> Option<&str> {
        let text = self.texts.get(file)?;
        text.lines().nth(usize::try_from(line.checked_sub(1)?).ok()?)
    }

    /// How many characters the word at this place has; the parts of a dotted name are one word.
    fn word_at(&self, file: &str, line: u32, column: u32) -> u32 {
        let Some(text) = self.line(file, line) else { return 0 };
        let rest: String = text.chars().skip(column.saturating_sub(1) as usize).take(1_000).collect();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(rest.len());
        rest[..end].trim_end_matches('.').chars().count() as u32
    }
}

/// The part of a line that a diagnostic keeps.
fn excerpt(line: &str) -> String {
    const LENGTH_MAX: usize = 1_000;
    line.chars().take(LENGTH_MAX).collect()
}

/// One file of the project, read as YAML.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Relative to the project, with `/`.
    pub path: String,
    /// The document.
    pub root: Node,
}

impl SourceFile {
    /// The place of the value at a JSON pointer, or of the nearest thing around it.
    pub fn value_at(&self, pointer: &str) -> Place {
        let (key, node) = self.root.nearest_to(pointer);
        match (&node.data, key) {
            // A block of several lines would underline its first line, whatever that is; its key says more.
            (Data::Map(_) | Data::List(_) | Data::Null, Some(key))
                if node.place.end_line != node.place.line =>
            {
                key.place
            }
            (Data::Null, Some(key)) => key.place,
            (Data::Map(entries), None) if node.place.end_line != node.place.line => {
                entries.first().map_or(node.place, |(first, _)| first.place)
            }
            _ => node.place,
        }
    }

    /// The place of the key at a JSON pointer, or of the nearest thing around it.
    pub fn key_at(&self, pointer: &str) -> Place {
        match self.root.nearest_to(pointer) {
            (Some(key), _) if pointer.ends_with(&format!("/{}", key.name)) => key.place,
            _ => self.value_at(pointer),
        }
    }

    /// Whether a key stands there without a value.
    pub fn is_empty_at(&self, pointer: &str) -> bool {
        let (key, node) = self.root.nearest_to(pointer);
        node.data == Data::Null && key.is_some_and(|key| pointer.ends_with(&format!("/{}", key.name)))
    }
}

/// Everything that is wrong, as it is found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub sources: Sources,
    pub diagnostics: Vec<Diagnostic>,
    /// How many there are of each file.
    counts: BTreeMap<String, usize>,
}

/// So many problems of one file are told; beyond them it is another kind of file.
const PER_FILE_MAX: usize = 100;

/// What is wrong with one thing, before its place is known.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub severity: Severity,
    pub code: Code,
    pub message: String,
    pub hint: Option<String>,
}

impl Problem {
    /// An error.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), hint: None }
    }

    /// A warning.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// The same with what mends it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Report {
    /// Whether enough has been said of a file.
    pub fn is_full(&self, file: &str) -> bool {
        self.counts.get(file).is_some_and(|count| *count > PER_FILE_MAX)
    }

    /// Adds a problem at a place of a file, unless it is known or there are too many.
    pub fn add(&mut self, file: &str, place: Place, problem: Problem) {
        if self.is_full(file) {
            return;
        }
        let Problem { severity, code, message, hint } = problem;
        let diagnostic = self.sources.diagnostic(severity, code, file, place, message, hint);
        if self.diagnostics.iter().rev().take(PER_FILE_MAX).any(|known| *known == diagnostic) {
            return;
        }
        self.diagnostics.push(diagnostic);
        let count = self.counts.entry(file.to_owned()).or_default();
        *count += 1;
        if *count == PER_FILE_MAX {
            let message =
                format!("there is more: only the first {PER_FILE_MAX} problems of this file are told");
            let end = Problem::error(Code::TooLarge, message);
            self.add(file, place, end);
        }
    }

    /// Adds a problem with the value at a JSON pointer.
    pub fn at_value(&mut self, file: &SourceFile, pointer: &str, problem: Problem) {
        self.add(&file.path, file.value_at(pointer), problem);
    }

    /// Adds a problem with the key at a JSON pointer.
    pub fn at_key(&mut self, file: &SourceFile, pointer: &str, problem: Problem) {
        self.add(&file.path, file.key_at(pointer), problem);
    }
}

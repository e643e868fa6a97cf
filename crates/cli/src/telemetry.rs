//! The node's own log, to standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::args::{Colour, Global, LogFormat};
use crate::progress;

/// Installs the subscriber. A filter that cannot be read falls back to warnings and says so.
pub fn install(global: &Global) {
    let filter = EnvFilter::try_new(&global.log).unwrap_or_else(|error| {
        anstream::eprintln!("warning: `--log {}` is not a filter ({error}); warnings are logged", global.log);
        EnvFilter::new("warn")
    });
    let builder = fmt().with_env_filter(filter).with_writer(|| progress::AboveBars);
    // A subscriber that is already there (in tests) is as good.
    let installed = match global.log_format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => {
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            let ansi = match global.color {
                Colour::Auto => terminal && std::env::var_os("NO_COLOR").is_none(),
                Colour::Always => true,
                Colour::Never => false,
            };
            builder.with_ansi(ansi).try_init()
        }
    };
    drop(installed);
}

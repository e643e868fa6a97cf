//! A Kafka broker of a test's own, which may be killed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use crate::limited::output_of;

/// A broker that `scripts/kafka-for-tests` runs, in a folder of its own. Ended when dropped.
#[derive(Debug)]
pub struct KafkaBroker {
    folder: PathBuf,
    /// `127.0.0.1:port`.
    pub address: String,
}

impl KafkaBroker {
    /// Starts one, in this folder; none where tests with Kafka are not wanted (FLOWLINE_TEST_KAFKA is not set).
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(folder: &Path) -> anyhow::Result<Option<Self>> {
        if std::env::var_os("FLOWLINE_TEST_KAFKA").is_none_or(|address| address.is_empty()) {
            eprintln!(
                "skipped: FLOWLINE_TEST_KAFKA names no broker; `scripts/kafka-for-tests start` starts one"
            );
            return Ok(None);
        }
        let mut broker = Self { folder: folder.join("broker"), address: String::new() };
        broker.restart()?;
        Ok(Some(broker))
    }

    /// SIGKILL, at once; its data stays.
    ///
    /// # Errors
    /// When the script fails.
    pub fn crash(&self) -> anyhow::Result<()> {
        self.script("crash").map(drop)
    }

    /// SIGTERM, as an operator would; its data stays.
    ///
    /// # Errors
    /// When the script fails.
    pub fn halt(&self) -> anyhow::Result<()> {
        self.script("halt").map(drop)
    }

    /// The folder of its data.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts it again on its data and waits until it listens.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.address = self.script("start")?.trim().to_owned();
        Ok(())
    }

    fn script(&self, command: &str) -> anyhow::Result<String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/kafka-for-tests");
        let output =
            output_of(Command::new(&script).arg(command).env("FLOWLINE_TEST_KAFKA_DIR", &self.folder))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`kafka-for-tests {command}` failed: {}: {said}", output.status);
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for KafkaBroker {
    fn drop(&mut self) {
        // Its folder goes with the test's; a broker that is left behind would be seen at once.
        let _ = self.script("stop");
    }
}

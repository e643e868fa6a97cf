//! What a process has used, from `/proc`.

use std::path::Path;

use anyhow::Context;

/// Ticks a second that the kernel counts processor time in, on every Linux there is.
const TICKS: f64 = 100.0;

/// What a process has used since it began.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    pub memory_peak: u64,
    /// Handed to the file system.
    pub bytes_written: u64,
    pub processor_seconds: f64,
}

/// What a process has used until now.
pub fn used(process: u32) -> anyhow::Result<Used> {
    let folder = Path::new("/proc").join(process.to_string());
    let io = std::fs::read_to_string(folder.join("io"))?;
    let written =
        io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).context("no `write_bytes`")?;
    let stat = std::fs::read_to_string(folder.join("stat"))?;
    // The name, in parentheses, may have spaces; user and system time are the 12th and 13th word behind it.
    let (_, words) = stat.rsplit_once(')').context("no name")?;
    let words: Vec<&str> = words.split_whitespace().collect();
    let ticks = |index: usize| words.get(index).and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
    Ok(Used {
        memory_peak: crate::node::memory(process)?.1,
        bytes_written: written.trim().parse()?,
        processor_seconds: (ticks(11) + ticks(12)) / TICKS,
    })
}

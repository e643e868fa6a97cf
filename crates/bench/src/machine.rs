//! Facts of the machine, and what its disk can do on its own.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use flowline_base::{Clock, SystemClock};
use serde_json::{Value, json};

/// Processor, cores, memory, kernel and file system.
pub fn facts(folder: &Path) -> anyhow::Result<Value> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)).unwrap_or("0");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Ok(json!({
        "cpu": model, "cores": std::thread::available_parallelism()?.get(),
        "memory_bytes": total.parse::<u64>().unwrap_or(0) * 1024,
        "kernel": kernel.trim(), "filesystem": filesystem(folder),
    }))
}

fn filesystem(folder: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (_, point, kind) = (words.next()?, words.next()?, words.next()?);
            folder.starts_with(point).then(|| (point.len(), kind.to_owned()))
        })
        .max()
        .map(|(_, kind)| kind)
}

/// Bytes a second that the disk takes when each write of `write_bytes` is followed by `fdatasync`: the ceiling of
/// every durable log that syncs as often.
pub fn fdatasync_bytes_per_second(folder: &Path, write_bytes: usize) -> anyhow::Result<f64> {
    let path = folder.join("fdatasync.probe");
    let mut file: File = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    let buffer = vec![0x5a_u8; write_bytes];
    let started = SystemClock.instant();
    let mut written = 0_u64;
    while started.elapsed().as_secs_f64() < 2.0 && written < 4 << 30 {
        file.write_all(&buffer)?;
        file.sync_data()?;
        written += write_bytes as u64;
    }
    let speed = written as f64 / started.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    Ok(speed)
}

/// Bytes that the disk of a folder has free for this user.
pub fn disk_free(folder: &Path) -> anyhow::Result<u64> {
    let status = rustix::fs::statvfs(folder)?;
    Ok(status.f_bavail * status.f_frsize)
}

/// Bytes of the files in a folder and in those below it. Files that go away meanwhile are left out.
pub fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => bytes_below(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

/// Writes to so much memory, at most a third of what is free, and lets go of it. A virtual machine may get its memory from
/// its host only when it is first written to, several times as slowly as from its own kernel; whoever is measured first
/// would pay for all. It is no more than that: what a kernel has to spare beyond about a gigabyte it may give back to the host
/// while the next process begins.
pub fn touch_memory() {
    const BYTES_MAX: usize = 768 << 20;
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let free =
        free.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()).unwrap_or(0) * 1024;
    let mut memory = vec![0_u8; BYTES_MAX.min(free / 3)];
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    std::hint::black_box(&memory);
}

//! Waits of tests that end: what hangs is a failure that is told, and never a run of the tests that does not end.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use wait_timeout::ChildExt;

/// A command of a test that has not ended by then hangs.
const COMMAND_MAX: Duration = Duration::from_secs(180);
/// Pipes of a process that has ended are read for so long; they end with it, but for what it left behind.
const LEFT_BEHIND_MAX: Duration = Duration::from_secs(5);

/// Runs a command to its end and returns what it wrote, as [`Command::output`] does, within three minutes.
///
/// # Errors
/// When it cannot be started, or has not ended by then; it is killed, and what it wrote is told.
pub fn output_of(command: &mut Command) -> anyhow::Result<Output> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {command:?}"))?;
    let (stdout, stderr) = (Listener::of(child.stdout.take()), Listener::of(child.stderr.take()));
    match ended_within(&mut child, COMMAND_MAX) {
        Ok(status) => Ok(Output { status, stdout: stdout.to_the_end(), stderr: stderr.to_the_end() }),
        Err(error) => {
            child.kill()?;
            child.wait()?;
            // Children of its own may hold the pipes, so that nobody waits for their ends.
            let (stdout, stderr) = (stdout.so_far(), stderr.so_far());
            let said = [String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)];
            Err(error.context(format!("{command:?}: {}", said.concat())))
        }
    }
}

/// Waits for a process that ought to end.
///
/// # Errors
/// When it still runs after so long; it goes on running.
pub(crate) fn ended_within(child: &mut Child, limit: Duration) -> anyhow::Result<ExitStatus> {
    child
        .wait_timeout(limit)?
        .with_context(|| format!("process {} has not ended after {} s", child.id(), limit.as_secs()))
}

/// A client whose requests end, after a minute at the latest.
pub fn http_client() -> reqwest::Client {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build();
    client.expect("a client with a time limit needs nothing that can be absent")
}

/// Reads a pipe, so that nobody waits for a full one.
struct Listener {
    heard: Arc<Mutex<Vec<u8>>>,
    /// Closed when the pipe ends.
    ended: Receiver<()>,
}

impl Listener {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&heard);
        let (ends, ended) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            let _ends = ends;
            let (Some(mut pipe), mut part) = (pipe, vec![0; 64 * 1024]) else { return };
            while let Ok(count @ 1..) = pipe.read(&mut part) {
                keep.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&part[..count]);
            }
        });
        Self { heard, ended }
    }

    fn so_far(&self) -> Vec<u8> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of it, once the process has ended; a child that it left behind may hold the pipe, and is not waited for.
    fn to_the_end(&self) -> Vec<u8> {
        let _ = self.ended.recv_timeout(LEFT_BEHIND_MAX);
        self.so_far()
    }
}

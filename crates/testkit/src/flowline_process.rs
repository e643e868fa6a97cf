//! The real binary, started, spoken to and killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::limited::{ended_within, http_client};

/// A node that is not ready by then hangs.
const START_MAX: Duration = Duration::from_secs(120);
/// A node that was asked to end and has not by then hangs.
const END_MAX: Duration = Duration::from_secs(120);

/// A running `flowline up` on ports that the system chose. Killed when dropped.
#[derive(Debug)]
pub struct FlowlineProcess {
    child: Child,
    /// `http://127.0.0.1:port`.
    pub http: String,
    /// `127.0.0.1:port` of the Postgres wire.
    pub postgres: String,
    /// What it said when it was ready.
    pub greeting: Value,
    said: Arc<Mutex<String>>,
}

/// How a node is started for a test.
#[derive(Debug, Clone)]
pub struct FlowlineOptions {
    /// The binary.
    pub binary: PathBuf,
    /// The project's folder.
    pub project: PathBuf,
    /// The value of `FLOWLINE_FAULTS`, when faults are to be injected.
    pub faults: Option<String>,
    /// The filter of its log.
    pub log: String,
    /// The roles of the node; all when empty.
    pub roles: Vec<String>,
}

impl FlowlineOptions {
    /// The binary on the project, without faults.
    pub fn new(binary: impl Into<PathBuf>, project: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            project: project.into(),
            faults: None,
            log: "error".to_owned(),
            roles: Vec::new(),
        }
    }
}

impl FlowlineProcess {
    /// Starts the node and returns when it says that it is ready.
    ///
    /// # Errors
    /// When it ends instead; what it wrote to standard error went to this process's.
    pub fn start(options: &FlowlineOptions) -> anyhow::Result<Self> {
        let mut command = Command::new(&options.binary);
        command
            .args([
                "up",
                "--output",
                "json",
                "--http",
                "127.0.0.1:0",
                "--postgres",
                "127.0.0.1:0",
                "--project",
            ])
            .arg(&options.project)
            .env("FLOWLINE_LOG", &options.log)
            .env_remove("FLOWLINE_FAULTS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if !options.roles.is_empty() {
            command.arg("--roles").arg(options.roles.join(","));
        }
        if let Some(faults) = &options.faults {
            command.env("FLOWLINE_FAULTS", faults);
        }
        let mut child = command.spawn().with_context(|| format!("starting {}", options.binary.display()))?;
        let stdout = child.stdout.take().context("the node has no standard output")?;
        let said = Arc::new(Mutex::new(String::new()));
        let lines = listen(stdout, Arc::clone(&said));
        let line = match lines.recv_timeout(START_MAX) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                child.kill()?;
                child.wait()?;
                bail!("the node was not ready after {} s", START_MAX.as_secs());
            }
            Err(RecvTimeoutError::Disconnected) => {
                bail!("the node ended before it was ready: {}", ended_within(&mut child, END_MAX)?)
            }
        };
        let greeting: Value = serde_json::from_str(&line)?;
        let greeted = |name: &str| greeting[name].as_str().map(str::to_owned);
        let address = |name: &str| greeted(name).with_context(|| format!("no `{name}` in {greeting}"));
        let (http, postgres) = (format!("http://{}", address("http")?), address("postgres")?);
        Ok(Self { child, http, postgres, greeting, said })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on standard output since.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it has not ended yet.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// SIGKILL, at once; waits until the process is gone.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, as an operator would; waits until it has ended and says whether it ended well.
    ///
    /// # Errors
    /// When it has not ended two minutes later.
    pub fn terminate(mut self) -> anyhow::Result<bool> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status()?;
        Ok(ended_within(&mut self.child, END_MAX)?.success())
    }

    /// Runs a query over HTTP and returns its rows as JSON objects.
    pub async fn query(&self, sql: &str) -> anyhow::Result<Vec<Value>> {
        let response = http_client()
            .post(format!("{}/v1/query", self.http))
            .json(&serde_json::json!({ "sql": sql }))
            .send()
            .await?;
        let status = response.status();
        let body: Value = response.json().await?;
        if !status.is_success() {
            bail!("query `{sql}` failed with {status}: {body}");
        }
        Ok(body["rows"].as_array().cloned().unwrap_or_default())
    }
}

impl Drop for FlowlineProcess {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes on the first line; keeps the others, so that the node never waits for a full pipe.
fn listen(stdout: ChildStdout, keep: Arc<Mutex<String>>) -> Receiver<String> {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        if let Some(line) = lines.next() {
            // Nobody listens any more where it came too late.
            let _ = sender.send(line);
        }
        drop(sender);
        for line in lines {
            let mut said = keep.lock().unwrap_or_else(PoisonError::into_inner);
            said.push_str(&line);
            said.push('\n');
        }
    });
    receiver
}

/// Where the real data of the tests lies, when it is there: `FLOWLINE_TEST_DATA`, else `shared/data` beside the
/// repository.
pub fn real_data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("FLOWLINE_TEST_DATA").map_or(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

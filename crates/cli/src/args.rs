//! The command line as it is written: flags, defaults, help and examples. What the flags lead to is in `commands`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use flowline_node::Role;

const QUARANTINE_EXAMPLES: &str = "Examples:
  flowline quarantine list --project shop
  flowline quarantine show shop.orders --project shop --reason wrong-type --column amount --limit 5
  flowline quarantine replay shop.orders --project shop   # after the contract or the producer was mended
  flowline quarantine replay shop.orders --project shop --set \"amount=replace(amount, ',', '.')\"
  flowline quarantine discard shop.orders --project shop --reason unparsable --because 'test records'";

const CONTRACT_EXAMPLES: &str = "Examples:
  flowline contract check --git main --project shop             the gate of a pull request: exit code 1 when refused
  flowline contract check --git main --markdown > comment.md    the same, for a comment
  flowline contract diff shop.orders --project shop             the project's files against the version deployed last
  flowline contract diff shop.orders --from 3 --to 5 --project shop
  flowline contract export shop.orders --project shop > orders.odcs.yaml
  flowline contract import orders.odcs.yaml --project shop";

const QUALITY_EXAMPLES: &str = "Examples:
  flowline quality run shop.orders --project shop
  flowline quality list --project shop --output json";

const EXAMPLES: &str = "Examples:
  flowline demo                          a simulated shop on http://127.0.0.1:8200, until ctrl-c
  flowline init shop                     a project to start from
  flowline check shop                    mistakes of the project's files, each with file, line and column
  flowline up --project shop             run it
  flowline query 'select * from shop.orders limit 5' --project shop
  flowline status --project shop         every hop: freshness, rows, lag, last error";

/// The data platform that says where the flow stopped, why, who is hit, and mends it.
#[derive(Debug, Parser)]
#[command(name = "flowline", version, after_help = EXAMPLES, propagate_version = true)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Output::Human)]
    pub output: Output,
    /// When colours are used. `NO_COLOR` turns them off as well.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    pub color: Colour,
    /// How the node's own log is written, to standard error.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "FLOWLINE_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What is logged, as `tracing` filters (`info`, `flowline_land=debug`).
    #[arg(long, global = true, env = "FLOWLINE_LOG", default_value = "warn")]
    pub log: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Tables and sentences.
    Human,
    /// One JSON document, for programs.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// When standard output is a terminal.
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Which project, where it runs.
#[derive(Debug, Clone, Args)]
pub struct ProjectArguments {
    /// The folder that holds `flowline.yaml`.
    #[arg(long, short, default_value = ".", env = "FLOWLINE_PROJECT")]
    pub project: PathBuf,
    /// The environment of the project, `dev` unless the project says otherwise.
    #[arg(long, short, env = "FLOWLINE_ENVIRONMENT")]
    pub environment: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a new project from a built-in template.
    Init(Init),
    /// Validate a project; each error with file, line, column and the nearest right word.
    Check(Check),
    /// Run a project: HTTP and pages, Postgres wire, landing, transforms.
    Up(Up),
    /// Run a read-only SQL query, against the running node or straight on the lake when none runs.
    Query(Query),
    /// The flow map: every hop with freshness, rows, lag and last error.
    Status(Status),
    /// Hold what was read against what was written, for each hop; exit code 1 when it does not balance.
    Ledger(Ledger),
    /// Contracts: their versions, what a change breaks and for whom, and the Open Data Contract Standard.
    Contract(Contract),
    /// The checks of datasets: evaluate them, or list what they said last; exit code 1 when one does not hold.
    Quality(Quality),
    /// What the rows of a version look like, column by column.
    Profile(Profile),
    /// Rejected records: list, show, replay, discard.
    Quarantine(Quarantine),
    /// Registered schemas: list, show, check.
    Registry(RegistryArguments),
    /// Compute again what a stream wrote from a time on, and swap it in with one commit.
    Replay(Replay),
    /// Run the tests of a project: given records, expected rows, in a lake of their own.
    Test(Test),
    /// A simulated shop under way: `init`, `up` and customers, on a temporary folder.
    Demo(Demo),
    /// JSON Schemas of the project files, for editors.
    Schema(Schema),
    /// A completion script for a shell.
    #[command(
        after_help = "Examples:\n  flowline completions bash > /etc/bash_completion.d/flowline\n  source <(flowline completions zsh)"
    )]
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flowline init shop\n  flowline init stores/eu --template shop")]
pub struct Init {
    /// The folder to write; it must be empty or not exist.
    pub folder: PathBuf,
    /// Which template.
    #[arg(long, default_value = "shop")]
    pub template: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flowline check shop\n  flowline check shop --output json   # for editors and CI"
)]
pub struct Check {
    /// The folder that holds `flowline.yaml`.
    #[arg(default_value = ".")]
    pub folder: PathBuf,
    /// The environment of the project.
    #[arg(long, short, env = "FLOWLINE_ENVIRONMENT")]
    pub environment: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flowline up --project shop\n  flowline up --project shop --http 127.0.0.1:9200 --log info"
)]
pub struct Up {
    #[command(flatten)]
    pub project: ProjectArguments,
    /// Where HTTP and the pages listen, instead of what the environment says.
    #[arg(long)]
    pub http: Option<std::net::SocketAddr>,
    /// Where the Postgres wire listens, instead of what the environment says.
    #[arg(long)]
    pub postgres: Option<std::net::SocketAddr>,
    /// Which roles this node has; all of them unless some are named. Nodes that share a lake have their log in Kafka:
    /// landers then share its partitions, and one processor is elected.
    #[arg(long, value_delimiter = ',')]
    pub roles: Vec<Role>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  flowline query 'select count(*) from shop.orders' --output json
  flowline query 'select * from shop.orders' --as-of 12
  flowline query 'select * from shop.orders' --as-of 2026-01-05T08:00:00Z")]
pub struct Query {
    /// The SQL; `-` reads it from standard input.
    pub sql: String,
    #[command(flatten)]
    pub project: ProjectArguments,
    /// Read the tables as they were: a version number, or a time (RFC 3339).
    #[arg(long, value_name = "VERSION|TIME")]
    pub as_of: Option<String>,
    /// At most so many rows.
    #[arg(long, default_value_t = 10_000)]
    pub rows_max: u64,
    /// Give up after this long.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub timeout: Duration,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flowline status --project shop\n  flowline status --project shop --output json"
)]
pub struct Status {
    #[command(flatten)]
    pub project: ProjectArguments,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flowline ledger --project shop\n  flowline ledger shop.orders --project shop --output json"
)]
pub struct Ledger {
    /// Only this dataset.
    pub dataset: Option<String>,
    #[command(flatten)]
    pub project: ProjectArguments,
}

#[derive(Debug, Args)]
#[command(after_help = CONTRACT_EXAMPLES)]
pub struct Contract {
    #[command(subcommand)]
    pub action: ContractAction,
}

#[derive(Debug, Subcommand)]
pub enum ContractAction {
    /// The versions of contracts that were deployed.
    #[command(after_help = CONTRACT_EXAMPLES)]
    List {
        /// `domain.name`; all datasets when absent.
        dataset: Option<String>,
        #[command(flatten)]
        project: ProjectArguments,
    },
    /// Every change of one contract, in which directions it is compatible, and whom it hits.
    #[command(after_help = CONTRACT_EXAMPLES)]
    Diff {
        /// `domain.name`.
        dataset: String,
        /// The version that is compared with; the one deployed last when absent.
        #[arg(long, value_name = "VERSION", conflicts_with = "git")]
        from: Option<u32>,
        /// The version that is judged; the project's files when absent.
        #[arg(long, value_name = "VERSION", conflicts_with = "git")]
        to: Option<u32>,
        /// Compare the project's files with those of this commit, branch or tag.
        #[arg(long, value_name = "REF")]
        git: Option<String>,
        /// Print Markdown.
        #[arg(long)]
        markdown: bool,
        #[command(flatten)]
        project: ProjectArguments,
    },
    /// Hold all contracts against those of a commit; exit code 1 when a change breaks the rule of its dataset or a
    /// consumer that is declared.
    #[command(after_help = CONTRACT_EXAMPLES)]
    Check {
        /// The commit, branch or tag that is compared with.
        #[arg(long, value_name = "REF")]
        git: String,
        /// Print Markdown, for a comment in a pull request.
        #[arg(long)]
        markdown: bool,
        #[command(flatten)]
        project: ProjectArguments,
    },
    /// A contract in the words of a standard, to standard output.
    #[command(after_help = CONTRACT_EXAMPLES)]
    Export {
        /// `domain.name`.
        dataset: String,
        /// Which standard.
        #[arg(long, value_enum, default_value_t = ContractFormat::Odcs)]
        format: ContractFormat,
        #[command(flatten)]
        project: ProjectArguments,
    },
    /// Write the datasets that a contract in the words of a standard describes into the project.
    #[command(after_help = CONTRACT_EXAMPLES)]
    Import {
        /// The file, YAML or JSON.
        file: PathBuf,
        /// Print the files instead of writing them.
        #[arg(long)]
        print: bool,
        #[command(flatten)]
        project: ProjectArguments,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ContractFormat {
    /// The Open Data Contract Standard, 3.1.0.
    Odcs,
}

#[derive(Debug, Args)]
#[command(after_help = QUALITY_EXAMPLES)]
pub struct Quality {
    #[command(subcommand)]
    pub action: QualityAction,
}

#[derive(Debug, Subcommand)]
pub enum QualityAction {
    /// Evaluate every check of a dataset over its newest version and record what they say.
    #[command(after_help = QUALITY_EXAMPLES)]
    Run {
        /// `domain.name`.
        dataset: String,
        #[command(flatten)]
        project: ProjectArguments,
    },
    /// What each check said last.
    #[command(after_help = QUALITY_EXAMPLES)]
    List {
        /// `domain.name`; all datasets when absent.
        dataset: Option<String>,
        #[command(flatten)]
        project: ProjectArguments,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flowline profile shop.orders --project shop\n  flowline profile shop.orders --at 12 --output json"
)]
pub struct Profile {
    /// `domain.name`.
    pub dataset: String,
    /// The version whose rows are described; the newest that has a profile when absent.
    #[arg(long, value_name = "VERSION")]
    pub at: Option<u64>,
    #[command(flatten)]
    pub project: ProjectArguments,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flowline registry list --project shop\n  flowline registry show orders-value --project shop\n  flowline registry check orders-value order.avsc --project shop   # exit code 1 when it is not compatible"
)]
pub struct RegistryArguments {
    #[command(subcommand)]
    pub action: RegistryAction,
}

#[derive(Debug, Subcommand)]
pub enum RegistryAction {
    /// The latest version of each subject.
    #[command(
        after_help = "Examples:\n  flowline registry list --project shop\n  flowline registry list --project shop --output json   # with the text of each schema"
    )]
    List {
        #[command(flatten)]
        project: ProjectArguments,
    },
    /// The schema of a version.
    #[command(
        after_help = "Examples:\n  flowline registry show orders-value --project shop\n  flowline registry show orders-value --at 3 --project shop > order.avsc"
    )]
    Show {
        /// The subject.
        subject: String,
        /// Which version.
        #[arg(long, value_name = "VERSION", default_value = "latest")]
        at: String,
        #[command(flatten)]
        project: ProjectArguments,
    },
    /// Whether a schema could be registered; what is in its way.
    #[command(
        after_help = "Examples:\n  flowline registry check orders-value order.avsc --project shop   # exit code 1 when it is not compatible\n  flowline registry check orders-value order.proto --project shop\n  flowline registry check orders-value schema.txt --language json --project shop"
    )]
    Check {
        /// The subject.
        subject: String,
        /// The file with the schema: `.proto` is Protobuf, `.json` JSON Schema, anything else Avro.
        file: PathBuf,
        /// The language, where the ending does not say it.
        #[arg(long, value_parser = ["avro", "json", "protobuf"])]
        language: Option<String>,
        #[command(flatten)]
        project: ProjectArguments,
    },
}

#[derive(Debug, Args)]
#[command(after_help = QUARANTINE_EXAMPLES)]
pub struct Quarantine {
    #[command(subcommand)]
    pub action: QuarantineAction,
}

#[derive(Debug, Subcommand)]
pub enum QuarantineAction {
    /// How many records of each dataset are in quarantine, by reason.
    #[command(after_help = QUARANTINE_EXAMPLES)]
    List {
        /// `domain.name`; all datasets when absent.
        dataset: Option<String>,
        #[command(flatten)]
        project: ProjectArguments,
    },
    /// The rejected records of a dataset, newest first.
    #[command(after_help = QUARANTINE_EXAMPLES)]
    Show {
        /// `domain.name`.
        dataset: String,
        #[command(flatten)]
        selection: QuarantineSelection,
        /// At most so many.
        #[arg(long, default_value_t = 20)]
        limit: u64,
        #[command(flatten)]
        project: ProjectArguments,
    },
    /// Hold rejected records against the contract as it is now; those that fit are landed and leave quarantine.
    #[command(after_help = QUARANTINE_EXAMPLES)]
    Replay {
        /// `domain.name`.
        dataset: String,
        #[command(flatten)]
        selection: QuarantineSelection,
        /// Mend a field of each record first, by a SQL expression over its fields; every field is text. May be repeated.
        #[arg(long, value_name = "FIELD=EXPRESSION", value_parser = assignment)]
        set: Vec<(String, String)>,
        #[command(flatten)]
        project: ProjectArguments,
    },
    /// Delete rejected records that nobody wants any more. They still count as quarantined in the balance.
    #[command(after_help = QUARANTINE_EXAMPLES)]
    Discard {
        /// `domain.name`.
        dataset: String,
        /// Why; it is kept with the run.
        #[arg(long, value_name = "TEXT")]
        because: String,
        #[command(flatten)]
        selection: QuarantineSelection,
        /// Only those that were quarantined before this time (RFC 3339).
        #[arg(long, value_name = "TIME")]
        before: Option<String>,
        #[command(flatten)]
        project: ProjectArguments,
    },
}

/// Which rejected records; all when nothing is said.
#[derive(Debug, Args)]
pub struct QuarantineSelection {
    /// Only those rejected for this reason, as `quarantine list` names it.
    #[arg(long)]
    pub reason: Option<String>,
    /// Only those in which this column was at fault.
    #[arg(long)]
    pub column: Option<String>,
}

/// `amount=replace(amount, ',', '.')`.
fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((field, expression)) if !field.trim().is_empty() && !expression.trim().is_empty() => {
            Ok((field.trim().to_owned(), expression.trim().to_owned()))
        }
        _ => Err(format!("`{text}` is not FIELD=EXPRESSION, `amount=replace(amount, ',', '.')` for example")),
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flowline replay shop.revenue_by_minute --from 2026-01-05T08:00:00Z")]
pub struct Replay {
    /// The stream, `domain.name`.
    pub dataset: String,
    /// Windows that end behind this time (RFC 3339) are computed again.
    #[arg(long, value_name = "TIME")]
    pub from: String,
    #[command(flatten)]
    pub project: ProjectArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  flowline test --project shop
  flowline test revenue --project shop --watch
  flowline test --project shop --junit target/tests.xml   # for CI; exit code 1 unless all pass")]
pub struct Test {
    /// Only tests with this in their name or the name of their file.
    pub filter: Option<String>,
    #[command(flatten)]
    pub project: ProjectArguments,
    /// Write the results as JUnit XML to this file.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Run them again whenever a file of the project changes.
    #[arg(long)]
    pub watch: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  flowline demo
  flowline demo --for 60s --seed 7 --output json   # ends by itself; exit code 1 if the ledger does not balance")]
pub struct Demo {
    /// End after this long and print a summary.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// The seed of the simulated customers: the same seed makes the same records.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Visits that begin, a second.
    #[arg(long, default_value_t = 40.0)]
    pub rate: f64,
    /// Keep the project in this folder instead of a temporary one.
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// Where HTTP and the pages listen.
    #[arg(long, default_value = "127.0.0.1:8200")]
    pub http: std::net::SocketAddr,
    /// Where the Postgres wire listens.
    #[arg(long, default_value = "127.0.0.1:5433")]
    pub postgres: std::net::SocketAddr,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  flowline schema\n  flowline schema --folder .vscode/schemas")]
pub struct Schema {
    /// Write the schemas into this folder instead of printing them.
    #[arg(long)]
    pub folder: Option<PathBuf>,
}

/// `90s`, `5m`, `2h`, `500ms`, `1d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(format!("`{text}` is not a duration: write `500ms`, `90s`, `5m`, `2h` or `1d`")),
    };
    let number: u64 = number.parse().map_err(|_| format!("`{text}` does not start with a whole number"))?;
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is too long a time"))
}

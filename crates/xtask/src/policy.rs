//! The rules as data: whoever changes the architecture changes it here, with the reason.

/// The layer of each crate, by folder; imports point down. Tools have no layer: nothing depends on them but tests
/// and other tools.
pub const LAYERS: &[(&str, u8)] = &[
    ("base", 0),
    ("model", 0),
    ("kafka", 0),
    ("project", 1),
    ("ledger", 1),
    ("log", 1),
    ("lake", 1),
    ("quality", 2),
    ("contract", 2),
    ("registry", 2),
    ("source", 2),
    ("land", 2),
    ("process", 2),
    ("slo", 2),
    ("diagnose", 2),
    ("govern", 2),
    ("schedule", 3),
    ("view", 3),
    ("respond", 4),
    ("serve", 4),
    ("node", 5),
    ("cli", 6),
];

/// Crates outside the layers.
pub const TOOLS: &[&str] = &["testkit", "bench", "xtask"];

/// Imports within one layer, each with its reason.
pub const SIBLINGS: &[(&str, &str, &str)] = &[
    ("model", "base", "facts carry identifiers and error kinds"),
    ("kafka", "base", "its errors say what to do, and its waits are drawn there"),
    ("kafka", "model", "the settings of a cluster are part of an environment"),
    ("source", "registry", "the answers of other registries are schemas"),
    ("land", "registry", "records are read with the schema that they were written with"),
    ("land", "source", "the lander decodes what connectors bring in"),
    ("land", "quality", "the lander holds rows against the contract"),
    ("process", "quality", "checks over tables are compiled into plans, and what they count is judged there"),
];

/// A dependency that only some crates may have.
pub struct OnlyDependency {
    /// Package names; a trailing `*` stands for any end.
    pub packages: &'static [&'static str],
    /// Folders of the crates that may.
    pub crates: &'static [&'static str],
    /// What those crates are the only ones to do, after "to ".
    pub reason: &'static str,
}

/// "Is the only crate that", as far as dependencies show it. Tools and tests are free.
pub const ONLY_DEPENDENCIES: &[OnlyDependency] = &[
    OnlyDependency {
        packages: &["fastrand", "rand", "rand_*", "getrandom"],
        crates: &["base"],
        reason: "read randomness",
    },
    OnlyDependency {
        packages: &["deltalake*", "delta_kernel*", "object_store"],
        crates: &["lake"],
        reason: "know Delta and object storage",
    },
    OnlyDependency {
        packages: &["sqlx*", "rusqlite", "tokio-postgres"],
        crates: &["ledger"],
        reason: "write control-plane state",
    },
    // The checksum of a record batch of Kafka is the same one.
    OnlyDependency { packages: &["crc32c"], crates: &["log", "kafka"], reason: "know log formats" },
    OnlyDependency {
        packages: &["kafka-protocol", "rdkafka*", "rskafka", "krafka"],
        crates: &["kafka"],
        reason: "speak the protocol of Kafka",
    },
    OnlyDependency {
        packages: &["saphyr*", "serde_yaml*", "schemars", "annotate-snippets"],
        crates: &["project"],
        reason: "parse a user file",
    },
    OnlyDependency {
        packages: &["prost-reflect", "prost-types", "protox", "apache-avro"],
        crates: &["registry"],
        reason: "know schema languages",
    },
    // A project file is held against a JSON Schema of ours, a registered schema against its meta-schema.
    OnlyDependency {
        packages: &["jsonschema"],
        crates: &["project", "registry"],
        reason: "know JSON Schema",
    },
    OnlyDependency {
        packages: &[
            "axum*",
            "hyper*",
            "tower-http",
            "utoipa*",
            "askama*",
            "pgwire",
            "arrow-pg",
            "datafusion-pg-catalog",
        ],
        crates: &["serve"],
        reason: "know HTTP, HTML and the Postgres wire protocol",
    },
    OnlyDependency {
        packages: &["clap", "clap_complete", "anstream", "anstyle", "comfy-table", "indicatif", "mimalloc"],
        crates: &["cli"],
        reason: "be the command line",
    },
    OnlyDependency {
        packages: &["reqwest"],
        crates: &["cli", "source", "respond"],
        reason: "call others over HTTP",
    },
];

/// Crates that compute and do nothing else, and what they therefore never depend on.
pub const PURE: &[(&str, &[&str])] = &[
    ("model", &["tokio", "tracing", "metrics"]),
    // Of the lake it takes the mapping of types, which does nothing either.
    ("quality", &["tokio", "tracing", "metrics", "flowline-base", "flowline-ledger", "flowline-log"]),
    (
        "contract",
        &["tokio", "tracing", "metrics", "flowline-base", "flowline-ledger", "flowline-log", "flowline-lake"],
    ),
    ("slo", &["tokio", "flowline-lake", "flowline-ledger", "flowline-log"]),
    ("diagnose", &["tokio", "flowline-lake", "flowline-ledger", "flowline-log"]),
    ("govern", &["tokio", "flowline-lake", "flowline-ledger", "flowline-log"]),
    ("schedule", &["tokio", "flowline-lake", "flowline-log"]),
];

/// A call that only some crates may make.
pub struct OnlyCall {
    /// The word in `tidy: allow(word): reason`.
    pub word: &'static str,
    /// The last parts of a path, or a macro with its `!`.
    pub calls: &'static [&'static str],
    /// Folders of the crates that may.
    pub crates: &'static [&'static str],
    /// What those crates are the only ones to do, after "to ".
    pub reason: &'static str,
    /// What others do instead.
    pub instead: &'static str,
    /// Whether `clippy.toml` refuses it as well, so that an `allow` of clippy's with its reason is reason enough.
    pub clippy: bool,
}

/// "Is the only crate that", as far as calls show it. Tools and tests are free; a line that must be an exception
/// says `// tidy: allow(word): reason` on it or above it.
pub const ONLY_CALLS: &[OnlyCall] = &[
    OnlyCall {
        word: "time",
        calls: &["SystemTime::now", "Instant::now", "Utc::now", "Local::now", "now_v7", "new_v4"],
        crates: &["base"],
        reason: "read time and randomness",
        instead: "take a `SharedClock`, or make the identifier with flowline-base",
        clippy: true,
    },
    OnlyCall {
        word: "print",
        calls: &["println!", "print!", "eprintln!", "eprint!"],
        crates: &["cli"],
        reason: "print to stdout",
        instead: "return the text, or log it with `tracing`",
        clippy: false,
    },
    OnlyCall {
        word: "exit",
        calls: &["process::exit", "process::abort"],
        crates: &["cli"],
        reason: "exit the process",
        instead: "return an error",
        clippy: true,
    },
    OnlyCall {
        word: "spawn",
        calls: &["tokio::spawn", "task::spawn", "thread::spawn", "thread::Builder::new"],
        // A member of a consumer group must be heard of while its owner is busy.
        crates: &["node", "serve", "log", "kafka"],
        reason: "spawn long-running tasks",
        instead: "return a future and let the node run it",
        clippy: false,
    },
];

/// Lines of a function, signature and braces included, beyond which it is refused; half of that is what fits a
/// screen. Tests are free.
pub const FUNCTION_LINES_MAX: usize = 100;
/// Lines of a file without its tests, beyond which it is refused.
pub const FILE_LINES_MAX: usize = 800;

/// Licences that a dependency may have.
pub const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "BSL-1.0",
    "CC0-1.0",
    "Unlicense",
    "Unicode-3.0",
];

/// Dependencies with another licence, each with the reason why it may stay.
pub const LICENCE_EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "libbz2-rs-sys",
        "bzip2-1.0.6",
        "the licence of bzip2: like BSD, asks for the notice and for honesty about changes",
    ),
    ("option-ext", "MPL-2.0", "used unchanged; the licence reaches no further than its own files"),
    ("webpki-roots", "CDLA-Permissive-2.0", "data: Mozilla's root certificates; asks for the notice"),
    ("x509-certificate", "MPL-2.0", "used unchanged; the licence reaches no further than its own files"),
];

/// Words that stand nowhere in the repository: the word, and what it is.
pub const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/ho", "me/"), "a path of one machine"),
    (concat!("arti", "factory"), "the host of a registry"),
    (concat!("index.", "crates.io"), "the host of a registry"),
];

/// Files in which such words are somebody else's.
pub const FORBIDDEN_EXCEPT: &[&str] = &["Cargo.lock"];

/// Files that the repository has, and what each says.
pub const DOCUMENTS: &[(&str, &str)] = &[
    ("README.md", "what this is and the two commands that show it"),
    ("ARCHITECTURE.md", "the map for a newcomer"),
    ("CONTRIBUTING.md", "how to change it"),
    ("CHANGELOG.md", "what users notice of each change"),
    ("LICENSE", "what may be done with it"),
];

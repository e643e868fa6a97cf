//! Each rule finds what breaks it and nothing else.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use expect_test::{Expect, expect};

use crate::report::Report;
use crate::rules;
use crate::sizes::{Sized, Sizes};
use crate::source::Source;
use crate::workspace::{Crate, Package, Workspace};

/// A crate with a root that says what it owns.
fn member(folder: &str, dependencies: &[&str]) -> Crate {
    let root = format!("crates/{folder}/src/lib.rs");
    Crate {
        folder: folder.to_owned(),
        package: format!("flowline-{folder}"),
        dependencies: dependencies.iter().map(|name| (*name).to_owned()).collect(),
        dev_dependencies: Vec::new(),
        sources: vec![Source::new(&root, "//! Owns: this. Does not own: that.\n")],
    }
}

/// A crate with one more file.
fn with_file(folder: &str, text: &str) -> Crate {
    let mut member = member(folder, &[]);
    member
        .sources
        .push(Source::new(&format!("crates/{folder}/src/file.rs"), &format!("//! A file.\n{text}")));
    member
}

/// A workspace that has its documents and these crates.
fn workspace(crates: Vec<Crate>) -> Workspace {
    let documents = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"];
    let files = documents.map(|path| (path.to_owned(), "text".to_owned()));
    Workspace { crates, packages: Vec::new(), files: files.into() }
}

fn check(workspace: &Workspace, expected: Expect) {
    let found: Vec<String> =
        rules::run(workspace).findings.iter().map(|finding| format!("{finding}\n")).collect();
    expected.assert_eq(&found.concat());
}

#[test]
fn a_tidy_workspace_has_no_findings() {
    let crates = vec![
        member("base", &[]),
        member("model", &["flowline-base"]),
        member("cli", &["clap", "flowline-model"]),
    ];
    check(&workspace(crates), expect![""]);
}

#[test]
fn imports_point_down() {
    let mut tested = member("log", &[]);
    tested.dev_dependencies = vec!["flowline-testkit".to_owned(), "flowline-serve".to_owned()];
    let crates = vec![
        member("lake", &["flowline-serve"]),
        member("land", &["flowline-source", "flowline-process", "flowline-lake"]),
        member("process", &["flowline-testkit"]),
        member("serve", &["flowline-lake"]),
        member("source", &[]),
        member("testkit", &["flowline-serve"]),
        member("mystery", &[]),
        tested,
    ];
    check(
        &workspace(crates),
        expect![[r#"
        crates/lake/Cargo.toml: `lake` (layer 1) imports `serve` (layer 4): imports point down [layers]
        crates/land/Cargo.toml: `land` (layer 2) imports `process` (layer 2): imports point down [layers]
        crates/log/Cargo.toml: `log` (layer 1) imports `serve` (layer 4): imports point down (in tests) [layers]
        crates/mystery/Cargo.toml: `mystery` has no layer: give it one in crates/xtask/src/policy.rs [layers]
        crates/process/Cargo.toml: `process` imports the tool `testkit` outside of tests [layers]
    "#]],
    );
}

#[test]
fn some_dependencies_stand_in_one_crate_only() {
    let crates = vec![
        member("lake", &["deltalake-core", "object_store"]),
        member("land", &["deltalake-core", "axum-extra", "serde"]),
        member("quality", &["tokio"]),
        member("bench", &["reqwest", "clap"]),
    ];
    check(
        &workspace(crates),
        expect![[r#"
            crates/land/Cargo.toml: `land` depends on `axum-extra`, but only `serve` know HTTP, HTML and the Postgres wire protocol [only-dependency]
            crates/land/Cargo.toml: `land` depends on `deltalake-core`, but only `lake` know Delta and object storage [only-dependency]
            crates/quality/Cargo.toml: `quality` is pure and never depends on `tokio` [pure]
        "#]],
    );
}

#[test]
fn some_calls_stand_in_one_crate_only() {
    let text = "\
use std::time::Instant;
fn time() -> Instant { Instant::now() }
fn log() { println!(\"{:?}\", chrono::Utc::now()); }
fn end() { std::process::exit(1) }
async fn task() {
    tokio::spawn(async {});
    // tidy: allow(spawn): the writer of one file, joined when the file is closed
    tokio::spawn(async {});
    tokio::spawn(async {}); // tidy: allow(spawn): the same
    // tidy: allow(spawn):
    tokio::spawn(async {});
    flowline::respawn::spawn();
}
#[cfg(test)]
mod tests {
    fn free() { println!(\"{:?}\", std::time::Instant::now()); }
}
#[test]
fn free() { std::process::exit(0) }
";
    check(
        &workspace(vec![with_file("lake", text), with_file("testkit", text)]),
        expect![[r#"
            crates/lake/src/file.rs:3: `Instant::now`: to read time and randomness is for `base` only: take a `SharedClock`, or make the identifier with flowline-base, or say why on this line: `// tidy: allow(time): …` [only-call]
            crates/lake/src/file.rs:4: `chrono::Utc::now`: to read time and randomness is for `base` only: take a `SharedClock`, or make the identifier with flowline-base, or say why on this line: `// tidy: allow(time): …` [only-call]
            crates/lake/src/file.rs:4: `println!`: to print to stdout is for `cli` only: return the text, or log it with `tracing`, or say why on this line: `// tidy: allow(print): …` [only-call]
            crates/lake/src/file.rs:5: `std::process::exit`: to exit the process is for `cli` only: return an error, or say why on this line: `// tidy: allow(exit): …` [only-call]
            crates/lake/src/file.rs:7: `tokio::spawn`: to spawn long-running tasks is for `node`, `serve`, `log`, `kafka` only: return a future and let the node run it, or say why on this line: `// tidy: allow(spawn): …` [only-call]
            crates/lake/src/file.rs:12: `tokio::spawn`: to spawn long-running tasks is for `node`, `serve`, `log`, `kafka` only: return a future and let the node run it, or say why on this line: `// tidy: allow(spawn): …` [only-call]
        "#]],
    );
    check(&workspace(vec![with_file("cli", "fn end() { println!(); std::process::exit(1) }")]), expect![""]);
    let allowed = "#![allow(clippy::disallowed_methods, reason = \"measures\")]\nfn time() { std::time::Instant::now(); }";
    check(&workspace(vec![with_file("lake", allowed)]), expect![""]);
}

#[test]
fn functions_and_files_stay_small() {
    let long = |lines: usize| format!("fn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2));
    check(&workspace(vec![with_file("lake", &long(100))]), expect![""]);
    check(
        &workspace(vec![with_file("lake", &long(101))]),
        expect![[r#"
        crates/lake/src/file.rs:2: `long` has 101 lines, more than 100: give its parts names [size]
    "#]],
    );
    check(
        &workspace(vec![with_file("lake", &"fn small() {}\n".repeat(900))]),
        expect![[r#"
        crates/lake/src/file.rs: this file has 901 lines without its tests, more than 800: it has several subjects [size]
    "#]],
    );
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", long(900));
    check(&workspace(vec![with_file("lake", &tests)]), expect![""]);
    check(
        &workspace(vec![with_file("lake", "fn broken( {}\n")]),
        expect![[r#"
        crates/lake/src/file.rs: this file is not Rust: line 2: cannot parse string into token stream [size]
    "#]],
    );
}

#[test]
fn crates_and_files_say_what_they_are() {
    let mut silent = member("lake", &[]);
    silent.sources = vec![
        Source::new("crates/lake/src/lib.rs", "//! Tables.\n"),
        Source::new("crates/lake/src/table.rs", "fn table() {}\n"),
        Source::new("crates/lake/tests/it/main.rs", "fn free() {}\n"),
    ];
    check(
        &workspace(vec![silent]),
        expect![[r#"
        crates/lake/src/lib.rs:1: `lake` does not say what it owns: begin with `//! … Owns: … Does not own: …` [header]
        crates/lake/src/table.rs:1: this file does not say what it is: begin with `//! …` [header]
    "#]],
    );
}

#[test]
fn licences_are_on_the_list() {
    let package = |name: &str, licence: Option<&str>| Package {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        license: licence.map(str::to_owned),
    };
    let mut workspace = workspace(Vec::new());
    workspace.packages = vec![
        package("both", Some("MIT OR Apache-2.0")),
        package("old", Some("MIT/Apache-2.0")),
        package("older", Some("Apache-2.0 / MIT")),
        package("choice", Some("GPL-3.0-only OR MIT")),
        package("with", Some("Apache-2.0 WITH LLVM-exception")),
        package("viral", Some("AGPL-3.0-only")),
        package("part", Some("MIT AND GPL-2.0-or-later")),
        package("none", None),
        package("odd", Some("my own words")),
        package("option-ext", Some("MPL-2.0")),
        package("webpki-roots", Some("GPL-3.0-only")),
    ];
    check(
        &workspace,
        expect![[r#"
        Cargo.lock: `none 1.0.0` names no licence [licence]
        Cargo.lock: `part 1.0.0` is under `MIT AND GPL-2.0-or-later`, which is not on the list in crates/xtask/src/policy.rs [licence]
        Cargo.lock: `viral 1.0.0` is under `AGPL-3.0-only`, which is not on the list in crates/xtask/src/policy.rs [licence]
        Cargo.lock: the licence `my own words` of `odd 1.0.0` cannot be read: unknown term [licence]
        crates/xtask/src/policy.rs: the licence of `webpki-roots` is no longer `CDLA-Permissive-2.0`: look at its exception again [licence]
    "#]],
    );
}

#[test]
fn words_of_one_machine_stand_nowhere() {
    let mut workspace = workspace(Vec::new());
    let root = ["/ro", "ot/project"].concat();
    let text = format!("see {root}\nthe chroot{root} is another\nhttps://x.org{root}\npath={root}\n");
    workspace.files.insert("docs/a.md".to_owned(), text.clone());
    workspace.files.insert("Cargo.lock".to_owned(), text);
    let lines: Vec<usize> = rules::run(&workspace).findings.iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [1, 4], "a path of this machine, and not one of another");
}

#[test]
fn documents_are_there() {
    check(
        &Workspace::default(),
        expect![[r#"
        ARCHITECTURE.md: there is no ARCHITECTURE.md: the map for a newcomer [documents]
        CHANGELOG.md: there is no CHANGELOG.md: what users notice of each change [documents]
        CONTRIBUTING.md: there is no CONTRIBUTING.md: how to change it [documents]
        LICENSE: there is no LICENSE: what may be done with it [documents]
        README.md: there is no README.md: what this is and the two commands that show it [documents]
    "#]],
    );
}

#[test]
fn manifests_take_from_the_workspace() {
    let mut workspace = workspace(vec![member("lake", &[])]);
    let manifest = "[dependencies]\na.workspace = true\nb = { workspace = true, features = [\"x\"] }\nc = \"1\"\n\n[package]\nname = \"lake\"\n";
    workspace.files.insert("crates/lake/Cargo.toml".to_owned(), manifest.to_owned());
    check(
        &workspace,
        expect![[r#"
        crates/lake/Cargo.toml: the lints of the workspace do not hold here: add `[lints]` with `workspace = true` [manifest]
        crates/lake/Cargo.toml:4: `c` has a version of its own: put it into [workspace.dependencies] [manifest]
    "#]],
    );
}

#[test]
fn sizes_are_ranks() {
    let all = (1..=200).map(|lines| Sized { lines, place: format!("f{lines:03}") }).collect();
    let sizes = Sizes::of(all);
    assert_eq!((sizes.count, sizes.p50, sizes.p95, sizes.p99, sizes.max), (200, 100, 190, 198, 200));
    assert_eq!(sizes.largest[0].place, "f200");
    assert_eq!(Sizes::of(Vec::new()), Sizes::default());
    let one = Sizes::of(vec![Sized { lines: 7, place: "f".to_owned() }]);
    assert_eq!((one.p50, one.p99, one.max), (7, 7, 7));
}

#[test]
fn the_report_is_readable_by_both() {
    let report: Report = rules::run(&workspace(vec![with_file("lake", "fn small() {\n}\n")]));
    expect![[r#"
        functions      1   lines: p50 2, p95 2, p99 2, max 2
             2  crates/lake/src/file.rs:2 small
        files          2   lines: p50 1, p95 3, p99 3, max 3
             3  crates/lake/src/file.rs
             1  crates/lake/src/lib.rs
        licences       0   dependencies read
        tidy
    "#]]
    .assert_eq(&report.to_string());
    expect![[r#"{"findings":[],"functions":{"count":1,"p50":2,"p95":2,"p99":2,"max":2,"largest":[{"lines":2,"place":"crates/lake/src/file.rs:2 small"}]},"files":{"count":2,"p50":1,"p95":3,"p99":3,"max":3,"largest":[{"lines":3,"place":"crates/lake/src/file.rs"},{"lines":1,"place":"crates/lake/src/lib.rs"}]},"licences_checked":0}"#]].assert_eq(&serde_json::to_string(&report).unwrap());
}

//! The flow map as HTML: one region for each part that changes by itself, so that a page that is open gets only what
//! has changed. Everything that comes from facts is escaped by the templates.

use std::collections::BTreeMap;
use std::fmt::Write;

use askama::Template;
use chrono::{DateTime, SecondsFormat, Utc};
use flowline_view::HopRow;

use super::advice::next_step;
use super::check_list;
use super::checks::Standing;
use super::flow::{Flow, Node, is_trouble};
use super::layout::{CARD_HEIGHT, CARD_WIDTH, column_left};
use super::quarantine;
use super::text::{age, count, list, plural, short_count};

/// The parts of the page by the id of their element. Ages are told as of a time; the parts that differ in nothing
/// else are found by rendering without one.
pub(super) type Regions = BTreeMap<String, String>;

/// A moment, and how long ago it was.
pub(super) struct Ago {
    /// RFC 3339.
    pub at: String,
    /// `3 min`; empty when nobody asks as of when.
    pub words: String,
}

impl Ago {
    /// The moment, as of `now`.
    pub(super) fn of(at: Option<DateTime<Utc>>, now: Option<DateTime<Utc>>) -> Option<Self> {
        let at = at?;
        let words = now.map_or(String::new(), |now| age((now - at).num_seconds()));
        Some(Self { at: at.to_rfc3339_opts(SecondsFormat::Secs, true), words })
    }
}

#[derive(Template)]
#[template(path = "verdict.html")]
struct VerdictRegion<'a> {
    state: &'a str,
    title: String,
    words: String,
    detail: String,
}

#[derive(Template)]
#[template(path = "troubles.html")]
struct TroublesRegion<'a> {
    troubles: Vec<Trouble<'a>>,
}

struct Trouble<'a> {
    state: &'a str,
    word: &'a str,
    dataset: &'a str,
    since: Option<Ago>,
    held_up_by: Option<String>,
    error: Option<&'a str>,
    next: String,
    affected: Option<String>,
    owner: &'a str,
    runbook: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "hop.html")]
struct HopRegion<'a> {
    id: String,
    node: usize,
    state: &'a str,
    word: &'a str,
    kind: &'a str,
    dataset: &'a str,
    owner: &'a str,
    domain: &'a str,
    name: &'a str,
    age: Option<Ago>,
    written: String,
    behind: String,
    note: Option<String>,
    note_bad: bool,
    /// Where more is said of it.
    note_at: Option<String>,
    checks: Option<CardChecks<'a>>,
    from: Option<String>,
}

/// What a card says of the checks of its dataset, with where they stand.
struct CardChecks<'a> {
    id: String,
    state: &'a str,
    words: String,
    title: String,
}

#[derive(Template)]
#[template(path = "source.html")]
struct SourceRegion<'a> {
    id: String,
    node: usize,
    state: &'a str,
    kind: &'a str,
    dataset: &'a str,
    domain: &'a str,
    name: &'a str,
    received: String,
    waiting: String,
    note: String,
}

#[derive(Template)]
#[template(path = "lines.html")]
struct LinesRegion<'a> {
    width: u32,
    height: u32,
    lines: Vec<Line<'a>>,
}

struct Line<'a> {
    state: &'a str,
    path: &'a str,
}

#[derive(Template)]
#[template(path = "ledger.html")]
struct LedgerRegion<'a> {
    read: String,
    parts: Vec<Part<'a>>,
    state: &'a str,
    result: String,
    labels: [&'a str; 6],
    rows: Vec<LedgerRow<'a>>,
}

struct Part<'a> {
    label: &'a str,
    count: String,
    nought: bool,
}

struct LedgerRow<'a> {
    dataset: &'a str,
    cells: Vec<Part<'a>>,
    state: &'a str,
    result: String,
}

/// The regions of the page. `project` stands in the title.
pub(super) fn regions(
    flow: &Flow,
    project: &str,
    now: Option<DateTime<Utc>>,
) -> Result<Regions, askama::Error> {
    let mut regions = Regions::new();
    regions.insert("verdict".to_owned(), verdict(flow, project).render()?);
    regions.insert("troubles".to_owned(), troubles(flow, now).render()?);
    regions.insert("lines".to_owned(), lines(flow).render()?);
    regions.insert("ledger".to_owned(), ledger(flow).render()?);
    regions.insert("checks".to_owned(), check_list::render(&flow.checks, now)?);
    regions.insert("quarantine".to_owned(), quarantine::render(&flow.quarantine, now)?);
    for (node, kind) in flow.nodes.iter().enumerate() {
        let html = match kind {
            Node::Source { hop } => source(&flow.hops[*hop], node).render()?,
            Node::Hop { hop } => hop_card(flow, &flow.hops[*hop], node, now).render()?,
        };
        regions.insert(node_id(flow, node), html);
    }
    Ok(regions)
}

/// The id of a node's element. Names of datasets hold no `-`, so that no two are the same.
pub(super) fn node_id(flow: &Flow, node: usize) -> String {
    match &flow.nodes[node] {
        Node::Source { hop } => format!("source-{}", flow.hops[*hop].dataset.replace('.', "-")),
        Node::Hop { hop } => format!("hop-{}", flow.hops[*hop].dataset.replace('.', "-")),
    }
}

/// The stylesheet that puts every card in its place, where there is room for a map.
pub(super) fn places(flow: &Flow) -> String {
    let layout = &flow.layout;
    let mut css = format!(
        "@media (min-width: 64rem) {{ .map {{ width: {}px; height: {}px; }} .zone, .card {{ position: absolute; }} \
         .card {{ width: {CARD_WIDTH}px; height: {CARD_HEIGHT}px; }}",
        layout.width, layout.height
    );
    for (node, (left, top)) in layout.places.iter().enumerate() {
        let _ = write!(css, " .n{node} {{ left: {left}px; top: {top}px; }}");
    }
    for (index, head) in flow.heads.iter().enumerate() {
        let _ = write!(css, " .z{index} {{ left: {}px; top: 0; }}", column_left(head.column));
    }
    css.push_str(" }");
    css
}

/// What the page says of everything in one line, and under which title.
fn verdict(flow: &Flow, project: &str) -> VerdictRegion<'static> {
    let number = |state: &str| flow.hops.iter().filter(|hop| hop.state == state).count() as u64;
    let total = flow.hops.len() as u64;
    let unbalanced = flow.unbalanced().len() as u64;
    let mut parts: Vec<String> = ["failed", "stale", "waiting"]
        .into_iter()
        .filter(|state| number(state) > 0)
        .map(|state| format!("{} {state}", number(state)))
        .collect();
    if unbalanced > 0 {
        parts.push(format!("{unbalanced} unbalanced"));
    }
    let slow = flow.hops.iter().filter(|hop| hop.slow.is_some() && hop.state != "waiting").count();
    if slow > 0 {
        parts.push(format!("{slow} slow"));
    }
    let never = number("never");
    let (state, words) = match () {
        () if total == 0 => ("never", "Nothing is deployed yet".to_owned()),
        () if number("failed") + unbalanced > 0 => {
            ("failed", format!("{} of {}", list(&parts), plural(total, "hop")))
        }
        () if !parts.is_empty() => {
            let state = if number("stale") > 0 { "stale" } else { "waiting" };
            (state, format!("{} of {}", list(&parts), plural(total, "hop")))
        }
        () if never == total => ("never", "Nothing has flowed yet".to_owned()),
        () => ("ok", "Everything flows".to_owned()),
    };
    let title = if parts.is_empty() {
        format!("{project}: {}", words.to_lowercase())
    } else {
        format!("{project}: {}", list(&parts))
    };
    VerdictRegion { state, title, words, detail: detail(flow, total, never) }
}

/// The title of the page.
pub(super) fn title(flow: &Flow, project: &str) -> String {
    verdict(flow, project).title
}

fn detail(flow: &Flow, total: u64, never: u64) -> String {
    let received = flow.received();
    let mut parts = vec![plural(total, "hop"), format!("{} received", plural(received.read, "record"))];
    if received.quarantined > 0 {
        parts.push(format!("{}{QUARANTINED}", count(received.quarantined)));
    }
    if never > 0 && never < total {
        parts.push(format!("{} without data yet", count(never)));
    }
    let failing = flow.checks.count(Standing::Failed) + flow.checks.count(Standing::CouldNotRun);
    if failing > 0 {
        let hold = if failing == 1 { "does" } else { "do" };
        parts.push(format!("{} {hold} not hold", plural(failing, "check")));
    }
    let unbalanced = flow.unbalanced();
    if unbalanced.is_empty() {
        parts.push("the ledger balances".to_owned());
    } else {
        let names: Vec<String> = unbalanced.iter().map(|hop| hop.dataset.clone()).collect();
        parts.push(format!("the ledger does not balance for {}", list(&names)));
    }
    parts.join(" · ")
}

fn troubles(flow: &Flow, now: Option<DateTime<Utc>>) -> TroublesRegion<'_> {
    let names =
        |hops: Vec<usize>| hops.into_iter().map(|hop| flow.hops[hop].dataset.clone()).collect::<Vec<_>>();
    let troubles = flow.troubles().into_iter().map(|index| {
        let hop = &flow.hops[index];
        let causes = names(flow.causes(index));
        let affected = names(flow.affected(index));
        Trouble {
            state: &hop.state,
            word: word(&hop.state),
            dataset: &hop.dataset,
            since: Ago::of(since(hop), now),
            held_up_by: (hop.state != "failed" && !causes.is_empty()).then(|| list(&causes)),
            error: hop.last_error.as_deref().or(hop.slow.as_deref()),
            next: next_step(hop),
            affected: (!affected.is_empty()).then(|| list(&affected)),
            owner: &hop.owner,
            runbook: hop.runbook.as_deref(),
        }
    });
    TroublesRegion { troubles: troubles.collect() }
}

/// When the trouble began.
fn since(hop: &HopRow) -> Option<DateTime<Utc>> {
    match hop.state.as_str() {
        "failed" => hop.failing_since.or(hop.last_finished_at),
        "stale" => {
            let within = chrono::TimeDelta::try_seconds(hop.freshness_within_seconds?)?;
            hop.last_committed_at?.checked_add_signed(within)
        }
        _ => None,
    }
}

/// The state as it is said on the page.
fn word(state: &str) -> &str {
    if state == "never" { "no data yet" } else { state }
}

fn hop_card<'a>(flow: &'a Flow, hop: &'a HopRow, node: usize, now: Option<DateTime<Utc>>) -> HopRegion<'a> {
    let checks = flow.checks.of(&hop.dataset).map(|checks| CardChecks {
        id: check_list::id(&hop.dataset),
        state: checks.worst().state(),
        words: match checks.count(Standing::Failed) + checks.count(Standing::CouldNotRun) {
            0 => plural(checks.checks.len() as u64, "check"),
            wrong => format!("{wrong} of {}", plural(checks.checks.len() as u64, "check")),
        },
        title: check_list::words(checks),
    });
    let (note, note_bad) = note(hop).unzip();
    let listed = flow.quarantine.iter().any(|row| row.dataset == hop.dataset && quarantine::listed(row));
    let note_at = note.as_ref().filter(|note| listed && note.ends_with(QUARANTINED));
    let behind = match (hop.lag_records, hop.lag_versions) {
        (Some(records), _) => short_count(records),
        (None, Some(0)) => "0".to_owned(),
        (None, Some(versions)) => plural(versions, "commit"),
        (None, None) => "–".to_owned(),
    };
    HopRegion {
        id: format!("hop-{}", hop.dataset.replace('.', "-")),
        node,
        state: &hop.state,
        word: word(&hop.state),
        kind: match hop.kind.as_str() {
            "http" | "files" | "kafka" => "landing",
            "sql" => "SQL",
            other => other,
        },
        dataset: &hop.dataset,
        owner: &hop.owner,
        domain: &hop.domain,
        name: short_name(hop),
        age: Ago::of(hop.last_committed_at, now),
        written: if hop.kind == "view" { "–".to_owned() } else { short_count(hop.written) },
        behind,
        note_at: note_at.map(|_| quarantine::id(&hop.dataset)),
        note,
        note_bad: note_bad.unwrap_or(false),
        checks,
        from: (!hop.inputs.is_empty()).then(|| list(&hop.inputs)),
    }
}

/// What a note ends with that counts records that were put into quarantine; of those some may have been discarded since.
const QUARANTINED: &str = " quarantined";

/// The one thing that is worth saying beside the numbers, and whether it is bad.
fn note(hop: &HopRow) -> Option<(String, bool)> {
    if let (true, Some(error)) = (hop.state == "failed", &hop.last_error) {
        return Some((error.lines().next().unwrap_or_default().to_owned(), true));
    }
    if hop.balance == "unbalanced" {
        return Some((missing(hop.missing), true));
    }
    if let Some(gap) = hop.gap.filter(|gap| *gap != 0) {
        return Some((missing(gap), true));
    }
    if let (true, Some(within)) = (hop.state == "stale", hop.freshness_within_seconds) {
        return Some((format!("should be newer than {}", age(within)), true));
    }
    if hop.slow.is_some() {
        return Some(("the flow waits for it".to_owned(), true));
    }
    if let Some(held) = &hop.held_back {
        return Some((format!("held back: {held}"), true));
    }
    if let (true, Some(lag)) = (hop.state == "waiting", hop.lag_seconds) {
        return Some((format!("input has been waiting for {}", age(lag)), true));
    }
    if hop.quarantined > 0 {
        return Some((format!("{}{QUARANTINED}", count(hop.quarantined)), false));
    }
    hop.running.then(|| ("running".to_owned(), false))
}

/// What an imbalance means.
fn missing(records: i64) -> String {
    let number = plural(records.unsigned_abs(), "record");
    if records > 0 { format!("{number} unaccounted for") } else { format!("{number} counted twice") }
}

fn source(hop: &HopRow, node: usize) -> SourceRegion<'_> {
    let (kind, note) = match hop.kind.as_str() {
        "http" => ("HTTP", format!("POST …/{}/records", hop.dataset)),
        "kafka" => ("Kafka", "each record lands once".to_owned()),
        _ => ("files", "each file lands once".to_owned()),
    };
    SourceRegion {
        id: format!("source-{}", hop.dataset.replace('.', "-")),
        node,
        state: if hop.state == "waiting" { "waiting" } else { "ok" },
        kind,
        dataset: &hop.dataset,
        domain: &hop.domain,
        name: short_name(hop),
        received: short_count(hop.read + hop.lag_records.unwrap_or(0)),
        waiting: hop.lag_records.map_or("–".to_owned(), short_count),
        note,
    }
}

fn short_name(hop: &HopRow) -> &str {
    hop.dataset.split_once('.').map_or(hop.dataset.as_str(), |(_, name)| name)
}

fn lines(flow: &Flow) -> LinesRegion<'_> {
    let lines = flow.edges.iter().zip(&flow.layout.paths).map(|((_, to), path)| {
        let state = match &flow.nodes[*to] {
            Node::Hop { hop } if is_trouble(&flow.hops[*hop]) => flow.hops[*hop].state.as_str(),
            _ => "",
        };
        Line { state, path }
    });
    LinesRegion { width: flow.layout.width, height: flow.layout.height, lines: lines.collect() }
}

const LABELS: [&str; 6] = ["read", "written", "quarantined", "duplicate", "late", "filtered"];

fn ledger(flow: &Flow) -> LedgerRegion<'_> {
    let received = flow.received();
    let parts =
        [received.written, received.quarantined, received.duplicate, received.late, received.filtered];
    let landing = flow.hops.iter().filter(|hop| hop.landed());
    let missing_records: i64 = landing.map(|hop| hop.missing + hop.gap.unwrap_or(0)).sum();
    let (state, result) = match missing_records {
        0 => ("ok", "balanced".to_owned()),
        records => ("failed", missing(records)),
    };
    LedgerRegion {
        read: count(received.read),
        parts: cells(&LABELS[1..], &parts),
        state,
        result,
        labels: LABELS,
        rows: flow.hops.iter().filter(|hop| hop.kind != "view").map(ledger_row).collect(),
    }
}

fn ledger_row(hop: &HopRow) -> LedgerRow<'_> {
    let counts = [hop.read, hop.written, hop.quarantined, hop.duplicate, hop.late, hop.filtered];
    let gap = hop.gap.unwrap_or(0);
    let (state, result) = match hop.balance.as_str() {
        "unbalanced" => ("failed", missing(hop.missing)),
        _ if gap != 0 => ("failed", missing(gap)),
        "reshaped" => ("never", "makes other rows".to_owned()),
        _ if hop.runs == 0 => ("never", "no run yet".to_owned()),
        _ => ("ok", "balanced".to_owned()),
    };
    LedgerRow { dataset: &hop.dataset, cells: cells(&LABELS, &counts), state, result }
}

fn cells<'a>(labels: &[&'a str], counts: &[u64]) -> Vec<Part<'a>> {
    let parts = labels.iter().zip(counts);
    parts.map(|(label, number)| Part { label, count: count(*number), nought: *number == 0 }).collect()
}

//! The flow map as it is to be drawn: cards, lines, what is wrong and what that holds up. Pure, from the rows of
//! `system.hops` and `system.checks`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flowline_view::{HopRow, QuarantineRow};

use super::checks::Checks;
use super::layout::{self, Graph, Layout};

/// The zones in the order of the flow, with the words that stand above them.
const ZONES: [(&str, &str, &str); 3] = [
    ("raw", "Raw", "as received"),
    ("clean", "Clean", "typed, deduplicated"),
    ("trusted", "Trusted", "modelled for consumers"),
];

/// The flow map.
#[derive(Debug, Clone, Default)]
pub(super) struct Flow {
    /// The hops, by dataset.
    pub hops: Vec<HopRow>,
    /// Cards: sources first, then hops.
    pub nodes: Vec<Node>,
    /// `(from, to)` by index of the nodes.
    pub edges: Vec<(usize, usize)>,
    /// The names above the columns.
    pub heads: Vec<Head>,
    /// Where everything stands.
    pub layout: Layout,
    /// What the checks of the datasets say.
    pub checks: Checks,
    /// What lies in quarantine, by dataset.
    pub quarantine: Arc<Vec<QuarantineRow>>,
}

/// A card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// Where the records of a hop come from.
    Source {
        /// Index of the hop.
        hop: usize,
    },
    /// A hop.
    Hop {
        /// Index of the hop.
        hop: usize,
    },
}

/// The name above one or more columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// `sources`, or the zone.
    pub zone: &'static str,
    /// The name.
    pub title: &'static str,
    /// What that means.
    pub meaning: &'static str,
    /// The first of its columns.
    pub column: usize,
    /// The nodes below it, in the order in which they are read.
    pub nodes: Vec<usize>,
}

impl Flow {
    /// The map of these hops.
    pub fn new(mut hops: Vec<HopRow>) -> Self {
        hops.sort_by(|left, right| left.dataset.cmp(&right.dataset));
        let mut nodes: Vec<Node> =
            (0..hops.len()).filter(|hop| hops[*hop].landed()).map(|hop| Node::Source { hop }).collect();
        nodes.extend((0..hops.len()).map(|hop| Node::Hop { hop }));
        let edges = edges(&hops, &nodes);
        let (columns, mut heads) = columns(&hops, &nodes);
        let layout = layout::place(&Graph { columns, edges: edges.clone() });
        for head in &mut heads {
            head.nodes.sort_by_key(|node| layout.places[*node]);
        }
        Self { hops, nodes, edges, heads, layout, checks: Checks::default(), quarantine: Arc::default() }
    }

    /// The same with what checks say.
    pub fn with_checks(self, checks: Checks) -> Self {
        Self { checks, ..self }
    }

    /// The same with what lies in quarantine.
    pub fn with_quarantine(self, quarantine: Arc<Vec<QuarantineRow>>) -> Self {
        Self { quarantine, ..self }
    }

    /// The hops that are not well: worst first, and a cause before what it holds up.
    pub fn troubles(&self) -> Vec<usize> {
        let mut troubles: Vec<usize> =
            (0..self.hops.len()).filter(|hop| is_trouble(&self.hops[*hop])).collect();
        troubles.sort_by_key(|hop| {
            (severity(&self.hops[*hop].state), self.causes(*hop).len(), self.hops[*hop].dataset.clone())
        });
        troubles
    }

    /// The hops upstream of this one that are not well and have no such hop upstream themselves.
    pub fn causes(&self, hop: usize) -> Vec<usize> {
        let upstream = self.reach(hop, |at| self.inputs(at));
        let unwell: Vec<usize> = upstream.into_iter().filter(|at| is_trouble(&self.hops[*at])).collect();
        unwell
            .iter()
            .copied()
            .filter(|at| !self.reach(*at, |at| self.inputs(at)).iter().any(|above| unwell.contains(above)))
            .collect()
    }

    /// The hops downstream of this one: what a failure here holds up.
    pub fn affected(&self, hop: usize) -> Vec<usize> {
        let outputs = |at: usize| {
            (0..self.hops.len()).filter(|other| self.inputs(*other).contains(&at)).collect::<Vec<_>>()
        };
        self.reach(hop, outputs).into_iter().collect()
    }

    fn inputs(&self, hop: usize) -> Vec<usize> {
        let find = |name: &String| self.hops.iter().position(|other| other.dataset == *name);
        self.hops[hop].inputs.iter().filter_map(find).collect()
    }

    /// Everything that can be reached by steps, the start left out.
    fn reach(&self, start: usize, steps: impl Fn(usize) -> Vec<usize>) -> BTreeSet<usize> {
        let (mut found, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(at) = open.pop() {
            for next in steps(at) {
                if next != start && found.insert(next) {
                    open.push(next);
                }
            }
        }
        found
    }

    /// What records came in from outside and where they went, over all hops that land.
    pub fn received(&self) -> Received {
        let mut received = Received::default();
        for hop in self.hops.iter().filter(|hop| hop.landed()) {
            received.read += hop.read;
            received.written += hop.written;
            received.quarantined += hop.quarantined;
            received.duplicate += hop.duplicate;
            received.late += hop.late;
            received.filtered += hop.filtered;
        }
        received
    }

    /// The hops whose records are not all accounted for.
    pub fn unbalanced(&self) -> Vec<&HopRow> {
        self.hops.iter().filter(|hop| hop.balance == "unbalanced" || !hop.accounted_for()).collect()
    }
}

/// Where the records from outside went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Received {
    pub read: u64,
    pub written: u64,
    pub quarantined: u64,
    pub duplicate: u64,
    pub late: u64,
    pub filtered: u64,
}

/// Whether someone on call should look at the hop.
pub(super) fn is_trouble(hop: &HopRow) -> bool {
    matches!(hop.state.as_str(), "failed" | "stale" | "waiting") || hop.slow.is_some()
}

/// Worst first.
fn severity(state: &str) -> u8 {
    match state {
        "failed" => 0,
        "stale" => 1,
        "waiting" => 2,
        _ => 3,
    }
}

fn edges(hops: &[HopRow], nodes: &[Node]) -> Vec<(usize, usize)> {
    let node_of: BTreeMap<&str, usize> = nodes
        .iter()
        .enumerate()
        .filter_map(|(index, node)| match node {
            Node::Hop { hop } => Some((hops[*hop].dataset.as_str(), index)),
            Node::Source { .. } => None,
        })
        .collect();
    let mut edges = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        match node {
            Node::Source { hop } => {
                edges.extend(node_of.get(hops[*hop].dataset.as_str()).map(|to| (index, *to)))
            }
            Node::Hop { hop } => {
                let inputs = hops[*hop].inputs.iter().filter_map(|input| node_of.get(input.as_str()));
                edges.extend(inputs.filter(|from| **from != index).map(|from| (*from, index)));
            }
        }
    }
    edges
}

/// The column of each node, and the names above the columns. Within a zone, what reads another of the zone stands to
/// its right.
fn columns(hops: &[HopRow], nodes: &[Node]) -> (Vec<usize>, Vec<Head>) {
    let mut columns = vec![0; nodes.len()];
    let mut heads = Vec::new();
    let mut next = 0;
    let sources: Vec<usize> =
        (0..nodes.len()).filter(|node| matches!(nodes[*node], Node::Source { .. })).collect();
    if !sources.is_empty() {
        heads.push(Head {
            zone: "sources",
            title: "Sources",
            meaning: "where records come from",
            column: 0,
            nodes: sources,
        });
        next = 1;
    }
    for (zone, title, meaning) in ZONES {
        let in_zone: Vec<(usize, usize)> = nodes
            .iter()
            .enumerate()
            .filter_map(|(index, node)| match node {
                Node::Hop { hop } if hops[*hop].zone == zone => Some((index, *hop)),
                _ => None,
            })
            .collect();
        if in_zone.is_empty() {
            continue;
        }
        let mut deepest = 0;
        for (index, hop) in &in_zone {
            let depth = depth_in_zone(hops, *hop, in_zone.len());
            columns[*index] = next + depth;
            deepest = deepest.max(depth);
        }
        let indices = in_zone.into_iter().map(|(index, _)| index).collect();
        heads.push(Head { zone, title, meaning, column: next, nodes: indices });
        next += deepest + 1;
    }
    compact(&mut columns, &mut heads);
    (columns, heads)
}

/// The longest way to this hop through others of its zone; bounded, should the facts hold a circle.
fn depth_in_zone(hops: &[HopRow], hop: usize, bound: usize) -> usize {
    if bound == 0 {
        return 0;
    }
    let feeds = |other: &usize| {
        *other != hop
            && hops[*other].zone == hops[hop].zone
            && hops[hop].inputs.contains(&hops[*other].dataset)
    };
    (0..hops.len()).filter(feeds).map(|other| depth_in_zone(hops, other, bound - 1) + 1).max().unwrap_or(0)
}

/// Closes columns that nothing stands in (a circle in the facts may leave some).
fn compact(columns: &mut [usize], heads: &mut [Head]) {
    let used: BTreeSet<usize> = columns.iter().copied().collect();
    let rank = |column: usize| used.iter().take_while(|other| **other < column).count();
    for column in columns.iter_mut() {
        *column = rank(*column);
    }
    for head in heads {
        head.column = rank(head.column);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A hop of which nothing is said but this.
    pub fn hop(dataset: &str, zone: &str, kind: &str, inputs: &[&str], state: &str) -> HopRow {
        HopRow {
            dataset: dataset.to_owned(),
            domain: dataset.split('.').next().unwrap_or_default().to_owned(),
            zone: zone.to_owned(),
            owner: "team-shop".to_owned(),
            kind: kind.to_owned(),
            inputs: inputs.iter().map(ToString::to_string).collect(),
            state: state.to_owned(),
            running: false,
            last_run_id: None,
            last_outcome: None,
            last_finished_at: None,
            last_error: None,
            last_error_kind: None,
            failures: 0,
            failing_since: None,
            runs: 1,
            read: 10,
            written: 9,
            quarantined: 1,
            duplicate: 0,
            late: 0,
            filtered: 0,
            balance: "balanced".to_owned(),
            missing: 0,
            gap: None,
            lag_records: None,
            lag_versions: None,
            lag_seconds: None,
            slow: None,
            held_back: None,
            version: Some(3),
            last_committed_at: None,
            freshness_seconds: Some(4),
            freshness_within_seconds: Some(300),
            runbook: None,
        }
    }

    fn shop() -> Flow {
        Flow::new(vec![
            hop("shop.orders_raw", "raw", "http", &[], "failed"),
            hop("shop.products", "raw", "files", &[], "ok"),
            hop("shop.orders", "clean", "sql", &["shop.orders_raw"], "stale"),
            hop("shop.sales", "trusted", "sql", &["shop.orders", "shop.products"], "stale"),
            hop("shop.best", "trusted", "view", &["shop.sales"], "ok"),
        ])
    }

    fn names(flow: &Flow, hops: &[usize]) -> Vec<String> {
        hops.iter().map(|hop| flow.hops[*hop].dataset.clone()).collect()
    }

    #[test]
    fn zones_stand_from_left_to_right() {
        let flow = shop();
        let heads: Vec<(&str, usize, usize)> =
            flow.heads.iter().map(|head| (head.zone, head.column, head.nodes.len())).collect();
        assert_eq!(heads, [("sources", 0, 2), ("raw", 1, 2), ("clean", 2, 1), ("trusted", 3, 2)]);
        assert_eq!(flow.edges.len(), 6);
        assert_eq!(flow.layout.places.len(), 7);
    }

    #[test]
    fn a_cause_stands_before_what_it_holds_up() {
        let flow = shop();
        let troubles = flow.troubles();
        assert_eq!(names(&flow, &troubles), ["shop.orders_raw", "shop.orders", "shop.sales"]);
        assert_eq!(names(&flow, &flow.affected(troubles[0])), ["shop.best", "shop.orders", "shop.sales"]);
        assert_eq!(names(&flow, &flow.causes(troubles[2])), ["shop.orders_raw"]);
        assert!(flow.causes(troubles[0]).is_empty());
    }

    #[test]
    fn only_what_came_from_outside_is_received() {
        let received = shop().received();
        assert_eq!((received.read, received.written, received.quarantined), (20, 18, 2));
    }

    #[test]
    fn a_circle_in_the_facts_is_drawn_all_the_same() {
        let flow = Flow::new(vec![
            hop("a.a", "raw", "sql", &["a.b"], "failed"),
            hop("a.b", "raw", "sql", &["a.a", "a.b", "a.gone"], "failed"),
        ]);
        assert_eq!(flow.nodes.len(), 2);
        assert_eq!(flow.affected(0), [1]);
        assert_eq!(flow.troubles().len(), 2);
    }
}

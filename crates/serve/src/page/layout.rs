//! Where each card of the flow map stands: columns from left to right, as the flow goes, with few crossings. Pure.
//!
//! A line that passes a column on its way gets a slot there, so that it runs between the cards and not behind them.

use std::collections::BTreeMap;

/// Width of a card, pixels.
pub(super) const CARD_WIDTH: u32 = 264;
/// Height of a card, pixels.
pub(super) const CARD_HEIGHT: u32 = 124;
/// Between two columns, pixels: room for the lines to bend.
const COLUMN_GAP: u32 = 72;
/// Between two cards of a column, pixels.
const ROW_GAP: u32 = 22;
/// Height of the slot of a passing line, pixels.
const PASSAGE_HEIGHT: u32 = 6;
/// Above the cards, for the names of the zones, pixels.
const HEAD_HEIGHT: u32 = 40;
/// Sweeps that pull cards towards their neighbours; more change nothing for graphs that a person can read.
const SWEEPS: usize = 6;

/// What is to be placed.
#[derive(Debug, Clone, Default)]
pub(super) struct Graph {
    /// The column of each node; columns are numbered from 0 without gaps.
    pub columns: Vec<usize>,
    /// `(from, to)`, by index of the nodes.
    pub edges: Vec<(usize, usize)>,
}

/// Where everything stands, in pixels from the top left.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Layout {
    /// Left and top of each node.
    pub places: Vec<(u32, u32)>,
    /// Each edge as the path of an SVG.
    pub paths: Vec<String>,
    /// Width of all of it.
    pub width: u32,
    /// Height of all of it.
    pub height: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Node(usize),
    /// The edge with this index passes.
    Passage(usize),
}

/// Places nodes and lines. Deterministic: the same graph always looks the same.
pub(super) fn place(graph: &Graph) -> Layout {
    let columns = order(graph);
    let heights: Vec<u32> = columns.iter().map(|column| column_height(column)).collect();
    let tallest = heights.iter().copied().max().unwrap_or(0);
    let mut spots: BTreeMap<(usize, Slot), (u32, u32)> = BTreeMap::new();
    let mut places = vec![(0, 0); graph.columns.len()];
    for (index, column) in columns.iter().enumerate() {
        let left = index as u32 * (CARD_WIDTH + COLUMN_GAP);
        let mut top = HEAD_HEIGHT + (tallest - heights[index]) / 2;
        for slot in column {
            spots.insert((index, *slot), (left, top + slot_height(*slot) / 2));
            if let Slot::Node(node) = slot {
                places[*node] = (left, top);
            }
            top += slot_height(*slot) + ROW_GAP;
        }
    }
    let paths = (0..graph.edges.len()).map(|edge| path(graph, edge, &spots)).collect();
    let count = columns.len() as u32;
    let width = (count * (CARD_WIDTH + COLUMN_GAP)).saturating_sub(COLUMN_GAP);
    Layout { places, paths, width, height: HEAD_HEIGHT + tallest }
}

/// Left edge of a column.
pub(super) fn column_left(column: usize) -> u32 {
    column as u32 * (CARD_WIDTH + COLUMN_GAP)
}

fn slot_height(slot: Slot) -> u32 {
    match slot {
        Slot::Node(_) => CARD_HEIGHT,
        Slot::Passage(_) => PASSAGE_HEIGHT,
    }
}

fn column_height(column: &[Slot]) -> u32 {
    let heights: u32 = column.iter().map(|slot| slot_height(*slot)).sum();
    heights + ROW_GAP * (column.len() as u32).saturating_sub(1)
}

/// The slots of each column from top to bottom, pulled towards the mean of their neighbours, first from the left and
/// then from the right.
fn order(graph: &Graph) -> Vec<Vec<Slot>> {
    let count = graph.columns.iter().max().map_or(0, |last| last + 1);
    let mut columns: Vec<Vec<Slot>> = vec![Vec::new(); count];
    for (node, column) in graph.columns.iter().enumerate() {
        columns[*column].push(Slot::Node(node));
    }
    for (edge, (from, to)) in graph.edges.iter().enumerate() {
        for column in columns.iter_mut().take(graph.columns[*to]).skip(graph.columns[*from] + 1) {
            column.push(Slot::Passage(edge));
        }
    }
    for sweep in 0..SWEEPS {
        let rightwards = sweep % 2 == 0;
        let indices: Vec<usize> =
            if rightwards { (1..count).collect() } else { (0..count.max(1) - 1).rev().collect() };
        for index in indices {
            let neighbour = if rightwards { index - 1 } else { index + 1 };
            let ranks = ranks(&columns[neighbour]);
            let mut column = std::mem::take(&mut columns[index]);
            let own = self::ranks(&column);
            column.sort_by(|left, right| {
                let pull = |slot: &Slot| pull(graph, *slot, index, neighbour, &ranks).unwrap_or(own[slot]);
                pull(left).total_cmp(&pull(right)).then(own[left].total_cmp(&own[right]))
            });
            columns[index] = column;
        }
    }
    columns
}

/// The place of each slot in its column, from 0 to 1.
fn ranks(column: &[Slot]) -> BTreeMap<Slot, f64> {
    let count = column.len().max(1) as f64;
    column.iter().enumerate().map(|(index, slot)| (*slot, (index as f64 + 0.5) / count)).collect()
}

/// The mean place of a slot's neighbours in the neighbouring column; none when it has none there.
fn pull(
    graph: &Graph,
    slot: Slot,
    column: usize,
    neighbour: usize,
    ranks: &BTreeMap<Slot, f64>,
) -> Option<f64> {
    let mut found = Vec::new();
    for (edge, (from, to)) in graph.edges.iter().enumerate() {
        let (left, right) = (graph.columns[*from], graph.columns[*to]);
        let touches = match slot {
            Slot::Node(node) => (*from == node && neighbour > column) || (*to == node && neighbour < column),
            Slot::Passage(passing) => passing == edge,
        };
        if !touches || left >= right {
            continue;
        }
        let other = if neighbour == left {
            Slot::Node(*from)
        } else if neighbour == right {
            Slot::Node(*to)
        } else {
            Slot::Passage(edge)
        };
        found.extend(ranks.get(&other).copied());
    }
    if found.is_empty() { None } else { Some(found.iter().sum::<f64>() / found.len() as f64) }
}

/// The line of an edge: out of the right side of a card, through its passages, into the left side of another.
fn path(graph: &Graph, edge: usize, spots: &BTreeMap<(usize, Slot), (u32, u32)>) -> String {
    let (from, to) = graph.edges[edge];
    let (first, last) = (graph.columns[from], graph.columns[to]);
    let spot = |column: usize, slot: Slot| spots.get(&(column, slot)).copied().unwrap_or_default();
    let (left, top) = spot(first, Slot::Node(from));
    let (mut x, mut y) = (left + CARD_WIDTH, top);
    let mut path = format!("M{x} {y}");
    for column in first + 1..last {
        let (left, top) = spot(column, Slot::Passage(edge));
        curve(&mut path, (x, y), (left, top));
        path.push_str(&format!(" H{}", left + CARD_WIDTH));
        (x, y) = (left + CARD_WIDTH, top);
    }
    curve(&mut path, (x, y), spot(last, Slot::Node(to)));
    path
}

fn curve(path: &mut String, from: (u32, u32), to: (u32, u32)) {
    let middle = from.0.midpoint(to.0);
    path.push_str(&format!(" C{middle} {} {middle} {} {} {}", from.1, to.1, to.0, to.1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_placed_nowhere() {
        assert_eq!(place(&Graph::default()), Layout { height: HEAD_HEIGHT, ..Layout::default() });
    }

    #[test]
    fn a_chain_runs_straight_to_the_right() {
        let layout = place(&Graph { columns: vec![0, 1, 2], edges: vec![(0, 1), (1, 2)] });
        let step = CARD_WIDTH + COLUMN_GAP;
        assert_eq!(layout.places, [(0, HEAD_HEIGHT), (step, HEAD_HEIGHT), (2 * step, HEAD_HEIGHT)]);
        assert_eq!(layout.width, 2 * step + CARD_WIDTH);
    }

    #[test]
    fn cards_of_a_column_never_overlap_and_parallel_lines_do_not_cross() {
        // Two chains whose right ends are listed in the other order.
        let layout = place(&Graph { columns: vec![0, 0, 1, 1], edges: vec![(0, 3), (1, 2)] });
        let tops: Vec<u32> = layout.places.iter().map(|place| place.1).collect();
        assert!(tops[0] < tops[1] && tops[3] < tops[2], "{tops:?}");
        assert_eq!(tops[2] - tops[3], CARD_HEIGHT + ROW_GAP);
    }

    #[test]
    fn a_line_over_a_column_runs_beside_its_cards() {
        let layout = place(&Graph { columns: vec![0, 1, 2], edges: vec![(0, 1), (1, 2), (0, 2)] });
        let card = layout.places[1];
        let along: u32 = layout.paths[2]
            .split(" H")
            .next()
            .and_then(|before| before.split(' ').next_back())
            .and_then(|y| y.parse().ok())
            .expect("the line has a straight part");
        assert!(along < card.1 || along > card.1 + CARD_HEIGHT, "{along} lies within {card:?}");
    }
}

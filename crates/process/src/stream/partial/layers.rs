//! What is kept of one aggregate: layers of files, each with the partial results of the rows of some runs.
//!
//! A run writes a layer with what its new rows give and leaves the others alone. Layers of about the same size are
//! merged once there are some of them, so a partial result is written again a few times at most, however long its bin
//! stays open, and the number of layers grows with the logarithm of the state. Layers whose bins are closed are dropped
//! without being read.
//!
//! Owns: which layers there are, which are merged when. Pure. Does not own: how they are read and written.

use serde::{Deserialize, Serialize};

/// What writes files; those that another wrote are not read, since partial results are no format that is kept to.
pub(crate) fn engine() -> String {
    format!("flowline 2, datafusion {}", datafusion::DATAFUSION_VERSION)
}

/// A file of partial results in the order of their bins, as the commit that it goes with names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// Its path below the folder of the table.
    pub path: String,
    /// Its partial results.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Its first bin, microseconds.
    pub first: i64,
    /// Its last bin.
    pub last: i64,
}

/// What some runs have added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layer {
    /// Its files.
    pub segments: Vec<Segment>,
}

/// What is kept of one aggregate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layers {
    /// What wrote them.
    pub engine: String,
    /// The oldest first.
    pub layers: Vec<Layer>,
}

/// So many layers of about the same size become one.
const FAN_IN: usize = 4;
/// Layers that are smaller than this count as equally small.
const SMALL_BYTES: u64 = 64 << 10;

impl Layer {
    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}

impl Layers {
    /// No layers, of this engine.
    pub fn none() -> Self {
        Self { engine: engine(), layers: Vec::new() }
    }

    /// Whether this engine understands them.
    pub fn understood(&self) -> bool {
        self.engine == engine()
    }

    /// All files.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.layers.iter().flat_map(|layer| &layer.segments)
    }

    /// Takes away the files that only have bins that are no longer open.
    pub fn drop_closed(&mut self, open: impl Fn(i64) -> bool) {
        for layer in &mut self.layers {
            layer.segments.retain(|segment| open(segment.last));
        }
        self.layers.retain(|layer| !layer.segments.is_empty());
    }

    /// Adds what a run wrote.
    pub fn add(&mut self, layer: Layer) {
        if !layer.segments.is_empty() {
            self.layers.push(layer);
        }
    }

    /// Takes out the layers that are merged with what a run adds, which is about so large; none when it is left beside
    /// them.
    pub fn take_due(&mut self, added: u64) -> Vec<Layer> {
        let (mut chosen, mut size) = (0, added);
        // Smallest first: merging small ones may make one as large as the next.
        let mut by_size: Vec<usize> = (0..self.layers.len()).collect();
        by_size.sort_by_key(|index| self.layers[*index].bytes());
        loop {
            let alike = by_size[chosen..]
                .iter()
                .take_while(|index| class(self.layers[**index].bytes()) <= class(size))
                .count();
            if alike + 1 < FAN_IN {
                break;
            }
            size +=
                by_size[chosen..chosen + alike].iter().map(|index| self.layers[*index].bytes()).sum::<u64>();
            chosen += alike;
        }
        let mut due: Vec<usize> = by_size[..chosen].to_vec();
        due.sort_unstable_by(|one, other| other.cmp(one));
        due.into_iter().map(|index| self.layers.remove(index)).collect()
    }
}

/// Sizes of one class are about the same.
fn class(bytes: u64) -> u32 {
    match bytes / SMALL_BYTES {
        0 => 0,
        times => 1 + times.ilog(FAN_IN as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(bytes: u64, last: i64) -> Layer {
        let segment = Segment { path: format!("{bytes}/{last}"), rows: 1, bytes, first: 0, last };
        Layer { segments: vec![segment] }
    }

    #[test]
    fn small_layers_become_large_ones_in_few_steps() {
        let mut layers = Layers::none();
        let (mut written, mut most) = (0u64, 0);
        for _ in 0..10_000 {
            let added = 20_000;
            let due = layers.take_due(added);
            let merged = added + due.iter().map(Layer::bytes).sum::<u64>();
            written += merged;
            layers.layers.push(layer(merged, 0));
            most = most.max(layers.layers.len());
        }
        assert_eq!(layers.segments().map(|segment| segment.bytes).sum::<u64>(), 10_000 * 20_000);
        assert!(most <= 24, "{most} layers");
        assert!(written <= 8 * 10_000 * 20_000, "each byte written {} times", written / (10_000 * 20_000));
    }

    #[test]
    fn a_small_layer_does_not_rewrite_a_large_one() {
        let mut layers = Layers::none();
        layers.layers = vec![layer(1 << 30, 9), layer(1 << 20, 9), layer(10, 9), layer(10, 9)];
        assert!(layers.clone().take_due(10).is_empty());
        layers.layers.push(layer(10, 9));
        assert_eq!(layers.take_due(10).len(), 3);
        assert_eq!(layers.layers.len(), 2);
    }

    #[test]
    fn closed_layers_go_as_they_are() {
        let mut layers = Layers::none();
        layers.layers = vec![layer(10, 1), layer(10, 2), layer(10, 3)];
        layers.drop_closed(|bin| bin > 2);
        assert_eq!(layers.layers.len(), 1);
    }
}

//! How often each key occurs, in files beside the table: sorted by hash, so that few keys are found with few reads.
//!
//! What is counted stands in layers, each with what some rows have added or taken away; the count of a key is the sum
//! over the layers. A layer is a list of files of bounded size in the order of the hashes. A new layer takes in those
//! before it that are not much larger, so their number grows with the logarithm of the keys, and what is written stays
//! a small multiple of what is new.

use std::collections::BTreeSet;

use bytes::Bytes;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use flowline_base::FileId;
use flowline_lake::Table;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::columns::KeyHash;

/// A hash and a count.
const RECORD_BYTES: u64 = 24;
const HASH_BYTES: usize = 16;
/// Records of a file, at most: some six megabytes.
const SEGMENT_RECORDS: usize = 1 << 18;
/// The hash of one in so many records stands at the end of the file.
const BLOCK_RECORDS: u64 = 256;
/// A layer takes in those before it that are at most so many times larger.
const MERGE_FACTOR: u64 = 2;
/// Layers with fewer records count as equally small.
const SMALL_RECORDS: u64 = 4_096;
/// Parts of a file that are read at the same time.
const READS: usize = 8;

/// A key and how often it occurs; below zero in a layer that takes rows away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub hash: KeyHash,
    pub rows: i64,
}

/// A file of counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Segment {
    path: String,
    records: u64,
    #[serde(with = "hexadecimal")]
    first: KeyHash,
    #[serde(with = "hexadecimal")]
    last: KeyHash,
}

/// What some rows have added or taken away.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Layer {
    segments: Vec<Segment>,
}

impl Layer {
    fn records(&self) -> u64 {
        self.segments.iter().map(|segment| segment.records).sum()
    }

    /// The paths of its files.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().map(|segment| segment.path.as_str())
    }
}

/// Where layers are written and read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Store<'a> {
    pub table: &'a Table,
    /// The folder of the files, and what their names begin with.
    pub prefix: &'a str,
}

impl<'a> Store<'a> {
    /// The counts of these keys, which are sorted: a sum for each.
    pub async fn look_up(&self, layers: &[Layer], hashes: &[KeyHash]) -> Result<Vec<i64>> {
        let mut sums = vec![0i64; hashes.len()];
        let segments: Vec<&Segment> = layers.iter().flat_map(|layer| &layer.segments).collect();
        for segment in segments {
            let from = hashes.partition_point(|hash| *hash < segment.first);
            let until = hashes.partition_point(|hash| *hash <= segment.last);
            if from == until {
                continue;
            }
            let wanted = &hashes[from..until];
            for bytes in self.parts(segment, wanted).await? {
                add_up(&bytes, wanted, &mut sums[from..until]);
            }
        }
        Ok(sums)
    }

    /// The parts of a file that may have these keys: all of it where they are many.
    async fn parts(&self, segment: &Segment, hashes: &[KeyHash]) -> Result<Vec<Bytes>> {
        let blocks = segment.records.div_ceil(BLOCK_RECORDS);
        if hashes.len() as u64 * 2 >= blocks {
            return Ok(vec![self.read(segment, 0..segment.records).await?]);
        }
        let index = self.index(segment, blocks).await?;
        let mut ranges: Vec<std::ops::Range<u64>> = Vec::new();
        for hash in hashes {
            // The last block that begins at the hash or before it.
            let block = index.partition_point(|first| first <= hash).saturating_sub(1) as u64;
            let (start, end) = (block * BLOCK_RECORDS, ((block + 1) * BLOCK_RECORDS).min(segment.records));
            match ranges.last_mut() {
                Some(last) if start <= last.end => last.end = end.max(last.end),
                _ => ranges.push(start..end),
            }
        }
        let mut parts = Vec::with_capacity(ranges.len());
        for some in ranges.chunks(READS) {
            let mut reads = Vec::with_capacity(some.len());
            for range in some {
                reads.push(self.read(segment, range.clone()));
            }
            parts.extend(try_join_all(reads).await?);
        }
        Ok(parts)
    }

    async fn index(&self, segment: &Segment, blocks: u64) -> Result<Vec<KeyHash>> {
        let start = segment.records * RECORD_BYTES;
        let bytes = self.range(segment, start..start + blocks * HASH_BYTES as u64).await?;
        Ok(bytes.chunks_exact(HASH_BYTES).map(hash_in).collect())
    }

    async fn read(&self, segment: &Segment, records: std::ops::Range<u64>) -> Result<Bytes> {
        self.range(segment, records.start * RECORD_BYTES..records.end * RECORD_BYTES).await
    }

    async fn range(&self, segment: &Segment, range: std::ops::Range<u64>) -> Result<Bytes> {
        let length = range.end - range.start;
        let read = self.table.read_part_beside(&segment.path, range).await;
        let bytes = read.map_err(|error| DataFusionError::External(Box::new(error)))?;
        metrics::counter!("flowline_check_state_read_bytes_total").increment(bytes.len() as u64);
        match bytes.len() as u64 == length {
            true => Ok(bytes),
            false => Err(exec_datafusion_err!("`{}` is shorter than what was written", segment.path)),
        }
    }

    /// Adds what rows have changed, and takes in layers that have become small beside it.
    pub async fn add(&self, mut layers: Vec<Layer>, changed: Layer) -> Result<Vec<Layer>> {
        let mut records = changed.records();
        let mut taken_in = Vec::new();
        while let Some(before) = layers.last()
            && before.records().max(SMALL_RECORDS) <= MERGE_FACTOR * records.max(SMALL_RECORDS)
        {
            records += before.records();
            taken_in.extend(layers.pop());
        }
        taken_in.push(changed);
        let merged = match taken_in.len() {
            1 => taken_in.remove(0),
            _ => {
                let mut writer = self.writer();
                let mut sweep = self.sweep(&[&taken_in]).await?;
                while let Some((hash, counts)) = sweep.next().await? {
                    writer.push(Counted { hash, rows: counts[0] }).await?;
                }
                writer.finish().await?
            }
        };
        if merged.records() > 0 {
            layers.push(merged);
        }
        Ok(layers)
    }

    /// Goes through the keys of several tables in the order of their hashes.
    pub async fn sweep<'l>(&self, tables: &[&'l [Layer]]) -> Result<Sweep<'l>>
    where
        'a: 'l,
    {
        let mut sweep =
            Sweep { store: *self, cursors: Vec::new(), next: BTreeSet::new(), tables: tables.len() };
        for (table, layers) in tables.iter().enumerate() {
            for layer in *layers {
                let cursor = Cursor { table, segments: layer.segments.iter(), bytes: Bytes::new(), at: 0 };
                sweep.cursors.push(cursor);
                sweep.look(sweep.cursors.len() - 1).await?;
            }
        }
        Ok(sweep)
    }

    /// A layer from records in the order of their hashes.
    pub fn writer(&self) -> LayerWriter<'_> {
        LayerWriter { store: *self, records: Vec::new(), layer: Layer::default() }
    }
}

/// The keys of several tables in the order of their hashes.
pub(super) struct Sweep<'a> {
    store: Store<'a>,
    cursors: Vec<Cursor<'a>>,
    /// The next hash of each layer, with the number of its cursor.
    next: BTreeSet<(KeyHash, usize)>,
    tables: usize,
}

impl Sweep<'_> {
    /// The next key, with its count in each table; none at the end.
    pub async fn next(&mut self) -> Result<Option<(KeyHash, Vec<i64>)>> {
        let Some((hash, _)) = self.next.first().copied() else { return Ok(None) };
        let mut counts = vec![0i64; self.tables];
        while let Some((_, number)) = self.next.first().copied().filter(|(next, _)| *next == hash) {
            self.next.pop_first();
            let cursor = &mut self.cursors[number];
            counts[cursor.table] += cursor.take();
            self.look(number).await?;
        }
        Ok(Some((hash, counts)))
    }

    /// Notes the hash that comes next in a layer.
    async fn look(&mut self, number: usize) -> Result<()> {
        if let Some(hash) = self.cursors[number].hash(&self.store).await? {
            self.next.insert((hash, number));
        }
        Ok(())
    }
}

/// Writes a layer.
pub(super) struct LayerWriter<'a> {
    store: Store<'a>,
    records: Vec<Counted>,
    layer: Layer,
}

impl LayerWriter<'_> {
    /// Adds a record; one that counts nothing is left out.
    pub async fn push(&mut self, record: Counted) -> Result<()> {
        if record.rows == 0 {
            return Ok(());
        }
        self.records.push(record);
        if self.records.len() >= SEGMENT_RECORDS { self.flush().await } else { Ok(()) }
    }

    pub async fn finish(mut self) -> Result<Layer> {
        self.flush().await?;
        Ok(self.layer)
    }

    async fn flush(&mut self) -> Result<()> {
        let records = std::mem::take(&mut self.records);
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        let mut bytes = Vec::with_capacity(records.len() * (RECORD_BYTES as usize + 1));
        for record in &records {
            bytes.extend_from_slice(&record.hash.to_be_bytes());
            bytes.extend_from_slice(&record.rows.to_be_bytes());
        }
        for record in records.iter().step_by(BLOCK_RECORDS as usize) {
            bytes.extend_from_slice(&record.hash.to_be_bytes());
        }
        let path = format!("{}-{}.keys", self.store.prefix, FileId::generate());
        let written = self.store.table.put_beside(&path, bytes.into()).await;
        written.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let records = records.len() as u64;
        self.layer.segments.push(Segment { path, records, first: first.hash, last: last.hash });
        Ok(())
    }
}

/// Reads a layer from its beginning to its end, a file at a time.
struct Cursor<'a> {
    table: usize,
    segments: std::slice::Iter<'a, Segment>,
    bytes: Bytes,
    at: usize,
}

impl Cursor<'_> {
    /// The hash of the next record; none at the end.
    async fn hash(&mut self, store: &Store<'_>) -> Result<Option<KeyHash>> {
        if self.at >= self.bytes.len() {
            let Some(segment) = self.segments.next() else { return Ok(None) };
            (self.bytes, self.at) = (store.read(segment, 0..segment.records).await?, 0);
        }
        Ok(self.bytes.get(self.at..self.at + HASH_BYTES).map(hash_in))
    }

    /// The count of the next record, which is passed.
    fn take(&mut self) -> i64 {
        let record = &self.bytes[self.at..];
        self.at += RECORD_BYTES as usize;
        count_in(record)
    }
}

/// Adds the counts of wanted keys among the records. Both are sorted.
fn add_up(records: &[u8], wanted: &[KeyHash], sums: &mut [i64]) {
    let mut place = 0;
    for record in records.chunks_exact(RECORD_BYTES as usize) {
        let hash = hash_in(record);
        while place < wanted.len() && wanted[place] < hash {
            place += 1;
        }
        match wanted.get(place) {
            Some(found) if *found == hash => sums[place] += count_in(record),
            Some(_) => {}
            None => return,
        }
    }
}

fn hash_in(record: &[u8]) -> KeyHash {
    record.first_chunk().map_or(0, |bytes| KeyHash::from_be_bytes(*bytes))
}

fn count_in(record: &[u8]) -> i64 {
    record.get(HASH_BYTES..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| i64::from_be_bytes(*bytes))
}

/// Hashes in JSON, which has no numbers of this size.
pub(super) mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(hash: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{hash:032x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(de::Error::custom)
    }
}

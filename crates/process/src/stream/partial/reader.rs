//! Reading layers: of the files that have the bins that are wanted, the batches that do, one at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::compute::filter_record_batch;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::{Block, Footer, root_as_footer};
use datafusion::error::{DataFusionError, Result};
use flowline_lake::{LakeError, Table};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::layers::{Segment, engine};
use super::writer::{BINS_KEY, ENGINE_KEY, bins_of};
use crate::windows::WindowSpec;

/// The last bytes of a file that are read at once: they hold the footer, and often all of it.
const TAIL_BYTES: u64 = 64 << 10;
/// Behind the footer: its length, and the word that every Arrow file ends with.
const TRAILER_BYTES: usize = 10;

/// Bins of windows that end behind one time and not behind another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::stream) struct Bins {
    pub spec: WindowSpec,
    /// Some window of theirs ends behind this; any when absent.
    pub after: Option<i64>,
    /// Some window of theirs does not end behind this; any when absent.
    pub until: Option<i64>,
}

impl Bins {
    /// Whether a bin is one of them.
    pub fn has(&self, bin: i64) -> bool {
        self.may_have(bin, bin)
    }

    /// Whether a bin between two may be one of them: the windows of a later bin never end earlier.
    pub fn may_have(&self, first: i64, last: i64) -> bool {
        let first_end = || self.spec.ends(first).next().unwrap_or(first);
        self.after.is_none_or(|after| self.spec.last_end(last) > after)
            && self.until.is_none_or(|until| first_end() <= until)
    }

    /// Whether a window that ends at this time is one of those that make them.
    pub fn ends(&self, end: i64) -> bool {
        self.after.is_none_or(|after| end > after) && self.until.is_none_or(|until| end <= until)
    }
}

/// Files of partial results. A clone reads the same ones.
#[derive(Debug, Clone)]
pub(in crate::stream) struct Stored {
    pub table: Table,
    pub segments: Arc<[Segment]>,
    /// The place of the bin among the columns.
    pub place: usize,
    /// Set when a file is gone, or is not what was written: what it held must be computed again.
    pub lost: Arc<AtomicBool>,
}

impl Stored {
    /// The partial results of some bins.
    pub fn rows(&self, bins: Bins) -> BoxStream<'static, Result<RecordBatch>> {
        let wanted: Vec<Segment> = self
            .segments
            .iter()
            .filter(|segment| bins.may_have(segment.first, segment.last))
            .cloned()
            .collect();
        let (stored, lost) = (self.clone(), Arc::clone(&self.lost));
        let files = stream::iter(wanted).then(move |segment| File::open(stored.clone(), segment, bins));
        let rows = files.map_ok(File::rows).try_flatten();
        let noted = rows.map_err(move |failure| {
            if failure.lost {
                lost.store(true, Ordering::Relaxed);
            }
            failure.error
        });
        noted.boxed()
    }
}

/// Why a file could not be read, and whether it never will.
struct Failure {
    error: DataFusionError,
    lost: bool,
}

impl Failure {
    fn lost(path: &str, why: impl std::fmt::Display) -> Self {
        let error =
            DataFusionError::Execution(format!("the partial results in `{path}` cannot be read: {why}"));
        Self { error, lost: true }
    }

    fn of_lake(path: &str, error: LakeError) -> Self {
        match error {
            LakeError::NotFound { .. } => Self::lost(path, "the file is gone"),
            other => Self { error: DataFusionError::External(Box::new(other)), lost: false },
        }
    }
}

/// A file that is open: what of it is to be read.
struct File {
    stored: Stored,
    segment: Segment,
    bins: Bins,
    decoder: FileDecoder,
    blocks: Vec<Block>,
    /// The end of the file, and where it begins.
    tail: (u64, Buffer),
}

impl File {
    async fn open(stored: Stored, segment: Segment, bins: Bins) -> std::result::Result<Self, Failure> {
        let path = segment.path.clone();
        let lost = |why: String| Failure::lost(&path, why);
        let begins = segment.bytes.saturating_sub(TAIL_BYTES);
        let mut tail = (begins, part(&stored, &segment, begins..segment.bytes).await?);
        let length = footer_length(&tail.1).map_err(lost)?;
        let needed = (length + TRAILER_BYTES) as u64;
        if needed > tail.1.len() as u64 {
            let begins = segment.bytes.checked_sub(needed);
            let begins = begins.ok_or_else(|| lost("its footer is longer than the file".to_owned()))?;
            tail = (begins, part(&stored, &segment, begins..segment.bytes).await?);
        }
        let Told { decoder, dictionaries, blocks } = of_footer(&tail.1, length, bins).map_err(lost)?;
        let mut file = Self { stored, segment, bins, decoder, blocks, tail };
        for block in dictionaries {
            let bytes = file.bytes(&block).await?;
            file.decoder.read_dictionary(&block, &bytes).map_err(|error| Failure::lost(&path, error))?;
        }
        Ok(file)
    }

    fn rows(self) -> BoxStream<'static, std::result::Result<RecordBatch, Failure>> {
        let file = Arc::new(self);
        stream::iter(0..file.blocks.len())
            .then(move |index| {
                let file = Arc::clone(&file);
                async move { file.batch(&file.blocks[index]).await }
            })
            .boxed()
    }

    /// The bytes of a block.
    async fn bytes(&self, block: &Block) -> std::result::Result<Buffer, Failure> {
        let wrong = || Failure::lost(&self.segment.path, "a batch of it lies behind its end");
        let from = u64::try_from(block.offset()).map_err(|_| wrong())?;
        let length = i64::from(block.metaDataLength()).checked_add(block.bodyLength());
        let length = length.and_then(|length| u64::try_from(length).ok()).ok_or_else(wrong)?;
        let until = from.checked_add(length).filter(|until| *until <= self.segment.bytes);
        let until = until.ok_or_else(wrong)?;
        match from.checked_sub(self.tail.0) {
            Some(start) => Ok(self.tail.1.slice_with_length(start as usize, length as usize)),
            None => part(&self.stored, &self.segment, from..until).await,
        }
    }

    async fn batch(&self, block: &Block) -> std::result::Result<RecordBatch, Failure> {
        let lost = |why: String| Failure::lost(&self.segment.path, why);
        let batch = self.decoder.read_record_batch(block, &self.bytes(block).await?);
        let batch = batch.map_err(|error| lost(error.to_string()))?;
        let batch = batch.ok_or_else(|| lost("a batch of it has no rows".to_owned()))?;
        let bins = bins_of(&batch, self.stored.place).map_err(|error| lost(error.to_string()))?;
        if bins.values().iter().all(|bin| self.bins.has(*bin)) {
            return Ok(batch);
        }
        let wanted: BooleanArray = bins.values().iter().map(|bin| Some(self.bins.has(*bin))).collect();
        filter_record_batch(&batch, &wanted).map_err(|error| lost(error.to_string()))
    }
}

/// A part of a file.
async fn part(
    stored: &Stored,
    segment: &Segment,
    range: std::ops::Range<u64>,
) -> std::result::Result<Buffer, Failure> {
    let length = range.end - range.start;
    let read = stored.table.read_part_beside(&segment.path, range).await;
    let read = read.map_err(|error| Failure::of_lake(&segment.path, error))?;
    match read.len() as u64 == length {
        true => Ok(Buffer::from(read)),
        false => Err(Failure::lost(&segment.path, "it is shorter than what was written")),
    }
}

fn footer_length(tail: &[u8]) -> std::result::Result<usize, String> {
    let trailer = tail.last_chunk::<TRAILER_BYTES>().ok_or("it is too short")?;
    read_footer_length(*trailer).map_err(|error| error.to_string())
}

/// What a footer says.
struct Told {
    decoder: FileDecoder,
    dictionaries: Vec<Block>,
    /// Where the batches with the wanted bins are.
    blocks: Vec<Block>,
}

fn of_footer(tail: &[u8], length: usize, bins: Bins) -> std::result::Result<Told, String> {
    let end = tail.len() - TRAILER_BYTES;
    let footer = root_as_footer(&tail[end - length..end]).map_err(|error| error.to_string())?;
    if told(&footer, ENGINE_KEY) != Some(engine().as_str()) {
        return Err("another version of the engine wrote it".to_owned());
    }
    let schema = footer.schema().ok_or("it has no schema")?;
    let decoder = FileDecoder::new(Arc::new(fb_to_schema(schema)), footer.version());
    let of_batches: Vec<(i64, i64)> =
        told(&footer, BINS_KEY).and_then(|text| serde_json::from_str(text).ok()).ok_or("it tells no bins")?;
    let blocks = footer.recordBatches().ok_or("it has no batches")?;
    if blocks.len() != of_batches.len() {
        return Err("it has other batches than it tells of".to_owned());
    }
    let wanted = blocks.iter().zip(of_batches).filter(|(_, (first, last))| bins.may_have(*first, *last));
    let blocks = wanted.map(|(block, _)| *block).collect();
    let dictionaries = footer.dictionaries().map_or(Vec::new(), |all| all.iter().copied().collect());
    Ok(Told { decoder, dictionaries, blocks })
}

/// What the footer says under a name.
fn told<'a>(footer: &Footer<'a>, key: &str) -> Option<&'a str> {
    footer.custom_metadata()?.iter().find(|pair| pair.key() == Some(key))?.value()
}

//! The ways in which the records of a batch may be compressed.

use std::borrow::Cow;
use std::io::{self, Read};

use bytes::Bytes;

/// A batch that says it is larger than this is not believed.
const DECOMPRESSED_BYTES_MAX: u64 = 512 << 20;
/// The first bytes of what Java's snappy library writes: it wraps blocks of its own around the format.
const XERIAL: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEADER_BYTES: usize = 16;

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None = 0,
    /// gzip.
    Gzip = 1,
    /// Snappy, raw or in the blocks of Java's library.
    Snappy = 2,
    /// LZ4 frames.
    Lz4 = 3,
    /// Zstandard.
    Zstd = 4,
}

impl Compression {
    pub(super) fn of(attributes: i16) -> Option<Self> {
        let all = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];
        all.get(usize::from(attributes as u16 & 7)).copied()
    }

    /// Compresses; only what this client writes: nothing or Zstandard.
    pub(super) fn compress(self, records: &[u8]) -> io::Result<Cow<'_, [u8]>> {
        match self {
            Self::Zstd => zstd::stream::encode_all(records, 1).map(Cow::Owned),
            Self::None => Ok(Cow::Borrowed(records)),
            other => Err(io::Error::other(format!("{other:?} is read but not written"))),
        }
    }

    pub(super) fn decompress(self, records: &Bytes) -> io::Result<Bytes> {
        match self {
            Self::None => Ok(records.clone()),
            Self::Gzip => read_all(flate2::read::MultiGzDecoder::new(&records[..])),
            Self::Lz4 => read_all(lz4_flex::frame::FrameDecoder::new(&records[..])),
            Self::Zstd => read_all(zstd::stream::read::Decoder::new(&records[..])?),
            Self::Snappy => snappy(records),
        }
    }
}

fn read_all(reader: impl Read) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    reader.take(DECOMPRESSED_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    within_bounds(bytes.len() as u64)?;
    Ok(Bytes::from(bytes))
}

fn within_bounds(bytes: u64) -> io::Result<()> {
    if bytes > DECOMPRESSED_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {DECOMPRESSED_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn snappy(records: &[u8]) -> io::Result<Bytes> {
    if !records.starts_with(&XERIAL) {
        let mut bytes = Vec::new();
        append_snappy(records, &mut bytes)?;
        return Ok(Bytes::from(bytes));
    }
    let short = || io::Error::other("a block of snappy ends early");
    let mut rest = records.get(XERIAL_HEADER_BYTES..).ok_or_else(short)?;
    let mut bytes = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let block = behind.get(..u32::from_be_bytes(*length) as usize).ok_or_else(short)?;
        append_snappy(block, &mut bytes)?;
        rest = &behind[block.len()..];
    }
    Ok(Bytes::from(bytes))
}

fn append_snappy(block: &[u8], bytes: &mut Vec<u8>) -> io::Result<()> {
    let length = snap::raw::decompress_len(block).map_err(io::Error::other)?;
    within_bounds((bytes.len() + length) as u64)?;
    let from = bytes.len();
    bytes.resize(from + length, 0);
    snap::raw::Decoder::new().decompress(block, &mut bytes[from..]).map_err(io::Error::other)?;
    Ok(())
}

//! The header in front of records whose schema is registered: a zero byte and the schema's number in four bytes, or a byte
//! of one and its GUID in sixteen; and for Protobuf the way to the message.
//!
//! In Kafka the second one stands among the headers of a record. Whoever reads it from there puts it in front.

use std::fmt;
use std::str::FromStr;

/// Indexes in front of a Protobuf record: at most so many, as messages lie in each other.
const PATH_MAX: usize = 64;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 5;

/// Bytes of a GUID.
const GUID_BYTES: usize = 16;

/// What a record says of its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SchemaKey {
    /// Its number.
    Id(u32),
    /// What is the same in every registry that has it.
    Guid(Guid),
}

impl fmt::Display for SchemaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Guid(guid) => write!(f, "{guid}"),
        }
    }
}

/// What names a schema, and all that is stored with it, wherever it is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guid(pub [u8; GUID_BYTES]);

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            let dash = if matches!(place, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for Guid {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
        let mut bytes = [0; GUID_BYTES];
        if digits.len() != 2 * GUID_BYTES || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(());
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| ())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| ())?;
        }
        Ok(Self(bytes))
    }
}

/// A record with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framed<'a> {
    /// What it says of its schema.
    pub schema: SchemaKey,
    /// What stands behind the header.
    pub payload: &'a [u8],
}

impl<'a> Framed<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// What is wrong with it, for whoever looks at the quarantine.
    pub fn parse(record: &'a [u8]) -> Result<Self, String> {
        match record {
            [0, a, b, c, d, payload @ ..] => {
                Ok(Self { schema: SchemaKey::Id(u32::from_be_bytes([*a, *b, *c, *d])), payload })
            }
            [1, rest @ ..] if rest.len() >= GUID_BYTES => {
                let (guid, payload) = rest.split_at(GUID_BYTES);
                let mut bytes = [0; GUID_BYTES];
                bytes.copy_from_slice(guid);
                Ok(Self { schema: SchemaKey::Guid(Guid(bytes)), payload })
            }
            [1, rest @ ..] => Err(format!(
                "the header ends after {} of {} bytes: a byte of one and the {GUID_BYTES} bytes of a schema's GUID are expected",
                rest.len() + 1,
                GUID_BYTES + 1
            )),
            [0, rest @ ..] => Err(format!(
                "the header ends after {} of {HEADER_BYTES} bytes: a zero byte and the four bytes of a schema id are expected",
                rest.len() + 1
            )),
            [] => {
                Err("the record is empty: a zero byte and the four bytes of a schema id are expected"
                    .to_owned())
            }
            [first, ..] => Err(format!(
                "the record begins with byte 0x{first:02x}: a zero byte and the four bytes of a schema id are expected"
            )),
        }
    }
}

/// The way to a message: its place among those of the file, then among those in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagePath(Vec<usize>);

impl MessagePath {
    /// Reads the indexes; returns what stands behind them.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(payload: &[u8]) -> Result<(Self, &[u8]), String> {
        let (count, mut rest) = varint(payload)?;
        if count == 0 {
            return Ok((Self(vec![0]), rest));
        }
        let count = usize::try_from(count).ok().filter(|count| *count <= PATH_MAX);
        let count = count.ok_or("the message indexes have an impossible length")?;
        let mut indexes = Vec::with_capacity(count);
        for _ in 0..count {
            let (index, behind) = varint(rest)?;
            indexes.push(usize::try_from(index).map_err(|_| format!("a message index is {index}"))?);
            rest = behind;
        }
        Ok((Self(indexes), rest))
    }

    /// The indexes, outermost first; never none.
    pub fn indexes(&self) -> &[usize] {
        &self.0
    }
}

impl fmt::Display for MessagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// A zigzag varint.
fn varint(bytes: &[u8]) -> Result<(i64, &[u8]), String> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        let part = u64::from(byte & 0x7f);
        if index == 9 && part > 1 {
            break;
        }
        value |= part << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(((value >> 1) as i64 ^ -((value & 1) as i64), &bytes[index + 1..]));
        }
    }
    Err("the message indexes are cut off or too large".to_owned())
}

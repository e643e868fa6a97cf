//! A look over the messages of a stream before anything is read: what they claim to hold must fit the limits.

use std::io::Read;

use arrow::ipc::{CompressionType, Message, MessageHeader, RecordBatch, root_as_message};

use super::IpcError;
use crate::http::Limits;

const CONTINUATION: [u8; 4] = [0xff; 4];

/// Checks every message; returns where the last one ends (before the end mark) and how many rows all claim to have.
pub(super) fn scan(bytes: &[u8], limits: &Limits) -> Result<(usize, u64), IpcError> {
    let mut claims = Claims { limits: *limits, records: 0, values: 0, unpacked: 0 };
    let mut at = 0;
    while let Some((metadata, body)) = next_message(bytes, at)? {
        let message = root_as_message(metadata)
            .map_err(|error| malformed(format!("a message at byte {at} is broken: {error}")))?;
        let length =
            usize::try_from(message.bodyLength()).map_err(|_| malformed("a body has a negative length"))?;
        let body_bytes = bytes
            .get(body..body.saturating_add(length))
            .ok_or_else(|| malformed(format!("it ends inside the message at byte {at}")))?;
        claims.take(&message, body_bytes)?;
        at = body + length;
    }
    if at == 0 {
        return Err(malformed("there is no schema"));
    }
    Ok((at, claims.records))
}

fn malformed(reason: impl std::fmt::Display) -> IpcError {
    IpcError::Malformed(format!("the arrow stream cannot be read: {reason}"))
}

/// The metadata of the message at `at`, and where its body begins; none at the end of the stream.
fn next_message(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, IpcError> {
    let ends = || malformed(format!("it ends inside the message at byte {at}"));
    if at == bytes.len() {
        return Ok(None);
    }
    let mut start = at;
    if bytes.get(start..start + 4) == Some(&CONTINUATION[..]) {
        start += 4;
    }
    let length: [u8; 4] =
        bytes.get(start..start + 4).and_then(|four| four.try_into().ok()).ok_or_else(ends)?;
    let length = u32::from_le_bytes(length) as usize;
    if length == 0 {
        return match bytes.len() - (start + 4) {
            0 => Ok(None),
            more => Err(malformed(format!("{more} bytes follow its end"))),
        };
    }
    let body = start + 4 + length;
    let metadata = bytes.get(start + 4..body).ok_or_else(ends)?;
    Ok(Some((metadata, body)))
}

/// What the messages so far claim to hold.
struct Claims {
    limits: Limits,
    records: u64,
    values: u64,
    unpacked: u64,
}

impl Claims {
    fn take(&mut self, message: &Message<'_>, body: &[u8]) -> Result<(), IpcError> {
        match message.header_type() {
            MessageHeader::Schema => Ok(()),
            MessageHeader::RecordBatch => {
                let batch =
                    message.header_as_record_batch().ok_or_else(|| malformed("a batch has no header"))?;
                self.records = self.records.saturating_add(natural(batch.length())?);
                let limit = u64::from(self.limits.records_max);
                if self.records > limit {
                    return Err(IpcError::TooLarge { what: "records", found: self.records, limit });
                }
                self.take_batch(&batch, body)
            }
            MessageHeader::DictionaryBatch => {
                let dictionary = message
                    .header_as_dictionary_batch()
                    .ok_or_else(|| malformed("a dictionary has no header"))?;
                let batch = dictionary.data().ok_or_else(|| malformed("a dictionary has no values"))?;
                self.take_batch(&batch, body)
            }
            other => Err(malformed(format!("it has a message of the kind {other:?}"))),
        }
    }

    fn take_batch(&mut self, batch: &RecordBatch<'_>, body: &[u8]) -> Result<(), IpcError> {
        for node in batch.nodes().into_iter().flatten() {
            self.values = self.values.saturating_add(natural(node.length())?);
        }
        // Arrays of nulls have a length and no bytes; a JSON of them would have bytes.
        let limit = self.limits.unpacked_bytes_max;
        if self.values > limit {
            return Err(IpcError::TooLarge { what: "unpacked bytes", found: self.values, limit });
        }
        let codec = batch.compression().map(|compression| compression.codec());
        for buffer in batch.buffers().into_iter().flatten() {
            let (offset, length) = (natural(buffer.offset())?, natural(buffer.length())?);
            let end = offset.saturating_add(length);
            if end > body.len() as u64 {
                return Err(malformed("a buffer lies outside its message"));
            }
            self.unpacked = self.unpacked.saturating_add(match codec {
                Some(codec) => unpacked(&body[offset as usize..end as usize], codec)?,
                None => length,
            });
            if self.unpacked > limit {
                return Err(IpcError::TooLarge { what: "unpacked bytes", found: self.unpacked, limit });
            }
        }
        Ok(())
    }
}

fn natural(number: i64) -> Result<u64, IpcError> {
    u64::try_from(number).map_err(|_| malformed("a length is negative"))
}

/// What a compressed buffer says it unpacks to. LZ4 frames are unpacked here once to hold them to it, because their
/// reader goes on for as long as the frame does.
fn unpacked(buffer: &[u8], codec: CompressionType) -> Result<u64, IpcError> {
    let Some((claim, frame)) = buffer.split_first_chunk::<8>() else {
        return match buffer.len() {
            0 => Ok(0),
            _ => Err(malformed("a compressed buffer has no length")),
        };
    };
    let claim = match i64::from_le_bytes(*claim) {
        -1 => return Ok(frame.len() as u64),
        claim => natural(claim)?,
    };
    if codec == CompressionType::LZ4_FRAME {
        let mut frame = lz4_flex::frame::FrameDecoder::new(frame).take(claim.saturating_add(1));
        let found = std::io::copy(&mut frame, &mut std::io::sink())
            .map_err(|error| malformed(format!("a buffer cannot be unpacked: {error}")))?;
        if found != claim {
            return Err(malformed(format!("a buffer says it unpacks to {claim} bytes and does not")));
        }
    }
    Ok(claim)
}

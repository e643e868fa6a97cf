//! Avro records as JSON, straight from their bytes.
//!
//! Values keep what they mean: decimals are their exact digits as text, instants are ISO 8601 in UTC, bytes are base64,
//! a branch of a union is its value alone. Nothing is taken on trust: lengths are held against what is there, and what
//! little bytes may stand for is bounded.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Days, NaiveDate, NaiveTime};

use super::{AvroSchema, Kind, Logical, NodeId};
use crate::schema::push_json_text;
use crate::writer::{DEPTH_MAX, TEXT_BYTES_MAX, too_long};

impl AvroSchema {
    /// Appends the record in these bytes as JSON.
    pub(crate) fn write_json(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let mut decoder = Decoder::new(self, bytes, out);
        decoder.value(self.root, out)?;
        decoder.end()
    }
}

/// Goes over the bytes of a record.
pub(super) struct Decoder<'a> {
    schema: &'a AvroSchema,
    bytes: &'a [u8],
    at: usize,
    limit: usize,
    depth: usize,
}

impl<'a> Decoder<'a> {
    /// At the begin of a record; `out` is what its JSON will be appended to.
    pub(super) fn new(schema: &'a AvroSchema, bytes: &'a [u8], out: &[u8]) -> Self {
        Self { schema, bytes, at: 0, limit: out.len() + TEXT_BYTES_MAX, depth: 0 }
    }

    /// Refuses what stands behind the record.
    pub(super) fn end(&self) -> Result<(), String> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(format!("{left} bytes are left behind the record")),
        }
    }

    pub(super) fn within_limit(&self, out: &[u8]) -> Result<(), String> {
        if out.len() > self.limit { Err(too_long()) } else { Ok(()) }
    }

    /// Reads what lies in another value.
    pub(super) fn deeper(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.depth == DEPTH_MAX {
            return Err(format!("it is nested deeper than {DEPTH_MAX} levels"));
        }
        self.depth += 1;
        read(self)?;
        self.depth -= 1;
        Ok(())
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end =
            end.ok_or_else(|| format!("it ends at byte {} where {count} more are needed", self.bytes.len()))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn long(&mut self) -> Result<i64, String> {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = self.take(1)?[0];
            if shift == 63 && byte > 1 {
                return Err(format!("the number that ends at byte {} is too large", self.at));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
            shift += 7;
        }
    }

    pub(super) fn int(&mut self) -> Result<i32, String> {
        i32::try_from(self.long()?).map_err(|_| format!("the int that ends at byte {} is too large", self.at))
    }

    pub(super) fn sized(&mut self) -> Result<&'a [u8], String> {
        let length = self.long()?;
        let length = usize::try_from(length).map_err(|_| format!("a length is {length}"))?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, String> {
        std::str::from_utf8(self.sized()?)
            .map_err(|_| format!("the text before byte {} is not UTF-8", self.at))
    }

    pub(super) fn value(&mut self, id: NodeId, out: &mut Vec<u8>) -> Result<(), String> {
        self.within_limit(out)?;
        let schema = self.schema;
        let node = schema.node(id);
        match &node.kind {
            Kind::Null => out.extend_from_slice(b"null"),
            Kind::Boolean => match self.take(1)?[0] {
                0 => out.extend_from_slice(b"false"),
                1 => out.extend_from_slice(b"true"),
                other => return Err(format!("byte {} of a truth value is {other}", self.at - 1)),
            },
            Kind::Int => {
                let value = self.int()?;
                write_int(value, node.logical, out)?;
            }
            Kind::Long => {
                let value = self.long()?;
                write_long(value, node.logical, out)?;
            }
            Kind::Float => write_float(f32::from_le_bytes(self.array()?).into(), true, out),
            Kind::Double => write_float(f64::from_le_bytes(self.array()?), false, out),
            Kind::Bytes => write_bytes(self.sized()?, node.logical, out)?,
            Kind::Fixed(_, size) => write_bytes(self.take(*size)?, node.logical, out)?,
            Kind::String => push_json_text(out, self.text()?),
            Kind::Enum(_, symbols, _) => {
                let index = self.long()?;
                let symbol = usize::try_from(index).ok().and_then(|index| symbols.get(index));
                push_json_text(out, symbol.ok_or_else(|| format!("an enum has no symbol {index}"))?);
            }
            Kind::Array(_) | Kind::Map(_) | Kind::Union(_) | Kind::Record(..) => {
                self.deeper(|decoder| decoder.nested(&node.kind, out))?;
            }
        }
        Ok(())
    }

    fn nested(&mut self, kind: &Kind, out: &mut Vec<u8>) -> Result<(), String> {
        match kind {
            Kind::Array(items) => {
                out.push(b'[');
                self.blocks(out, |decoder, out| decoder.value(*items, out))?;
                out.push(b']');
            }
            Kind::Map(values) => {
                out.push(b'{');
                self.blocks(out, |decoder, out| {
                    push_json_text(out, decoder.text()?);
                    out.push(b':');
                    decoder.value(*values, out)
                })?;
                out.push(b'}');
            }
            Kind::Union(branches) => {
                let index = self.long()?;
                let branch = usize::try_from(index).ok().and_then(|index| branches.get(index));
                return self.value(*branch.ok_or_else(|| format!("a union has no branch {index}"))?, out);
            }
            Kind::Record(_, fields) => {
                out.push(b'{');
                for (index, field) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    push_json_text(out, &field.name);
                    out.push(b':');
                    let read = self.value(field.node, out);
                    read.map_err(|reason| format!("in `{}`: {reason}", field.name))?;
                }
                out.push(b'}');
            }
            _ => {}
        }
        Ok(())
    }

    /// The items of an array or map: blocks with their counts, ended by an empty one.
    pub(super) fn blocks(
        &mut self,
        out: &mut Vec<u8>,
        mut item: impl FnMut(&mut Self, &mut Vec<u8>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut first = true;
        loop {
            let mut count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                count = count.checked_neg().ok_or("a count is too large")?;
                self.long()?;
            }
            for _ in 0..count {
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                item(self, out)?;
            }
        }
    }
}

/// A whole number of any size, as what it stands for.
pub(super) fn write_whole(value: i64, logical: Logical, out: &mut Vec<u8>) -> Result<(), String> {
    match (logical, i32::try_from(value)) {
        (Logical::Date | Logical::TimeMillis, Ok(value)) => write_int(value, logical, out),
        _ => write_long(value, logical, out),
    }
}

fn write_int(value: i32, logical: Logical, out: &mut Vec<u8>) -> Result<(), String> {
    match logical {
        Logical::Date => {
            let days = Days::new(u64::from(value.unsigned_abs()));
            let epoch = NaiveDate::default();
            let date = if value < 0 { epoch.checked_sub_days(days) } else { epoch.checked_add_days(days) };
            let date = date.ok_or_else(|| format!("the date {value} days from 1970 is out of range"))?;
            put(out, format_args!("\"{date}\""));
        }
        Logical::TimeMillis => write_time(i64::from(value) * 1_000, out)?,
        _ => put(out, format_args!("{value}")),
    }
    Ok(())
}

fn write_long(value: i64, logical: Logical, out: &mut Vec<u8>) -> Result<(), String> {
    match logical {
        Logical::TimeMicros => write_time(value, out)?,
        Logical::Timestamp { per_second, zoned } => {
            let (seconds, rest) = (value.div_euclid(per_second), value.rem_euclid(per_second));
            let nanos = u32::try_from(rest * (1_000_000_000 / per_second)).unwrap_or(0);
            let time = DateTime::from_timestamp(seconds, nanos);
            let time = time.ok_or_else(|| format!("the timestamp {value} is out of range"))?.naive_utc();
            let zone = if zoned { "Z" } else { "" };
            put(out, format_args!("\"{}{zone}\"", time.format("%Y-%m-%dT%H:%M:%S%.f")));
        }
        _ => put(out, format_args!("{value}")),
    }
    Ok(())
}

fn write_time(micros: i64, out: &mut Vec<u8>) -> Result<(), String> {
    let seconds = u32::try_from(micros.div_euclid(1_000_000)).ok();
    let nanos = u32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    let time = seconds.and_then(|seconds| NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos));
    let time = time.ok_or_else(|| format!("{micros} microseconds are no time of day"))?;
    put(out, format_args!("\"{time}\""));
    Ok(())
}

/// JSON has no word for what is not a number; as text, whoever takes it can tell.
pub(super) fn write_float(value: f64, single: bool, out: &mut Vec<u8>) {
    if value.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" });
    } else if single {
        put(out, format_args!("{:?}", value as f32));
    } else {
        put(out, format_args!("{value:?}"));
    }
}

pub(super) fn write_bytes(bytes: &[u8], logical: Logical, out: &mut Vec<u8>) -> Result<(), String> {
    match logical {
        Logical::Decimal { scale } => {
            let text = decimal(bytes, scale)?;
            put(out, format_args!("\"{text}\""));
        }
        Logical::Uuid if bytes.len() == 16 => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
            put(out, format_args!("\"{}\"", parts.join("-")));
        }
        Logical::Duration if bytes.len() == 12 => {
            let part = |from: usize| {
                u32::from_le_bytes([bytes[from], bytes[from + 1], bytes[from + 2], bytes[from + 3]])
            };
            let (seconds, millis) = (part(8) / 1_000, part(8) % 1_000);
            put(out, format_args!("\"P{}M{}DT{seconds}.{millis:03}S\"", part(0), part(4)));
        }
        _ => put(out, format_args!("\"{}\"", STANDARD.encode(bytes))),
    }
    Ok(())
}

/// The digits of a big-endian two's complement number, with the point where it belongs.
fn decimal(bytes: &[u8], scale: u32) -> Result<String, String> {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let sign = if negative { 0xff } else { 0 };
    let significant = bytes.iter().position(|byte| *byte != sign).unwrap_or(bytes.len());
    let (mut wide, kept) = ([sign; 16], &bytes[significant..]);
    // One bit is the sign's.
    if kept.len() > 16 || (kept.len() == 16 && (kept[0] & 0x80 != 0) != negative) {
        return Err(format!("a decimal of {} bytes has more than 38 digits", bytes.len()));
    }
    wide[16 - kept.len()..].copy_from_slice(kept);
    let value = i128::from_be_bytes(wide);
    let digits = value.unsigned_abs().to_string();
    let scale = scale as usize;
    if scale > 1_000 {
        return Err(format!("a decimal with {scale} digits behind the point is not read"));
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let minus = if value < 0 { "-" } else { "" };
    Ok(if scale == 0 { format!("{minus}{whole}") } else { format!("{minus}{whole}.{fraction}") })
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = out.write_fmt(text);
}

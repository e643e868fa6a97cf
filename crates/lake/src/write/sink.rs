//! What a file's encoder writes into: pieces of one size, so that what grows is never copied into something larger.

use std::io::{self, Write};
use std::mem;

use bytes::Bytes;

/// Bytes of a piece. Larger ones cost memory that is seldom full, smaller ones more calls.
const PIECE: usize = 1 << 20;

/// Bytes that are written one behind the other and taken away in pieces.
#[derive(Debug, Default)]
pub(super) struct Sink {
    full: Vec<Bytes>,
    open: Vec<u8>,
}

impl Sink {
    /// What was written since it was last asked for, in order.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        let mut pieces = mem::take(&mut self.full);
        if !self.open.is_empty() {
            pieces.push(mem::take(&mut self.open).into());
        }
        pieces
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.open.capacity() == 0 {
                self.open.reserve_exact(PIECE);
            }
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.open.len()));
            self.open.extend_from_slice(now);
            bytes = later;
            if self.open.len() == PIECE {
                self.full.push(mem::take(&mut self.open).into());
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use super::*;

    #[test]
    fn bytes_come_out_in_the_order_in_which_they_went_in() {
        let written: Vec<u8> = (0..3 * PIECE + 5).map(|at| (at % 251) as u8).collect();
        let (mut sink, mut taken) = (Sink::default(), Vec::new());
        for (number, part) in written.chunks(700_001).enumerate() {
            sink.write_all(part).unwrap();
            if number % 2 == 0 {
                taken.extend(sink.take());
            }
        }
        taken.extend(sink.take());
        assert_eq!(taken.concat(), written);
        assert!(taken.iter().all(|piece| (1..=PIECE).contains(&piece.len())));
        assert!(sink.take().is_empty());
    }
}

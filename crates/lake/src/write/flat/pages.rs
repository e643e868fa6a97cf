//! The pages of a column chunk, which are read once: into the file.

use std::collections::VecDeque;
use std::io::{self, Read};

use bytes::{Buf, Bytes};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// Pages with their headers, one behind the other.
#[derive(Debug, Default, Clone)]
pub(super) struct Pages {
    pages: VecDeque<Bytes>,
    bytes: usize,
}

impl Pages {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, page: Bytes) {
        self.bytes += page.len();
        self.pages.push_back(page);
    }

    pub(super) fn push_first(&mut self, page: Bytes) {
        self.bytes += page.len();
        self.pages.push_front(page);
    }
}

impl Read for Pages {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(page) = self.pages.front_mut() else { return Ok(0) };
        let count = page.len().min(buffer.len());
        page.copy_to_slice(&mut buffer[..count]);
        if page.is_empty() {
            self.pages.pop_front();
        }
        Ok(count)
    }
}

impl Length for Pages {
    fn len(&self) -> u64 {
        self.bytes as u64
    }
}

impl ChunkReader for Pages {
    type T = Self;

    fn get_read(&self, start: u64) -> Result<Self, ParquetError> {
        let (mut rest, mut skip) = (self.clone(), start as usize);
        while let Some(page) = rest.pages.front_mut().filter(|_| skip > 0) {
            let count = page.len().min(skip);
            page.advance(count);
            skip -= count;
            if page.is_empty() {
                rest.pages.pop_front();
            }
        }
        Ok(rest)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let mut bytes = vec![0; length];
        self.get_read(start)?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

//! Memory that large reads go into, one after the other.
//!
//! Owns: a few buffers that readers have let go of. Memory that is touched for the first time costs about as much as reading
//! the file does; a reader that follows a log would touch new memory again and again.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Smaller reads take memory of their own.
const BYTES_MIN: usize = 1 << 20;
/// Larger ones come now and then, and give theirs back.
const BYTES_MAX: usize = 8 << 20;
/// So many are kept: as many as a lander has under way.
const KEPT: usize = 4;

/// Buffers that nobody uses.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
}

/// Bytes that were read; their memory is used again once nobody looks at them any more.
struct Lent {
    bytes: Vec<u8>,
    owner: Arc<Buffers>,
}

impl Buffers {
    /// An empty buffer for about so many bytes.
    pub(crate) fn take(&self, bytes: usize) -> Vec<u8> {
        if bytes < BYTES_MIN {
            return Vec::new();
        }
        let mut free = self.free.lock();
        // A read fills all the room there is.
        let fitting = free.iter().position(|buffer| (bytes..=bytes + bytes / 2).contains(&buffer.capacity()));
        fitting.map(|place| free.swap_remove(place)).unwrap_or_default()
    }

    /// What was read into a buffer, which comes back with the last part of it that is let go of.
    pub(crate) fn lend(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        if (BYTES_MIN..=BYTES_MAX).contains(&bytes.capacity()) {
            return Bytes::from_owner(Lent { bytes, owner: Arc::clone(self) });
        }
        Bytes::from(bytes)
    }

    fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut free = self.free.lock();
        if free.len() >= KEPT {
            free.remove(0);
        }
        free.push(buffer);
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.owner.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_the_last_part_of_what_was_read() {
        let buffers = Arc::new(Buffers::default());
        let mut buffer = buffers.take(BYTES_MIN);
        buffer.resize(BYTES_MIN, 7);
        let memory = buffer.as_ptr();
        let read = buffers.lend(buffer);
        let part = read.slice(10..20);
        drop(read);
        assert_eq!((buffers.free.lock().len(), &part[..]), (0, &[7; 10][..]));
        drop(part);
        let again = buffers.take(BYTES_MIN);
        assert_eq!((again.as_ptr(), again.len()), (memory, 0));
    }

    #[test]
    fn few_are_kept_and_none_that_is_too_small_or_too_large() {
        let buffers = Arc::new(Buffers::default());
        let lent: Vec<Bytes> = (0..2 * KEPT).map(|_| buffers.lend(Vec::with_capacity(BYTES_MIN))).collect();
        drop(lent);
        assert_eq!(buffers.free.lock().len(), KEPT);
        drop(buffers.lend(Vec::with_capacity(BYTES_MAX + 1)));
        drop(buffers.lend(Vec::with_capacity(10)));
        assert_eq!(buffers.free.lock().len(), KEPT);
        assert_eq!(buffers.take(3 * BYTES_MIN).capacity(), 0);
    }
}

//! Numbers of few bits, one behind the other, as Parquet packs them: the lowest bit of a byte first.

/// Values of a group; runs of values are made of whole groups.
const GROUP: usize = 8;

/// Appends each value in `width` bits, which must be enough for it; the last byte is filled up with zeros.
pub(super) fn pack(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let (mut word, mut used) = (0u64, 0);
    for value in values {
        word |= value << used;
        used += width;
        if used >= u64::BITS {
            out.extend_from_slice(&word.to_le_bytes());
            used -= u64::BITS;
            // The bits of the value that did not fit; none when it ended with the word.
            word = value.checked_shr(width - used).unwrap_or(0);
        }
    }
    let bytes = used.div_ceil(u8::BITS) as usize;
    out.extend_from_slice(&word.to_le_bytes()[..bytes]);
}

/// Bits that a number takes.
pub(super) fn width(number: u64) -> u32 {
    u64::BITS - number.leading_zeros()
}

/// Appends a number in groups of seven bits.
pub(super) fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The same for a signed number, small where that is near zero.
pub(super) fn zigzag(number: i64, out: &mut Vec<u8>) {
    varint((number << 1 ^ number >> 63) as u64, out);
}

/// Appends a value that stands `count` times.
pub(super) fn repeated(value: u32, count: usize, width: u32, out: &mut Vec<u8>) {
    varint((count as u64) << 1, out);
    let bytes = width.div_ceil(u8::BITS) as usize;
    out.extend_from_slice(&value.to_le_bytes()[..bytes]);
}

/// Appends `count` values of one bit that are packed already.
pub(super) fn packed_bits(bits: &[u8], count: usize, out: &mut Vec<u8>) {
    let bytes = count.div_ceil(GROUP);
    varint((bytes as u64) << 1 | 1, out);
    out.extend_from_slice(&bits[..bytes]);
}

/// Appends values: stretches of one value by their length, others in `width` bits each.
pub(super) fn hybrid(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let mut rest = values;
    while !rest.is_empty() {
        let same = leading(rest, |group| is_uniform(group) && group[0] == rest[0]);
        let different = leading(rest, |group| !is_uniform(group));
        let (now, later) = rest.split_at(same.max(different).min(rest.len()));
        if same > 0 {
            repeated(now[0], now.len(), width, out);
        } else {
            varint((now.len().div_ceil(GROUP) as u64) << 1 | 1, out);
            let filled = now.len().next_multiple_of(GROUP) - now.len();
            let zeros = std::iter::repeat_n(0, filled);
            pack(now.iter().map(|&value| u64::from(value)).chain(zeros), width, out);
        }
        rest = later;
    }
}

/// Values in the groups at the beginning of which this is true.
fn leading(values: &[u32], is: impl Fn(&[u32]) -> bool) -> usize {
    values.chunks(GROUP).take_while(|group| is(group)).map(<[u32]>::len).sum()
}

fn is_uniform(group: &[u32]) -> bool {
    group.iter().all(|&value| value == group[0])
}

/// Numbers that are told by how they differ from the one before: blocks, each with its smallest difference and four
/// parts of what the differences have beyond it.
pub(super) fn by_difference<N: Number>(values: &[N], out: &mut Vec<u8>) {
    const PARTS: usize = 4;
    const PART: usize = 32;
    const BLOCK: usize = PARTS * PART;
    for number in [BLOCK, PARTS, values.len()] {
        varint(number as u64, out);
    }
    let Some((&first, rest)) = values.split_first() else { return zigzag(0, out) };
    zigzag(first.into(), out);
    let mut before = first;
    for block in rest.chunks(BLOCK) {
        let mut differences = [N::default(); BLOCK];
        for (difference, &value) in differences.iter_mut().zip(block) {
            *difference = value.minus(before);
            before = value;
        }
        let least = differences[..block.len()].iter().copied().min().unwrap_or_default();
        zigzag(least.into(), out);
        let widths = out.len();
        out.extend_from_slice(&[0; PARTS]);
        for (part, differences) in differences[..block.len()].chunks(PART).enumerate() {
            let mut beyond = [0u64; PART];
            for (beyond, difference) in beyond.iter_mut().zip(differences) {
                *beyond = difference.beyond(least);
            }
            let width = width(beyond.iter().fold(0, |all, beyond| all | beyond));
            out[widths + part] = width as u8;
            pack(beyond.into_iter(), width, out);
        }
    }
}

/// What is stored as numbers.
pub(super) trait Number: Copy + Ord + Default + Into<i64> {
    /// The difference; of numbers far apart, the one that is the same within the bits of the type.
    fn minus(self, other: Self) -> Self;
    /// How much larger it is than `least`, which is not above it.
    fn beyond(self, least: Self) -> u64;
}

impl Number for i32 {
    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }

    fn beyond(self, least: Self) -> u64 {
        u64::from(self.wrapping_sub(least) as u32)
    }
}

impl Number for i64 {
    fn minus(self, other: Self) -> Self {
        self.wrapping_sub(other)
    }

    fn beyond(self, least: Self) -> u64 {
        self.wrapping_sub(least) as u64
    }
}

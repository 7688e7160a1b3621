//! Rows per string of one task: hashing and comparing texts, and the small table of those met most.
//!
//! Nothing here trusts a hash: a text is counted with another if their keys are the texts themselves and equal, or if all
//! their bytes are. [`crate::categories`] decides which key a row has, and takes what the table does not.

use std::hash::Hasher;

/// Bytes of a string that count as short, as in Arrow's views.
pub(crate) const SHORT: usize = 12;
/// Places of a table, at most.
const PLACES: usize = 4_096;
/// Places looked at for a text.
const PROBES: usize = 8;
/// Odd numbers with about as many ones as zeros (digits of the golden ratio first).
const ODD: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];

/// The product of two words, its halves folded.
#[inline(always)]
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The hash of a key of 128 bits.
#[inline(always)]
pub(crate) fn fold(key: u128) -> u64 {
    folded(
        folded(key as u64 ^ ODD[0], ODD[1]) ^ (key >> 64) as u64,
        ODD[1],
    )
}

/// Hash a long text, sixteen bytes a multiplication; the last sixteen may have been hashed before.
#[inline(always)]
pub(crate) fn text_hash(text: &[u8]) -> u64 {
    let word = |at: usize| {
        let bytes = text.get(at..).and_then(<[u8]>::first_chunk::<8>);
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    let len = text.len();
    let mut hash = folded(
        word(len.saturating_sub(16)) ^ ODD[0],
        word(len.saturating_sub(8)) ^ ODD[1],
    );
    for at in (0..len.saturating_sub(16)).step_by(16) {
        hash = hash.rotate_left(23) ^ folded(word(at) ^ ODD[1], word(at + 8) ^ ODD[0]);
    }
    folded(hash ^ len as u64 ^ ODD[0], ODD[1])
}

/// Compare texts; up to 64 bytes by their first and last 16 or 32, without a call.
#[inline(always)]
pub(crate) fn is_equal(a: &[u8], b: &[u8]) -> bool {
    match a.len() {
        len if len != b.len() => false,
        16..=32 => ends_are_equal::<16>(a, b),
        33..=64 => ends_are_equal::<32>(a, b),
        _ => a == b,
    }
}

#[inline(always)]
fn ends_are_equal<const N: usize>(a: &[u8], b: &[u8]) -> bool {
    a.first_chunk::<N>() == b.first_chunk::<N>() && a.last_chunk::<N>() == b.last_chunk::<N>()
}

/// A short string and its length as one number: as a view has them in memory.
#[inline(always)]
pub(crate) fn short_key(data: &[u8], start: usize, end: usize) -> Option<u128> {
    let len = end.checked_sub(start).filter(|len| *len <= SHORT)?;
    let bytes = match data.get(start..start.checked_add(SHORT)?) {
        Some(window) => window,
        None => data.get(start..end)?,
    };
    let mut word = [0u8; 16];
    word[4..4 + bytes.len()].copy_from_slice(bytes);
    // What follows the string in the window is cut off; the four bytes below are still free.
    let kept = u128::MAX >> (8 * (SHORT - len) as u32);
    Some((u128::from_le_bytes(word) & kept) | len as u128)
}

/// Rows per text, found by a key of 128 bits.
///
/// What is clever: up to twelve bytes and their number, and the view of a longer text, are one integer, so a row is hashed and
/// compared without a loop, and without looking at the text; texts that have no such key are hashed as a whole. The table takes no
/// text when it is half full, nor after a few occupied places: such rows are counted the general way, whatever the texts. Bench:
/// benches/drift/test_strings.py; tests: [`crate::categories`].
pub(crate) struct TextTable<'a> {
    entries: Vec<Entry<'a>>,
    free: usize,
}

#[derive(Clone, Copy, Default)]
struct Entry<'a> {
    key: u128,
    text: &'a [u8],
    /// 0 in a free place.
    count: u64,
}

impl<'a> TextTable<'a> {
    /// Make a table for so many rows.
    pub(crate) fn new(rows: usize) -> Self {
        let places = (2 * rows).next_power_of_two().clamp(64, PLACES);
        Self {
            entries: vec![Entry::default(); places],
            free: places / 2,
        }
    }

    /// True when no further text finds a place.
    #[inline(always)]
    pub(crate) fn is_full(&self) -> bool {
        self.free == 0
    }

    /// Count a row with the text of this key that is the same; false if the table takes it not.
    #[inline(always)]
    pub(crate) fn count(
        &mut self,
        key: u128,
        hash: u64,
        is_same: impl Fn(&[u8]) -> bool,
        text: impl FnOnce() -> Option<&'a [u8]>,
    ) -> bool {
        let (first, last) = (hash as usize, self.entries.len() - 1);
        for probe in 0..PROBES {
            let Some(entry) = self.entries.get_mut(first.wrapping_add(probe) & last) else {
                return false;
            };
            if entry.count > 0 && entry.key == key && is_same(entry.text) {
                entry.count += 1;
                return true;
            }
            if entry.count == 0 {
                let (Some(text), false) = (text(), self.free == 0) else {
                    return false;
                };
                self.free -= 1;
                *entry = Entry {
                    key,
                    text,
                    count: 1,
                };
                return true;
            }
        }
        false
    }

    /// The texts with their rows.
    pub(crate) fn counted(&self) -> impl Iterator<Item = (&'a [u8], u64)> {
        let entries = self.entries.iter().filter(|entry| entry.count > 0);
        entries.map(|entry| (entry.text, entry.count))
    }
}

/// Words multiplied and folded: fast, and good enough where every hit is checked against the whole key.
#[derive(Default)]
pub struct FoldHasher(u64);

impl Hasher for FoldHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        let mut last = [0u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.write_u64(u64::from_le_bytes(last) ^ ((bytes.len() as u64) << 56));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = folded(self.0 ^ word ^ ODD[0], ODD[1]);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

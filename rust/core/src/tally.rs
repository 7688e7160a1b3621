//! Tables into which small numbers are counted.
//!
//! An increment has to wait for the last one of the same place. So few places are counted in four tables in turn; and where there
//! are very few, two numbers make one of a table for pairs, which halves the increments. Many places are counted in bytes, of which
//! the nearest caches hold four times as many as of words; a byte that turns over is listed, once in 256 numbers at most. Words are
//! added up in `u64` before one could overflow.

use crate::column::{Ahead, BLOCK};
use crate::dispatch;

/// Tables counted into in turn.
const LANES: usize = 4;

/// Above this many places equal neighbours are rare, and four tables of words would only fill the cache.
const LANES_UP_TO: usize = 2048;

/// Numbers that are counted in bytes, at most: no check is needed where sixteen bits are the index.
const BYTES: usize = 1 << 16;

/// More numbers than that.
const TOO_MANY: usize = BYTES + 1;

/// Bits of a number of which pairs are counted: a table of them fits the first-level cache.
pub(crate) const PAIR_BITS: u32 = 7;

/// Up to this many places pairs are counted.
const PAIRS_UP_TO: usize = 1 << PAIR_BITS;

/// Numbers that pairs can make: no check is needed here either. Memory that is not touched costs nothing.
const PAIRS: usize = 1 << 16;

/// Below this many numbers the tables for pairs cost more than they save.
const PAIRS_FROM: usize = 1 << 17;

/// Blocks after which a table of pairs must be emptied: half of a block's pairs go into each of two tables.
const FULL_AFTER: usize = u16::MAX as usize / (BLOCK / 4);

/// Listed bytes that are added up: more would only take memory.
const FULL_LIST: usize = 1 << 15;

/// Numbers after which lanes must be emptied.
const FULL_ROWS: usize = 1 << 31;

/// Counts of the numbers below `len`.
pub(crate) struct Tally {
    len: usize,
    /// What was emptied from the table; none before that.
    counts: Vec<u64>,
    table: Table,
}

enum Table {
    /// [`BYTES`] bytes, and those that turned over, each as often as it did.
    Bytes(Vec<u8>, Vec<u16>),
    /// [`LANES`] tables of counters end to end; and numbers counted since they were emptied.
    Lanes(Vec<u32>, usize),
    /// Two tables of [`PAIRS`] end to end, asked by the number that a pair makes; and blocks counted since they were emptied.
    Pairs(Vec<u16>, usize),
}

impl Tally {
    /// Start counting about `rows` numbers below `len`.
    pub(crate) fn new(len: usize, rows: usize) -> Self {
        let table = match (len, rows) {
            (2..=PAIRS_UP_TO, PAIRS_FROM..) => Table::Pairs(vec![0; 2 * PAIRS], 0),
            (..=LANES_UP_TO, _) | (TOO_MANY.., _) => Table::Lanes(vec![0; LANES * len], 0),
            _ => Table::Bytes(vec![0; BYTES], Vec::new()),
        };
        let counts = Vec::new();
        Self { len, counts, table }
    }

    /// Count the numbers found for a block; meanwhile ask for the memory of the next one.
    pub(crate) fn count(&mut self, numbers: &[u32], ahead: Ahead) {
        let is_full = match &mut self.table {
            Table::Bytes(table, turned) => {
                count_bytes(table, turned, numbers, ahead);
                turned.len() >= FULL_LIST
            }
            Table::Lanes(table, since) => {
                *since += numbers.len();
                count_lanes(table, self.len, numbers, ahead);
                *since >= FULL_ROWS
            }
            Table::Pairs(..) => {
                let (ones, others) = numbers.split_at(numbers.len() / 2);
                let (others, odd) = others.split_at(ones.len());
                let mut pairs = [0; BLOCK / 2];
                let pairs = &mut pairs[..ones.len()];
                dispatch::pair(ones, others, pairs);
                return self.count_pairs(pairs, odd.first().copied(), ahead);
            }
        };
        if is_full {
            self.empty();
        }
    }

    /// True if pairs of numbers are counted.
    pub(crate) fn takes_pairs(&self) -> bool {
        matches!(self.table, Table::Pairs(..))
    }

    /// Count the pairs of a block, as [`dispatch::pair`] makes them, and perhaps a number that has no other.
    pub(crate) fn count_pairs(&mut self, pairs: &[u16], odd: Option<u32>, ahead: Ahead) {
        if let Some(number) = odd {
            self.counts.resize(self.len, 0);
            if let Some(count) = self.counts.get_mut(number as usize) {
                *count += 1;
            }
        }
        if let Table::Pairs(tables, since) = &mut self.table {
            *since += 1;
            count_pairs(tables, pairs, ahead);
            if *since >= FULL_AFTER {
                self.empty();
            }
        }
    }

    fn empty(&mut self) {
        let mut counts = std::mem::take(&mut self.counts);
        counts.resize(self.len, 0);
        self.empty_into(&mut counts);
        self.counts = counts;
    }

    /// Add the counts of all numbers to `totals`.
    pub(crate) fn add_to(mut self, totals: &mut [u64]) {
        for (total, count) in totals.iter_mut().zip(&self.counts) {
            *total += count;
        }
        self.empty_into(totals);
    }

    fn empty_into(&mut self, totals: &mut [u64]) {
        let len = self.len.max(1);
        match &mut self.table {
            Table::Bytes(table, turned) => {
                dispatch::add_bytes(table, totals);
                table.fill(0);
                for at in turned.drain(..) {
                    if let Some(total) = totals.get_mut(usize::from(at)) {
                        *total += 1 << u8::BITS;
                    }
                }
            }
            Table::Lanes(table, since) => {
                *since = 0;
                for lane in table.chunks_mut(len) {
                    for (total, count) in totals.iter_mut().zip(lane) {
                        *total += u64::from(*count);
                        *count = 0;
                    }
                }
            }
            Table::Pairs(tables, since) => {
                *since = 0;
                for table in tables.chunks_mut(PAIRS) {
                    for (other, row) in table.chunks_mut(PAIRS_UP_TO).take(len).enumerate() {
                        let mut sum = 0;
                        for (total, count) in totals.iter_mut().zip(row) {
                            *total += u64::from(*count);
                            sum += u64::from(*count);
                            *count = 0;
                        }
                        totals[other] += sum;
                    }
                }
            }
        }
    }
}

fn count_bytes(table: &mut [u8], turned: &mut Vec<u16>, numbers: &[u32], ahead: Ahead) {
    let Some(table) = table.first_chunk_mut::<BYTES>() else {
        return;
    };
    let (eights, rest) = numbers.as_chunks::<8>();
    for (row, eight) in (0..).step_by(8).zip(eights) {
        ahead.fetch(row);
        for &number in eight {
            add_byte(table, turned, number as u16);
        }
    }
    for &number in rest {
        add_byte(table, turned, number as u16);
    }
}

#[inline(always)]
fn add_byte(table: &mut [u8; BYTES], turned: &mut Vec<u16>, at: u16) {
    let count = &mut table[usize::from(at)];
    *count = count.wrapping_add(1);
    if *count == 0 {
        list(turned, at);
    }
}

/// Out of the way: it happens once in 256 times.
#[cold]
#[inline(never)]
fn list(turned: &mut Vec<u16>, at: u16) {
    turned.push(at);
}

fn count_lanes(table: &mut [u32], len: usize, numbers: &[u32], ahead: Ahead) {
    let (eights, rest) = numbers.as_chunks::<{ 2 * LANES }>();
    let mut lanes = table.chunks_mut(len.max(1));
    let (Some(a), Some(b), Some(c), Some(d)) =
        (lanes.next(), lanes.next(), lanes.next(), lanes.next())
    else {
        return;
    };
    for (row, eight) in (0..).step_by(2 * LANES).zip(eights) {
        ahead.fetch(row);
        for four in eight.as_chunks::<LANES>().0 {
            add_one(a, four[0]);
            add_one(b, four[1]);
            add_one(c, four[2]);
            add_one(d, four[3]);
        }
    }
    for &number in rest {
        add_one(a, number);
    }
}

#[inline(always)]
fn add_one(table: &mut [u32], at: u32) {
    if let Some(count) = table.get_mut(at as usize) {
        *count += 1;
    }
}

fn count_pairs(tables: &mut [u16], pairs: &[u16], ahead: Ahead) {
    let Some((a, b)) = tables.split_first_chunk_mut::<PAIRS>() else {
        return;
    };
    let Some(b) = b.first_chunk_mut::<PAIRS>() else {
        return;
    };
    let (fours, rest) = pairs.as_chunks::<4>();
    for (row, four) in (0..).step_by(8).zip(fours) {
        ahead.fetch(row);
        a[four[0] as usize] += 1;
        b[four[1] as usize] += 1;
        a[four[2] as usize] += 1;
        b[four[3] as usize] += 1;
    }
    for &pair in rest {
        a[pair as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(tally: Tally) -> Vec<u64> {
        let mut totals = vec![0; tally.len];
        tally.add_to(&mut totals);
        totals
    }

    proptest! {
        #[test]
        fn all_tables_count_alike(len in 2usize..=PAIRS_UP_TO, blocks in prop::collection::vec(0usize..=BLOCK, 1..5),
                                  seed in any::<u32>()) {
            let (mut lanes, mut paired) = (Tally::new(len, 0), Tally::new(len, PAIRS_FROM));
            let mut bytes = Tally::new(LANES_UP_TO + 1, 0);
            prop_assert!(matches!(lanes.table, Table::Lanes(..)));
            prop_assert!(matches!(paired.table, Table::Pairs(..)));
            prop_assert!(matches!(bytes.table, Table::Bytes(..)));
            let mut naive = vec![0u64; len];
            let mut next = seed;
            for rows in blocks {
                let mut random = || {
                    next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (next >> 16) % len as u32
                };
                let numbers: Vec<u32> = (0..rows).map(|_| random()).collect();
                numbers.iter().for_each(|number| naive[*number as usize] += 1);
                lanes.count(&numbers, Ahead::default());
                bytes.count(&numbers, Ahead::default());
                paired.count(&numbers, Ahead::default());
            }
            prop_assert_eq!(&counts(lanes), &naive);
            prop_assert_eq!(&counts(paired), &naive);
            prop_assert_eq!(&counts(bytes)[..len], &naive[..]);
        }
    }

    #[test]
    fn counts_pass_what_a_counter_holds() {
        // All in one place is the worst case: 600,000 numbers in counters that hold 65,535.
        let mut tally = Tally::new(3, PAIRS_FROM);
        for _ in 0..300 {
            tally.count(&[2; BLOCK], Ahead::default());
        }
        assert_eq!(counts(tally), [0, 0, 300 * BLOCK as u64]);
        // And in bytes, which hold 255; the list of those that turned over is emptied on the way.
        let mut tally = Tally::new(BYTES, 0);
        let blocks = 3 * FULL_LIST * 256 / BLOCK / 2;
        for _ in 0..blocks {
            tally.count(&[BYTES as u32 - 1; BLOCK], Ahead::default());
        }
        assert!(matches!(&tally.table, Table::Bytes(_, turned) if turned.len() < FULL_LIST));
        assert_eq!(counts(tally).last(), Some(&((blocks * BLOCK) as u64)));
        // Lanes are emptied long before 2^32, and added up in 64 bits.
        let mut tally = Tally::new(3, 0);
        if let Table::Lanes(table, since) = &mut tally.table {
            table.fill(FULL_ROWS as u32 + BLOCK as u32);
            *since = FULL_ROWS;
        }
        tally.counts = vec![1 << 40; 3];
        tally.count(&[0], Ahead::default());
        let each = LANES as u64 * (FULL_ROWS + BLOCK) as u64;
        assert_eq!(
            tally.counts,
            [(1 << 40) + each + 1, (1 << 40) + each, (1 << 40) + each]
        );
        assert_eq!(counts(tally)[1], (1 << 40) + each);
    }
}

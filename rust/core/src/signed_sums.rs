//! Sums of the offsets of a column's rows ([`crate::offsets`]), each with the sign that `F - G` has in its cell.
//!
//! Once signs are known, a row is a term of one sum, whatever its cell: no table of sums is needed. The same pass finds the rows
//! of cells whose sign is open. Bench: benches/drift/test_wasserstein.py.

use crate::cell_rows::Places;
use crate::column::{Ahead, BLOCK};
use crate::dispatch;
use crate::integral::to_float;
use crate::offsets::{Grid, Scale};

/// Cells at most: no check is needed where so many bits are the index.
pub(crate) const CELLS: usize = 1 << 16;
/// Cells whose signs one word holds.
pub(crate) const CELLS_PER_WORD: usize = 16;
/// Words for the signs of all cells: a third of the first-level cache.
pub(crate) const WORDS: usize = CELLS / CELLS_PER_WORD;
/// Rows after which lanes are emptied: 32 offsets each, moved by 15 bits at most, stay below 2^63.
pub(crate) const LANE_ROWS: usize = 256;
/// Lanes into which offsets are added.
const LANES: usize = 8;

/// What is known of a cell; of one that holds a single value nothing has to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// `F >= G` in all of the cell.
    Above = 1,
    /// `F <= G` in all of it.
    Below = 2,
    /// The sign may change: the cell's rows are wanted, and their offsets count for nothing.
    Open = 3,
}

/// The signs of all cells, two bits each.
#[derive(Debug, Clone)]
pub(crate) struct Signs(pub(crate) Box<[u32; WORDS]>);

impl Signs {
    /// Take words of sixteen cells each, in order.
    pub(crate) fn new(words: impl Iterator<Item = u32>) -> Self {
        let mut signs = Box::new([0; WORDS]);
        for (sign, word) in signs.iter_mut().zip(words) {
            *sign = word;
        }
        Self(signs)
    }

    /// True if no cell has a sign, so that no row has to be seen.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The two bits of a cell, and above them those of others.
    #[inline(always)]
    fn bits(&self, cell: u32) -> u32 {
        self.0[cell as usize / CELLS_PER_WORD % WORDS] >> (2 * (cell % CELLS_PER_WORD as u32))
    }

    /// An offset with the sign of its cell.
    #[inline(always)]
    fn apply(&self, cell: u32, offset: i64) -> i64 {
        let bits = self.bits(cell);
        // Masks of all bits or none: of both signs together nothing is left.
        let [above, below] = [bits, bits >> 1].map(|bit| -i64::from(bit & 1));
        (offset & above) - (offset & below)
    }

    /// True if the sign of a cell may change.
    #[inline(always)]
    fn is_open(&self, cell: u32) -> bool {
        self.bits(cell) & 3 == Sign::Open as u32
    }
}

/// A sum for each unit of a scale; integers, so that the order of the rows does not matter.
#[derive(Debug, Clone)]
pub(crate) struct SignedSums(Vec<i128>);

impl SignedSums {
    pub(crate) fn new(grid: &Grid) -> Self {
        Self(vec![0; grid.scale.groups])
    }

    /// Add the offsets of a block; find the cells of its values and the rows of those that are open, and say how many these are.
    pub(crate) fn add(
        &mut self,
        grid: &Grid,
        signs: &Signs,
        block: &[f64],
        ahead: Ahead,
        found: &mut Places,
    ) -> usize {
        let (mut offsets, mut count) = ([0; LANE_ROWS], 0);
        let (blocks, cells) = (block.chunks(LANE_ROWS), found.cells.chunks_mut(LANE_ROWS));
        for (first, (block, cells)) in (0..BLOCK).step_by(LANE_ROWS).zip(blocks.zip(cells)) {
            let (cells, offsets) = (&mut cells[..block.len()], &mut offsets[..block.len()]);
            dispatch::locate(grid, block, cells, offsets);
            let rows = Rows {
                first,
                block,
                cells,
                offsets,
                ahead,
            };
            count = dispatch::add_signed(
                signs,
                &grid.scale,
                &rows,
                &mut self.0,
                &mut found.rows,
                count,
            );
        }
        count
    }

    pub(crate) fn join(&mut self, other: &Self) {
        for (sum, other) in self.0.iter_mut().zip(&other.0) {
            *sum += other;
        }
    }

    /// The sum as a distance times rows.
    pub(crate) fn value(&self, scale: &Scale) -> f64 {
        let sums = self.0.iter().enumerate();
        sums.map(|(group, sum)| to_float(*sum) * scale.unit(group))
            .sum()
    }
}

/// Up to [`LANE_ROWS`] values of a block from `first` on, with their cells and offsets.
pub(crate) struct Rows<'a> {
    pub(crate) first: usize,
    pub(crate) block: &'a [f64],
    pub(crate) cells: &'a [u32],
    pub(crate) offsets: &'a [i64],
    pub(crate) ahead: Ahead,
}

impl Rows<'_> {
    /// The rows from a place on.
    pub(crate) fn starting_at(&self, place: usize) -> Self {
        Self {
            first: self.first + place,
            block: &self.block[place..],
            cells: &self.cells[place..],
            offsets: &self.offsets[place..],
            ahead: self.ahead,
        }
    }

    /// List the rows of open cells after the `count` that are listed already. Without a branch: a row that is not met is
    /// written over by the next.
    fn list_open(&self, signs: &Signs, listed: &mut [u32; BLOCK], mut count: usize) -> usize {
        for (row, &cell) in (self.first..).zip(self.cells) {
            listed[count % BLOCK] = row as u32;
            count += usize::from(signs.is_open(cell));
        }
        count
    }
}

/// See [`dispatch::add_signed`].
#[inline(always)]
pub(crate) fn add_signed(
    signs: &Signs,
    scale: &Scale,
    rows: &Rows<'_>,
    sums: &mut [i128],
    listed: &mut [u32; BLOCK],
    count: usize,
) -> usize {
    for row in (0..rows.block.len()).step_by(8) {
        rows.ahead.fetch(rows.first + row);
    }
    match (scale.is_even(), sums) {
        (true, [sum]) => *sum += add_lanes(signs, rows, |_| 0),
        (false, [sum]) => *sum += add_lanes(signs, rows, |value| scale.binades(value)),
        (_, sums) => {
            let values = rows.block.iter().zip(rows.cells).zip(rows.offsets);
            for ((value, cell), offset) in values {
                let binades = scale.binades(*value);
                // Rows of open cells may have no group.
                if let Some(sum) = sums.get_mut((binades / Scale::GROUP) as usize) {
                    *sum += i128::from(signs.apply(*cell, *offset)) << (binades % Scale::GROUP);
                }
            }
        }
    }
    rows.list_open(signs, listed, count)
}

#[inline(always)]
fn add_lanes(signs: &Signs, rows: &Rows<'_>, binades: impl Fn(f64) -> u64) -> i128 {
    let term =
        |value: f64, cell: u32, offset: i64| signs.apply(cell, offset) << (binades(value) % 64);
    let mut lanes = [0i64; LANES];
    let (eights, rest) = rows.block.as_chunks::<LANES>();
    let (cell_eights, cell_rest) = rows.cells.as_chunks::<LANES>();
    let (offset_eights, offset_rest) = rows.offsets.as_chunks::<LANES>();
    for ((values, cells), offsets) in eights.iter().zip(cell_eights).zip(offset_eights) {
        for lane in 0..LANES {
            lanes[lane] += term(values[lane], cells[lane], offsets[lane]);
        }
    }
    for ((value, cell), offset) in rest.iter().zip(cell_rest).zip(offset_rest) {
        lanes[0] += term(*value, *cell, *offset);
    }
    lanes.iter().map(|lane| i128::from(*lane)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What `add_signed` is to do, row by row.
    fn naive(signs: &Signs, scale: &Scale, rows: &Rows<'_>, sums: &mut [i128]) -> Vec<u32> {
        let mut open = Vec::new();
        for (at, cell) in rows.cells.iter().enumerate() {
            let place = *cell as usize;
            let bits = signs.0[place / CELLS_PER_WORD] >> (2 * (place % CELLS_PER_WORD)) & 3;
            let binades = match scale.is_even() {
                true => 0,
                false => scale.binades(rows.block[at]),
            };
            let moved = i128::from(rows.offsets[at]) << (binades % Scale::GROUP);
            let sum = &mut sums[(binades / Scale::GROUP) as usize];
            match bits {
                1 => *sum += moved,
                2 => *sum -= moved,
                3 => open.push((rows.first + at) as u32),
                _ => (),
            }
        }
        open
    }

    proptest! {
        #[test]
        fn rows_are_added_and_listed_by_the_signs_of_their_cells(words in prop::collection::vec(any::<u32>(), 4), least in 1u64..1_900,
                                                                 binades in 0u64..100, is_even in any::<bool>(),
                                                                 rows in prop::collection::vec((0u32..64, -(1i64 << 42)..1 << 42, 0.0f64..1.0), 0..=LANE_ROWS)) {
            let signs = Signs::new(words.into_iter());
            let value = |exponent: u64| f64::from_bits(exponent << 52);
            let scale = match is_even {
                true => Scale::even(1.0),
                false => Scale::by_key(value(least), value(least + binades), 0),
            };
            let block: Vec<f64> = rows.iter().map(|row| value(least + (row.2 * (binades + 1) as f64) as u64)).collect();
            let cells: Vec<u32> = rows.iter().map(|row| row.0).collect();
            let offsets: Vec<i64> = rows.iter().map(|row| row.1).collect();
            let rows = Rows { first: 512, block: &block, cells: &cells, offsets: &offsets, ahead: Ahead::default() };
            let mut expected = vec![0; scale.groups];
            let open = naive(&signs, &scale, &rows, &mut expected);
            for portable in [false, true] {
                let (mut sums, mut listed) = (vec![0; scale.groups], [7; BLOCK]);
                let count = match portable {
                    true => add_signed(&signs, &scale, &rows, &mut sums, &mut listed, 3),
                    false => dispatch::add_signed(&signs, &scale, &rows, &mut sums, &mut listed, 3),
                };
                prop_assert_eq!(&sums, &expected);
                prop_assert_eq!(&listed[3..count], &open[..]);
                prop_assert_eq!(&listed[..3], &[7; 3]);
            }
        }
    }

    #[test]
    fn lanes_hold_the_largest_offsets() {
        // All rows at the far end of a cell in the highest binade of a group.
        let (signs, [low, high]) = (Signs::new([1].into_iter()), [1.0, 32_768.0]);
        let scale = Scale::by_key(low, high, 0);
        let (block, cells, offsets) = (
            [high; LANE_ROWS],
            [0; LANE_ROWS],
            [-(1i64 << 42); LANE_ROWS],
        );
        let rows = Rows {
            first: 0,
            block: &block,
            cells: &cells,
            offsets: &offsets,
            ahead: Ahead::default(),
        };
        let (mut sums, mut listed) = ([0], [0; BLOCK]);
        assert_eq!(scale.groups, 1);
        dispatch::add_signed(&signs, &scale, &rows, &mut sums, &mut listed, 0);
        add_signed(&signs, &scale, &rows, &mut sums, &mut listed, 0);
        assert_eq!(sums, [-(2i128 << (42 + 15 + 8))]);
    }
}

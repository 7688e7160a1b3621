//! The rows of chosen cells, gathered in a second pass over columns.
//!
//! Rounded values fill cells with one value alone. So each cell has a value that is looked out for, one of a sample's: rows that hold
//! it are not kept, their number follows from the count of the cell, and such cells need next to no memory or time.

use crate::cells::CellMap;
use crate::column::{BLOCK, Column, Infinities, Parts, Task};
use crate::dispatch;
use crate::domain::Domain;
use crate::parallel;

/// Rows for which a cell has memory from the start, at most.
const RESERVED: usize = 1 << 15;

/// Values gathered from a cell: the one looked out for, how often it was met, and the others.
#[derive(Debug, Clone, Default)]
pub struct Gathered<K> {
    /// The value looked out for; means nothing when `repeats` is 0.
    pub usual: K,
    /// Rows that hold the usual value.
    pub repeats: usize,
    /// The values of all rows that do not.
    pub others: Vec<K>,
}

impl<K: Domain> Gathered<K> {
    /// Add a value that was not met before, so many times.
    pub(crate) fn push_many(&mut self, value: K, times: usize) {
        if self.repeats == 0 {
            (self.usual, self.repeats) = (value, times);
        } else {
            self.others.resize(self.others.len() + times, value);
        }
    }

    /// Rows gathered.
    pub fn len(&self) -> usize {
        self.repeats + self.others.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The usual value if all rows hold it, and there are any.
    pub fn single(&self) -> Option<K> {
        (self.repeats > 0 && self.others.is_empty()).then_some(self.usual)
    }

    /// Put all values, in no order, into a vector, in place of what it holds.
    pub fn copy_into(&self, values: &mut Vec<K>) {
        values.clear();
        values.extend_from_slice(&self.others);
        values.resize(self.len(), self.usual);
    }

    /// Add the keys of all values, in no order.
    pub(crate) fn keys_into(&self, keys: &mut Vec<u64>) {
        keys.extend(self.others.iter().map(|value| value.key()));
        keys.resize(keys.len() + self.repeats, self.usual.key());
    }

    /// All values, in no order.
    pub fn into_values(self) -> Vec<K> {
        let mut values = self.others;
        values.resize(values.len() + self.repeats, self.usual);
        values
    }
}

/// The cells of a map whose rows are wanted.
#[derive(Debug, Clone)]
pub struct Wanted<'a, K> {
    map: &'a CellMap,
    /// A bit for each cell: so few stay in the first-level cache where their places would not.
    bits: Vec<u32>,
    /// Place of each cell among those wanted.
    places: Vec<u32>,
    /// The value looked out for at each place.
    usual: Vec<K>,
}

impl<'a, K: Domain> Wanted<'a, K> {
    /// Want cells, each of them once; values to look out for are taken from a sample.
    pub fn new(map: &'a CellMap, cells: impl Iterator<Item = usize>, sample: &[K]) -> Self {
        let (mut bits, mut places) = (vec![0; map.len().div_ceil(32)], vec![0; map.len()]);
        let mut wanted = 0;
        for cell in cells {
            bits[cell / 32] |= 1u32 << (cell % 32);
            places[cell] = wanted;
            wanted += 1;
        }
        let mut usual = vec![K::default(); wanted as usize];
        for value in sample {
            let cell = map.cell(*value) as usize;
            if (bits[cell / 32] >> (cell % 32)) & 1 == 1 {
                usual[places[cell] as usize] = *value;
            }
        }
        Self {
            map,
            bits,
            places,
            usual,
        }
    }

    /// Gather the rows of columns, for each column in the order in which the cells were given. `rows` has their number in each
    /// cell, as it was counted.
    pub fn gather<const N: usize>(
        &self,
        columns: [&Column<'_>; N],
        rows: [&[u64]; N],
        infinities: Infinities,
        threads: Option<usize>,
    ) -> [Vec<Gathered<K>>; N] {
        let tasks = Task::of(&columns);
        let threads =
            parallel::threads_for(threads, columns.iter().map(|column| column.len()).sum());
        let start = || [(); N].map(|()| vec![Vec::new(); self.usual.len()]);
        let states = parallel::fold(tasks.len(), threads, start, |found, task| {
            let (side, task) = tasks[task];
            self.gather_task(columns[side], task, infinities, &mut found[side], |place| {
                let expected = rows[side]
                    .get(place)
                    .map_or(0, |rows| *rows as usize / threads + 1);
                expected.min(RESERVED)
            });
        });
        let mut others = start();
        for state in states {
            for (all, found) in others.iter_mut().zip(state) {
                for (all, mut found) in all.iter_mut().zip(found) {
                    if all.is_empty() {
                        std::mem::swap(all, &mut found);
                    } else {
                        all.append(&mut found);
                    }
                }
            }
        }
        let mut side = 0;
        others.map(|others| {
            let rows = rows[side];
            side += 1;
            let gathered = others.into_iter().zip(&self.usual).zip(rows);
            gathered
                .map(|((others, usual), rows)| Gathered {
                    usual: *usual,
                    repeats: (*rows as usize).saturating_sub(others.len()),
                    others,
                })
                .collect()
        })
    }

    fn gather_task(
        &self,
        column: &Column<'_>,
        task: Task,
        infinities: Infinities,
        found: &mut [Vec<K>],
        expected: impl Fn(usize) -> usize,
    ) {
        let (mut cells, mut met) = ([0u32; BLOCK], [0u32; BLOCK]);
        let parts = &mut Parts::default();
        column.blocks_ahead::<K>(task, infinities, parts, |block, ahead| {
            let cells = &mut cells[..block.len()];
            dispatch::map_cells(self.map, block, cells);
            let count = dispatch::pick(&self.bits, cells, ahead, &mut met);
            for &row in &met[..count] {
                let (cell, value) = (cells[row as usize], block[row as usize]);
                let place = self.places[cell as usize] as usize;
                if value != self.usual[place] {
                    let others = &mut found[place];
                    if others.capacity() == 0 {
                        others.reserve_exact(expected(place));
                    }
                    others.push(value);
                }
            }
        });
    }
}

//! The rows of chosen cells, gathered in a further pass over columns.
//!
//! Where the chosen cells lie close together, what lies outside is left out by two comparisons, before it is mapped.
//! Rounded values fill cells with one value alone. So each cell has a value that is looked out for, one of a sample's: rows that hold
//! it are not kept, their number follows from the count of the cell, and such cells need next to no memory or time.

use crate::cells::{CellMap, Span};
use crate::column::{Ahead, BLOCK, Column, Parts, Reading, Task};
use crate::dispatch;
use crate::domain::Domain;
use crate::parallel;
use crate::tally::Tally;

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
    cells: Vec<usize>,
    /// A bit for each cell: so few stay in the first-level cache where their places would not.
    bits: Vec<u32>,
    /// Place of each cell among those wanted.
    places: Vec<u32>,
    /// The value looked out for at each place.
    usual: Vec<K>,
}

impl<'a, K: Domain> Wanted<'a, K> {
    /// Want cells, each of them once; values to look out for are taken from a sample.
    pub fn new(map: &'a CellMap, cells: Vec<usize>, sample: &[K]) -> Self {
        let (mut bits, mut places) = (vec![0; map.len().div_ceil(32)], vec![0; map.len()]);
        for (place, &cell) in (0..).zip(&cells) {
            bits[cell / 32] |= 1u32 << (cell % 32);
            places[cell] = place;
        }
        let mut usual = vec![K::default(); cells.len()];
        for value in sample {
            let cell = map.cell(*value) as usize;
            if (bits[cell / 32] >> (cell % 32)) & 1 == 1 {
                usual[places[cell] as usize] = *value;
            }
        }
        Self {
            map,
            cells,
            bits,
            places,
            usual,
        }
    }

    /// Gather the rows of columns that are to be read, for each column in the order in which the cells were given. `rows` says
    /// how many of a column lie in a cell, as they were counted.
    pub fn gather<const N: usize>(
        &self,
        columns: [&Column<'_>; N],
        reading: Reading<K>,
        rows: impl Fn(usize, usize) -> u64 + Sync,
        threads: Option<usize>,
    ) -> [Vec<Gathered<K>>; N] {
        if self.cells.is_empty() {
            return [(); N].map(|()| Vec::new());
        }
        let all = columns.iter().map(|column| column.len() as u64).sum();
        let of_all = |cell| (0..N).map(|side| rows(side, cell)).sum::<u64>();
        let reading = self.narrow(reading, all, of_all);
        let others = self.pass(columns, &reading, threads, &rows, |_, _| (), |(), _| ());
        let mut side = 0;
        others.map(|(others, _)| {
            side += 1;
            self.complete(others, |cell| rows(side - 1, cell))
        })
    }

    /// Count the rows per cell of the map, all cells, and gather those of the wanted ones in the same pass.
    pub fn count_and_gather<const N: usize>(
        &self,
        columns: [&Column<'_>; N],
        reading: Reading<K>,
        threads: Option<usize>,
    ) -> [(Vec<u64>, Vec<Gathered<K>>); N] {
        let start = |_, rows| Tally::new(self.map.len(), rows);
        let count = |tally: &mut Tally, cells: &[u32]| tally.count(cells, Ahead::default());
        let found = self.pass(columns, &reading, threads, &|_, _| 0, start, count);
        found.map(|(others, tallies)| {
            let mut counts = vec![0; self.map.len()];
            for tally in tallies {
                tally.add_to(&mut counts);
            }
            let gathered = self.complete(others, |cell| counts[cell]);
            (counts, gathered)
        })
    }

    /// Pass over columns and keep what is not usual in the wanted cells; show all cells to `watch`, with a state that `start`
    /// makes for a column of so many rows. `rows` says how many rows are expected.
    fn pass<S: Send, const N: usize>(
        &self,
        columns: [&Column<'_>; N],
        reading: &Reading<K>,
        threads: Option<usize>,
        rows: &(impl Fn(usize, usize) -> u64 + Sync),
        start: impl Fn(usize, usize) -> S + Sync,
        watch: impl Fn(&mut S, &[u32]) + Sync,
    ) -> [(Vec<Vec<K>>, Vec<S>); N] {
        let tasks = Task::of(&columns);
        let all = columns.iter().map(|column| column.len()).sum();
        let threads = parallel::threads_for(threads, all);
        let none = || vec![Vec::new(); self.cells.len()];
        let state = || {
            let mut side = 0;
            columns.map(|column| {
                side += 1;
                (none(), start(side - 1, column.len()))
            })
        };
        let states = parallel::fold(tasks.len(), threads, state, |state, task| {
            let (side, task) = tasks[task];
            let (found, watched) = &mut state[side];
            let expected = |place: usize| {
                let rows = rows(side, self.cells[place]) as usize;
                (rows / threads + 1).min(RESERVED)
            };
            let watch = |cells: &[u32]| watch(watched, cells);
            self.read_task(columns[side], task, reading, found, expected, watch);
        });
        let mut total = [(); N].map(|()| (none(), Vec::new()));
        for state in states {
            for ((all, watched), (found, one)) in total.iter_mut().zip(state) {
                watched.push(one);
                for (all, mut found) in all.iter_mut().zip(found) {
                    if all.is_empty() {
                        std::mem::swap(all, &mut found);
                    } else {
                        all.append(&mut found);
                    }
                }
            }
        }
        total
    }

    /// Say how many rows hold the usual values: all that are not among the others.
    fn complete(&self, others: Vec<Vec<K>>, rows: impl Fn(usize) -> u64) -> Vec<Gathered<K>> {
        let gathered = others.into_iter().zip(&self.usual).zip(&self.cells);
        let gathered = gathered.map(|((others, usual), cell)| Gathered {
            usual: *usual,
            repeats: (rows(*cell) as usize).saturating_sub(others.len()),
            others,
        });
        gathered.collect()
    }

    /// Leave out what lies before the first wanted cell and after the last, or between two of them, if it holds half of `all` rows.
    fn narrow(&self, reading: Reading<K>, all: u64, rows: impl Fn(usize) -> u64) -> Reading<K> {
        let (Some(&first), Some(&last)) = (self.cells.iter().min(), self.cells.iter().max()) else {
            return reading;
        };
        let span = self.map.span(first, last);
        let infinities = match reading {
            Reading::All(infinities) => infinities,
            Reading::Within(read, gap) => return Reading::Within(span.and(read), gap),
        };
        // The run of unwanted cells that holds the most rows, and the one that is open.
        let (mut widest, mut run, mut held) = ((0, first..first), (0, first..first), 0);
        for cell in first..=last {
            let (cell_rows, is_wanted) = (rows(cell), self.is_wanted(cell));
            held += cell_rows;
            run.0 += cell_rows;
            run.1.end = cell + 1;
            if is_wanted {
                run = (0, cell + 1..cell + 1);
            } else if run.0 > widest.0 {
                widest = run.clone();
            }
        }
        let (in_gap, gap) = widest;
        if 2 * held <= all {
            Reading::Within(span.and(Span::all(infinities)), None)
        } else if 2 * in_gap >= all {
            let gap = self.map.span(gap.start, gap.end - 1);
            Reading::Within(span.and(Span::all(infinities)), Some(gap))
        } else {
            reading
        }
    }

    fn is_wanted(&self, cell: usize) -> bool {
        (self.bits[cell / 32] >> (cell % 32)) & 1 == 1
    }

    fn read_task(
        &self,
        column: &Column<'_>,
        task: Task,
        reading: &Reading<K>,
        found: &mut [Vec<K>],
        expected: impl Fn(usize) -> usize,
        mut watch: impl FnMut(&[u32]),
    ) {
        let (mut cells, mut met) = ([0u32; BLOCK], [0u32; BLOCK]);
        let parts = &mut Parts::default();
        column.read(task, reading, parts, |block, ahead| {
            let cells = &mut cells[..block.len()];
            dispatch::map_cells(self.map, block, cells);
            watch(cells);
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

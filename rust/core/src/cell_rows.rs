//! The rows of chosen cells, gathered in a further pass over columns.
//!
//! Where the chosen cells lie close together, what lies outside is left out by two comparisons, before it is mapped.
//! Rounded values fill cells with one value alone. So each cell has a value that is looked out for, one of a sample's: rows that hold
//! it are not kept, their number follows from the count of the cell, and such cells need next to no memory or time.

use crate::cells::{CellMap, Span};
use crate::column::{Ahead, BLOCK, Column, Infinities, Parts, Reading, Task};
use crate::dispatch;
use crate::domain::Domain;
use crate::parallel;
use crate::tally::Tally;
use std::borrow::Cow;

/// Rows for which a thread has memory from the start, at most.
const RESERVED: usize = 1 << 22;

/// Values gathered from a cell: the one looked out for, how often it was met, and the others.
#[derive(Debug, Clone)]
pub struct Gathered<'a, K: Clone> {
    /// The value looked out for; means nothing when `repeats` is 0.
    pub usual: K,
    /// Rows that hold the usual value.
    pub repeats: usize,
    /// The values of all rows that do not.
    pub others: Cow<'a, [K]>,
}

impl<K: Domain> Gathered<'_, K> {
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

    /// All values, in no order.
    pub fn to_values(&self) -> Vec<K> {
        let mut values = Vec::with_capacity(self.len());
        values.extend_from_slice(&self.others);
        values.resize(self.len(), self.usual);
        values
    }

    /// Add the keys of all values, in no order.
    pub(crate) fn keys_into(&self, keys: &mut Vec<u64>) {
        keys.extend(self.others.iter().map(|value| value.key()));
        keys.resize(keys.len() + self.repeats, self.usual.key());
    }
}

/// The rows gathered from the wanted cells of a column, cell by cell.
#[derive(Debug, Clone)]
pub struct CellRows<K> {
    usual: Vec<K>,
    repeats: Vec<usize>,
    /// Where the others of each cell start among all others, and their end.
    starts: Vec<usize>,
    others: Vec<K>,
}

impl<K: Domain> CellRows<K> {
    /// The rows of the cell at a place, in the order in which cells were wanted.
    pub fn get(&self, place: usize) -> Gathered<'_, K> {
        Gathered {
            usual: self.usual[place],
            repeats: self.repeats[place],
            others: Cow::Borrowed(&self.others[self.starts[place]..self.starts[place + 1]]),
        }
    }

    /// Rows gathered.
    pub fn len(&self) -> usize {
        self.others.len() + self.repeats.iter().sum::<usize>()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a thread found: values as they came, each with the place of its cell.
#[derive(Debug)]
struct Found<K> {
    places: Vec<u32>,
    values: Vec<K>,
}

impl<K: Domain> Found<K> {
    fn new(rows: usize) -> Self {
        let rows = rows.min(RESERVED);
        Self {
            places: Vec::with_capacity(rows),
            values: Vec::with_capacity(rows),
        }
    }

    /// Order the values of several threads by place; also say where each of `len` places starts, and their end.
    fn arrange(all: &[&Self], len: usize) -> (Vec<usize>, Vec<K>) {
        let mut starts = vec![0; len + 1];
        for place in all.iter().flat_map(|found| &found.places) {
            starts[*place as usize + 1] += 1;
        }
        for place in 1..starts.len() {
            starts[place] += starts[place - 1];
        }
        let mut values = vec![K::default(); starts[len]];
        let mut next = starts.clone();
        for found in all {
            for (place, value) in found.places.iter().zip(&found.values) {
                let next = &mut next[*place as usize];
                values[*next] = *value;
                *next += 1;
            }
        }
        (starts, values)
    }
}

/// Cells of the values of a block, and the rows of those found among them.
pub(crate) struct Places {
    pub(crate) cells: [u32; BLOCK],
    pub(crate) rows: [u32; BLOCK],
}

impl Default for Places {
    fn default() -> Self {
        let (cells, rows) = ([0; BLOCK], [0; BLOCK]);
        Self { cells, rows }
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
    ) -> [CellRows<K>; N] {
        let all = columns.iter().map(|column| column.len() as u64).sum();
        let of_all = |cell| (0..N).map(|side| rows(side, cell)).sum::<u64>();
        let reading = self.narrow(reading, all, of_all);
        let nothing = &Column::default();
        let columns = match self.cells.is_empty() {
            true => [nothing; N],
            false => columns,
        };
        let find = |(): &mut (), block: &[K], ahead, found: &mut Places| {
            self.find(block, ahead, found, |_| ())
        };
        let expected = |side| self.expected(side, &rows);
        let states = self.pass(columns, &reading, threads, expected, |_| (), find);
        self.arrange(&found(&states), threads, rows)
    }

    /// Gather the rows of columns as [`Self::gather`] does, with infinities left out, by a function that finds the wanted ones
    /// among the values of a block, with a state that `start` makes for each column and thread.
    pub(crate) fn gather_by<S: Send + Sync, const N: usize>(
        &self,
        columns: [&Column<'_>; N],
        rows: impl Fn(usize, usize) -> u64 + Sync,
        threads: Option<usize>,
        start: impl Fn() -> S + Sync,
        find: impl Fn(&mut S, &[K], Ahead, &mut Places) -> usize + Sync,
    ) -> (Vec<[S; N]>, [CellRows<K>; N]) {
        let all = Reading::All(Infinities::Leave);
        let expected = |side| self.expected(side, &rows);
        let states = self.pass(columns, &all, threads, expected, |_| start(), find);
        let rows = self.arrange(&found(&states), threads, rows);
        let states = states
            .into_iter()
            .map(|state| state.map(|(_, state)| state));
        (states.collect(), rows)
    }

    /// Count the rows per cell of the map, all cells, and gather those of the wanted ones in the same pass.
    pub fn count_and_gather<const N: usize>(
        &self,
        columns: [&Column<'_>; N],
        reading: Reading<K>,
        threads: Option<usize>,
    ) -> ([Vec<u64>; N], [CellRows<K>; N]) {
        let start = |rows| Tally::new(self.map.len(), rows);
        let find = |tally: &mut Tally, block: &[K], ahead, found: &mut Places| {
            self.find(block, ahead, found, |cells| {
                tally.count(cells, Ahead::default());
            })
        };
        let states = self.pass(columns, &reading, threads, |_| 0, start, find);
        let mut counts = [(); N].map(|()| vec![0; self.map.len()]);
        let uncounted = states.into_iter().map(|state| {
            let mut side = 0;
            state.map(|(found, tally)| {
                tally.add_to(&mut counts[side]);
                side += 1;
                (found, ())
            })
        });
        let states: Vec<_> = uncounted.collect();
        let rows = self.arrange(&found(&states), threads, |side, cell| counts[side][cell]);
        (counts, rows)
    }

    /// Rows of a column in the wanted cells.
    fn expected(&self, side: usize, rows: impl Fn(usize, usize) -> u64) -> u64 {
        self.cells.iter().map(|cell| rows(side, *cell)).sum()
    }

    /// Pass over columns and keep what is not usual in the wanted cells. `find` says how many of a block's values lie in these, and
    /// where; it has a state that `start` makes for a column of so many rows. `expected` says how many rows of a column will be
    /// kept, about.
    fn pass<S: Send, const N: usize>(
        &self,
        columns: [&Column<'_>; N],
        reading: &Reading<K>,
        threads: Option<usize>,
        expected: impl Fn(usize) -> u64 + Sync,
        start: impl Fn(usize) -> S + Sync,
        find: impl Fn(&mut S, &[K], Ahead, &mut Places) -> usize + Sync,
    ) -> Vec<[(Found<K>, S); N]> {
        let tasks = Task::of(&columns);
        let all = columns.iter().map(|column| column.len()).sum();
        let threads = parallel::threads_for(threads, all);
        let state = || {
            let mut side = 0;
            columns.map(|column| {
                // Threads seldom do the same work; an eighth more spares the second half of memory.
                let rows = expected(side) as usize / threads;
                side += 1;
                (Found::new(rows + rows / 8), start(column.len()))
            })
        };
        parallel::fold(tasks.len(), threads, state, |state, task| {
            let (side, task) = tasks[task];
            let (found, state) = &mut state[side];
            self.read_task(
                columns[side],
                task,
                reading,
                found,
                |block, ahead, places| find(state, block, ahead, places),
            );
        })
    }

    /// Order what threads found by cell; `rows` says how many of a column lie in a cell, usual values included.
    fn arrange<const N: usize>(
        &self,
        found: &[Vec<&Found<K>>; N],
        threads: Option<usize>,
        rows: impl Fn(usize, usize) -> u64,
    ) -> [CellRows<K>; N] {
        let kept = found.iter().flatten().map(|found| found.values.len()).sum();
        let threads = parallel::threads_for(threads, kept);
        let mut arranged = parallel::map(N, threads, |side| {
            Found::arrange(&found[side], self.cells.len())
        })
        .into_iter();
        let mut side = 0;
        [(); N].map(|()| {
            let (starts, others) = arranged.next().unwrap_or_default();
            let others_of = |place: usize| starts[place + 1] - starts[place];
            let repeats = self.cells.iter().enumerate().map(|(place, cell)| {
                // All that are not among the others hold the usual value.
                (rows(side, *cell) as usize).saturating_sub(others_of(place))
            });
            let repeats = repeats.collect();
            side += 1;
            CellRows {
                usual: self.usual.clone(),
                repeats,
                starts,
                others,
            }
        })
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

    /// Find the wanted cells' values in a block; show all cells to `watch`.
    fn find(
        &self,
        block: &[K],
        ahead: Ahead,
        found: &mut Places,
        watch: impl FnOnce(&[u32]),
    ) -> usize {
        let cells = &mut found.cells[..block.len()];
        dispatch::map_cells(self.map, block, cells);
        watch(cells);
        dispatch::pick(&self.bits, cells, ahead, &mut found.rows)
    }

    fn read_task(
        &self,
        column: &Column<'_>,
        task: Task,
        reading: &Reading<K>,
        found: &mut Found<K>,
        mut find: impl FnMut(&[K], Ahead, &mut Places) -> usize,
    ) {
        let mut met = Places::default();
        let parts = &mut Parts::default();
        column.read(task, reading, parts, |block, ahead| {
            let count = find(block, ahead, &mut met);
            for &row in &met.rows[..count] {
                let (cell, value) = (met.cells[row as usize], block[row as usize]);
                let place = self.places[cell as usize];
                if value != self.usual[place as usize] {
                    found.places.push(place);
                    found.values.push(value);
                }
            }
        });
    }
}

/// What the threads found of each column.
fn found<K, S, const N: usize>(states: &[[(Found<K>, S); N]]) -> [Vec<&Found<K>>; N] {
    let mut side = 0;
    [(); N].map(|()| {
        let found = states.iter().map(|state| &state[side].0).collect();
        side += 1;
        found
    })
}

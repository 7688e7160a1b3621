//! The Wasserstein distance of order 1 of two samples, without sorting most of them.
//!
//! `W = int |F(x) - G(x)| dx`, F and G being the samples' distribution functions.
//!
//! What is clever: in a cell where `F - G` cannot change its sign, the integral follows from the number of rows and the sum
//! of their offsets, which one pass counts for all cells ([`crate::offsets`]; in integers, so that neither threads nor
//! chunks matter). Only cells where the sign may change are gathered and sorted, and those where the integral is small
//! against its parts, so that no digits cancel; all that is added up is at least 0. Bench:
//! benches/drift/test_wasserstein.py; tests: this module and tests/drift/test_distances.py.

use crate::cell_rows::{Gathered, Wanted};
use crate::cells::CellMap;
use crate::column::{BLOCK, Column, Infinities, Parts, TASK_ROWS, Task};
use crate::dispatch;
use crate::domain::{Common, Domain};
use crate::error::Error;
use crate::ks;
use crate::merge;
use crate::offsets::{self, Grid, of_key};
use crate::parallel;
use crate::select;

/// Up to this many rows in all, sorting both samples is as fast as counting.
const SORT_UP_TO: usize = 1 << 14;
/// Cells: the more rows, the more cells. At 16 bytes each the most fill a second-level cache; drifted samples would be a tenth
/// faster with half as many, undrifted ones, which sort twice the rows then, up to a third slower.
const CELLS: std::ops::RangeInclusive<usize> = 4_096..=65_536;
/// Rows per cell aimed at.
const ROWS_PER_CELL: usize = 32;
/// Cells per distinct value of the sample, at most.
const CELLS_PER_DISTINCT: usize = 8;
/// A cell's integral is taken from its sums if it is at least the sum of their sizes divided by this: four bits may cancel.
const CANCELLED: f64 = 16.0;
/// Cells that one task sorts and integrates.
const PIECES_PER_TASK: usize = 64;
/// Integers up to this size are floats without rounding.
const WHOLE_FLOATS: f64 = 9_007_199_254_740_992.0;

/// The distance and what was counted apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// The distance, in the unit of the values.
    pub statistic: f64,
    /// Parts of the reference.
    pub reference: Parts,
    /// Parts of the current sample.
    pub current: Parts,
}

/// Measure the distance between two columns; missing values and NaN are left out.
///
/// It is infinite when an infinity has not the same share in both samples.
///
/// # Errors
/// [`Error::Input`] when one of the columns holds no number.
///
/// ```
/// use tidewheel_core::column::{Column, Values};
/// use tidewheel_core::wasserstein::distance;
/// let (reference, current) = ([0.0, 1.0, 3.0], [5.0, 6.0, 8.0]);
/// let found = distance(&Column::from(Values::F64(&reference)), &Column::from(Values::F64(&current)), None)?;
/// assert_eq!(found.statistic, 5.0);
/// # Ok::<(), tidewheel_core::Error>(())
/// ```
pub fn distance(
    reference: &Column<'_>,
    current: &Column<'_>,
    threads: Option<usize>,
) -> Result<Distance, Error> {
    if reference.len() + current.len() > SORT_UP_TO {
        let whole = match reference.common(current) {
            Common::Float => true,
            Common::Signed => are_whole::<i64>(reference, current, threads),
            Common::Unsigned => are_whole::<u64>(reference, current, threads),
        };
        if whole {
            let sample = ks::sample_both::<f64>(reference, current, threads);
            if let Some(grid) = choose_grid(reference.len() + current.len(), &sample) {
                return by_cells(reference, current, &grid, &sample, threads);
            }
        }
    }
    match reference.common(current) {
        Common::Float => sorted::<f64>(reference, current),
        Common::Signed => sorted::<i64>(reference, current),
        Common::Unsigned => sorted::<u64>(reference, current),
    }
}

/// Say whether floats hold all values without rounding.
fn are_whole<K: Domain>(
    reference: &Column<'_>,
    current: &Column<'_>,
    threads: Option<usize>,
) -> bool {
    [reference, current].into_iter().all(|column| {
        select::range::<K>(column, threads)
            .0
            .is_none_or(|(low, high)| {
                low.to_f64() >= -WHOLE_FLOATS && high.to_f64() <= WHOLE_FLOATS
            })
    })
}

fn choose_grid(rows: usize, sample: &[f64]) -> Option<Grid> {
    let cells = (rows / ROWS_PER_CELL).next_power_of_two();
    // Rounded values need no more cells than set them apart: a smaller table is faster.
    let distinct = sample.chunk_by(|a, b| a == b).count();
    let most = (CELLS_PER_DISTINCT * distinct).next_power_of_two();
    let cells = cells.min(most).clamp(*CELLS.start(), *CELLS.end());
    let keyed = || {
        let (first, last) = (*sample.first()?, *sample.last()?);
        Grid::new(CellMap::between_keys(first, last, cells))
    };
    Grid::new(CellMap::choose(sample, cells)).or_else(keyed)
}

/// How `d = m i - n j` after `i` reference and `j` current rows becomes `F - G`.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    n: u64,
    m: u64,
    /// `d` below all finite values; 0 unless minus infinity has not the same share in both samples.
    start: i128,
    /// `d` lost to plus infinity.
    end: i128,
}

impl Sizes {
    fn new(reference: &Parts, current: &Parts) -> Result<Self, Error> {
        let (n, m) = (reference.numbers(), current.numbers());
        if n == 0 || m == 0 {
            return Err(Error::no_numbers(n, m));
        }
        let sizes = Self {
            n,
            m,
            start: 0,
            end: 0,
        };
        Ok(Self {
            start: sizes.step(reference.infinite_below, current.infinite_below),
            end: sizes.step(reference.infinite_above, current.infinite_above),
            ..sizes
        })
    }

    /// What `r` reference and `c` current rows add to `d`.
    fn step(&self, r: u64, c: u64) -> i128 {
        i128::from(self.m) * i128::from(r) - i128::from(self.n) * i128::from(c)
    }

    /// `F - G` where `d` is given.
    fn difference(&self, d: i128) -> f64 {
        to_float(d) / (self.n as f64 * self.m as f64)
    }

    fn is_infinite(&self) -> bool {
        self.start != 0 || self.end != 0
    }
}

/// An integer as a float. Most fit 64 bits, which turn into a float much faster.
fn to_float(integer: i128) -> f64 {
    i64::try_from(integer).map_or_else(|_| integer as f64, |integer| integer as f64)
}

/// A sum that carries what each addition rounds away (Neumaier 1974).
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    total: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, term: f64) {
        let total = self.total + term;
        self.lost += if self.total.abs() >= term.abs() {
            (self.total - total) + term
        } else {
            (term - total) + self.total
        };
        self.total = total;
    }

    fn value(&self) -> f64 {
        if self.total.is_finite() {
            self.total + self.lost
        } else {
            self.total
        }
    }
}

/// The integral of `|F - G|` as far as it has come; all terms are at least 0.
struct Integral<'a, K> {
    sizes: &'a Sizes,
    sum: Sum,
    d: i128,
    at: Option<K>,
}

impl<'a, K: Domain> Integral<'a, K> {
    /// Start at `at` (or at the first value met), where `d` is given.
    fn new(sizes: &'a Sizes, d: i128, at: Option<K>) -> Self {
        let sum = Sum::default();
        Self { sizes, sum, d, at }
    }

    /// Go on to `next`, which no value since then lies below.
    fn reach(&mut self, next: K) {
        // Where F and G are equal an infinite gap must not make NaN.
        if let (Some(at), true) = (self.at, self.d != 0) {
            self.sum
                .add(self.sizes.difference(self.d).abs() * at.gap(next));
        }
        self.at = Some(next);
    }

    fn pass(&mut self, value: K, r: usize, c: usize) {
        self.reach(value);
        self.d += self.sizes.step(r as u64, c as u64);
    }

    fn pass_all(&mut self, r: &mut [K], c: &mut [K]) {
        merge::sort(r);
        merge::sort(c);
        merge::walk(r, c, |value, r, c| self.pass(value, r, c));
    }
}

fn sorted<K: Domain>(reference: &Column<'_>, current: &Column<'_>) -> Result<Distance, Error> {
    let (mut r, reference) = select::collect::<K>(reference, Infinities::Leave);
    let (mut c, current) = select::collect::<K>(current, Infinities::Leave);
    let sizes = Sizes::new(&reference, &current)?;
    let mut statistic = f64::INFINITY;
    if !sizes.is_infinite() {
        let mut integral = Integral::new(&sizes, 0, None);
        integral.pass_all(&mut r, &mut c);
        statistic = integral.sum.value();
    }
    Ok(Distance {
        statistic,
        reference,
        current,
    })
}

/// Rows of a cell and the sum of their offsets.
#[derive(Debug, Clone, Copy, Default)]
struct Cell<C, S> {
    rows: C,
    offsets: S,
}

impl Cell<u32, i64> {
    fn widen(&self) -> Cell<u64, i128> {
        let (rows, offsets) = (self.rows.into(), self.offsets.into());
        Cell { rows, offsets }
    }
}

impl Cell<u64, i128> {
    fn add(&self, other: Self) -> Self {
        let (rows, offsets) = (self.rows + other.rows, self.offsets + other.offsets);
        Self { rows, offsets }
    }
}

/// Tasks after which the sums of offsets may be full.
const FULL_AFTER: usize = offsets::ROWS_THAT_FIT / TASK_ROWS;

/// What is counted of a column: in narrow numbers first, which are added up in wide ones before one could overflow.
struct Sums {
    narrow: Vec<Cell<u32, i64>>,
    /// None as long as the narrow ones hold all.
    wide: Vec<Cell<u64, i128>>,
    tasks: usize,
    parts: Parts,
}

impl Sums {
    fn new(cells: usize) -> Self {
        Self {
            narrow: vec![Cell::default(); cells],
            wide: Vec::new(),
            tasks: 0,
            parts: Parts::default(),
        }
    }

    fn count(&mut self, column: &Column<'_>, task: Task, grid: &Grid) {
        if self.tasks == FULL_AFTER {
            self.flush();
        }
        self.tasks += 1;
        let narrow = &mut self.narrow;
        let (mut cells, mut offsets) = ([0u32; BLOCK], [0i64; BLOCK]);
        column.blocks_ahead::<f64>(task, Infinities::Leave, &mut self.parts, |block, ahead| {
            let (cells, offsets) = (&mut cells[..block.len()], &mut offsets[..block.len()]);
            dispatch::locate(grid, block, cells, offsets);
            for (row, (cells, offsets)) in
                (0..).step_by(8).zip(cells.chunks(8).zip(offsets.chunks(8)))
            {
                ahead.fetch(row);
                for (cell, offset) in cells.iter().zip(offsets) {
                    if let Some(cell) = narrow.get_mut(*cell as usize) {
                        cell.rows += 1;
                        // In the open outer cells offsets mean nothing and may overflow.
                        cell.offsets = cell.offsets.wrapping_add(*offset);
                    }
                }
            }
        });
    }

    fn flush(&mut self) {
        self.tasks = 0;
        self.wide.resize(self.narrow.len(), Cell::default());
        for (wide, narrow) in self.wide.iter_mut().zip(&mut self.narrow) {
            *wide = wide.add(narrow.widen());
            *narrow = Cell::default();
        }
    }

    fn get(&self, cell: usize) -> Cell<u64, i128> {
        let narrow = self.narrow[cell].widen();
        self.wide.get(cell).map_or(narrow, |wide| wide.add(narrow))
    }

    fn add(mut self, other: Self) -> Self {
        self.parts.add(&other.parts);
        self.flush();
        for (cell, wide) in self.wide.iter_mut().enumerate() {
            *wide = wide.add(other.get(cell));
        }
        self
    }
}

/// Count two columns in one go.
fn count(columns: [&Column<'_>; 2], grid: &Grid, threads: Option<usize>) -> [Sums; 2] {
    let tasks = Task::of(&columns);
    let threads = parallel::threads_for(threads, columns[0].len() + columns[1].len());
    let start = || [(); 2].map(|()| Sums::new(grid.map.len()));
    let states = parallel::fold(tasks.len(), threads, start, |sums, task| {
        let (side, task) = tasks[task];
        sums[side].count(columns[side], task, grid);
    });
    let add = |[r, c]: [Sums; 2], [more_r, more_c]: [Sums; 2]| [r.add(more_r), c.add(more_c)];
    states.into_iter().reduce(add).unwrap_or_else(start)
}

/// A cell to be sorted: its number and rows, `d` before its first row, and its borders, if it has them.
#[derive(Debug, Clone, Copy)]
struct Piece {
    cell: usize,
    rows: [u64; 2],
    d: i128,
    from: Option<f64>,
    to: Option<f64>,
}

fn by_cells(
    reference: &Column<'_>,
    current: &Column<'_>,
    grid: &Grid,
    sample: &[f64],
    threads: Option<usize>,
) -> Result<Distance, Error> {
    let columns = [reference, current];
    let [r, c] = count(columns, grid, threads);
    let sizes = Sizes::new(&r.parts, &c.parts)?;
    let mut statistic = f64::INFINITY;
    if !sizes.is_infinite() {
        let (mut sum, pieces) = sum_certain(&r, &c, grid, &sizes);
        let cells = pieces.iter().map(|piece| piece.cell);
        let wanted = Wanted::new(&grid.map, cells, sample);
        let rows = [0, 1].map(|side| {
            pieces
                .iter()
                .map(|piece| piece.rows[side])
                .collect::<Vec<_>>()
        });
        let gathered = wanted.gather(columns, [&rows[0], &rows[1]], Infinities::Leave, threads);
        sum.add(sort_rest(&gathered, &pieces, &sizes, threads));
        statistic = sum.value();
    }
    Ok(Distance {
        statistic,
        reference: r.parts,
        current: c.parts,
    })
}

/// Add up the gaps between cells and the cells whose sums are enough; return the others.
fn sum_certain(r: &Sums, c: &Sums, grid: &Grid, sizes: &Sizes) -> (Sum, Vec<Piece>) {
    let (mut sum, mut pieces) = (Sum::default(), Vec::new());
    let (mut d, mut at, mut end) = (0i128, None, 0);
    let last = grid.map.len() - 1;
    for cell in 0..=last {
        let (r, c) = (r.get(cell), c.get(cell));
        if r.rows == 0 && c.rows == 0 {
            continue;
        }
        // Borders are dear: most cells begin where the last one ended.
        let from = if cell == end && cell > 0 {
            at
        } else {
            (cell > 0).then(|| grid.start(cell))
        };
        let to = (cell < last).then(|| grid.start(cell + 1));
        if let (Some(at), Some(from), true) = (at, from, d != 0) {
            sum.add(sizes.difference(d).abs() * (from - at));
        }
        let rows = [r.rows, c.rows];
        let piece = Piece {
            cell,
            rows,
            d,
            from,
            to,
        };
        match integral_of_sums(&r, &c, grid, sizes, &piece) {
            Some(integral) => sum.add(integral),
            None => pieces.push(piece),
        }
        (at, end) = (to, cell + 1);
        d += sizes.step(r.rows, c.rows);
    }
    (sum, pieces)
}

/// Integrate over a cell by its sums; `None` if the sign may change, or too many digits would cancel.
fn integral_of_sums(
    r: &Cell<u64, i128>,
    c: &Cell<u64, i128>,
    grid: &Grid,
    sizes: &Sizes,
    piece: &Piece,
) -> Option<f64> {
    let (from, to) = (piece.from?, piece.to?);
    let keeps_sign = piece.d + sizes.step(0, c.rows) >= 0 || piece.d + sizes.step(r.rows, 0) <= 0;
    if !keeps_sign {
        return None;
    }
    let (origin, unit) = grid.origin(piece.cell);
    // Each row adds its share from where it lies to the end of the cell.
    let beyond = |cell: &Cell<u64, i128>, rows: u64| {
        (cell.rows as f64 * (to - origin) - to_float(cell.offsets) * unit) / rows as f64
    };
    let difference = sizes.difference(piece.d);
    let integral = difference * (to - from) + beyond(r, sizes.n) - beyond(c, sizes.m);
    let shares = r.rows as f64 / sizes.n as f64 + c.rows as f64 / sizes.m as f64;
    let parts = (difference.abs() + shares) * (to - from);
    (integral.abs() * CANCELLED >= parts).then_some(integral.abs())
}

/// Sort the rows of the other cells, and integrate.
fn sort_rest(
    [r, c]: &[Vec<Gathered<f64>>; 2],
    pieces: &[Piece],
    sizes: &Sizes,
    threads: Option<usize>,
) -> f64 {
    let rows = r.iter().chain(c).map(Gathered::len).sum();
    let task = |task: usize| {
        let first = task * PIECES_PER_TASK;
        let pieces = pieces.iter().enumerate().skip(first).take(PIECES_PER_TASK);
        let (mut sum, mut keys) = (Sum::default(), Vec::new());
        for (slot, piece) in pieces {
            sum.add(integrate_piece(&r[slot], &c[slot], sizes, piece, &mut keys));
        }
        sum.value()
    };
    let tasks = pieces.len().div_ceil(PIECES_PER_TASK);
    let mut sum = Sum::default();
    for part in parallel::map(tasks, parallel::threads_for(threads, rows), task) {
        sum.add(part);
    }
    sum.value()
}

fn integrate_piece(
    r: &Gathered<f64>,
    c: &Gathered<f64>,
    sizes: &Sizes,
    piece: &Piece,
    keys: &mut Vec<u64>,
) -> f64 {
    let mut integral = Integral::new(sizes, piece.d, piece.from);
    // Both look out for the same value.
    if r.others.is_empty() && c.others.is_empty() {
        integral.pass(r.usual, r.repeats, c.repeats);
    } else {
        integral.pass_gathered(r, c, keys);
    }
    if let Some(to) = piece.to {
        integral.reach(to);
    }
    integral.sum.value()
}

/// Terms added up plainly before the sum that carries what is lost: too few to lose a digit that counts.
const PLAIN_TERMS: usize = 64;

impl Integral<'_, f64> {
    /// Go on over the rows of a cell, by their keys if these leave a bit free and no number overflows.
    fn pass_gathered(&mut self, r: &Gathered<f64>, c: &Gathered<f64>, keys: &mut Vec<u64>) {
        let Sizes { n, m, .. } = *self.sizes;
        keys.clear();
        r.keys_into(keys);
        c.keys_into(keys);
        let ends = |(low, high): (u64, u64), key: &u64| (low.min(*key), high.max(*key));
        let (low, high) = keys.iter().fold((u64::MAX, 0), ends);
        let is_narrow = high - low < 1 << 63 && (of_key(high) - of_key(low)).is_finite();
        let fits = n.checked_mul(m).is_some_and(|most| most < 1 << 62);
        if is_narrow && fits {
            self.pass_keys(keys, r.len(), low, [m as i64, -(n as i64)]);
        } else {
            let (mut all_r, mut all_c) = (Vec::new(), Vec::new());
            r.copy_into(&mut all_r);
            c.copy_into(&mut all_c);
            self.pass_all(&mut all_r, &mut all_c);
        }
    }

    /// Go on over keys from `low` on, the first `len` of them the reference's; `steps` is what a row of either adds to `d`.
    ///
    /// What is clever: distances from the least key are sorted as integers, the sample in their lowest bit, and then
    /// integrated without a branch: between equal values lies no gap, so their order does not matter.
    fn pass_keys(&mut self, keys: &mut [u64], len: usize, low: u64, steps: [i64; 2]) {
        let (reference, current) = keys.split_at_mut(len);
        reference
            .iter_mut()
            .for_each(|key| *key = (*key - low) << 1);
        current
            .iter_mut()
            .for_each(|key| *key = ((*key - low) << 1) | 1);
        keys.sort_unstable();
        self.reach(of_key(low));
        let (mut d, mut at, unit) = (self.d as i64, of_key(low), self.sizes.difference(1));
        for keys in keys.chunks(PLAIN_TERMS) {
            let mut sum = 0.0;
            for key in keys {
                let value = of_key(low + (key >> 1));
                sum += (d as f64).abs() * unit * (value - at);
                (d, at) = (d + steps[(key & 1) as usize], value);
            }
            self.sum.add(sum);
        }
        (self.d, self.at) = (d.into(), Some(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::{Chunk, Values};
    use proptest::prelude::*;

    fn column(values: &[f64]) -> Column<'_> {
        Column::new(vec![Chunk {
            values: Values::F64(values),
            validity: None,
        }])
    }

    /// `sum |F - G| gap` over the sorted values, in whole numbers as far as they go.
    fn naive(r: &[f64], c: &[f64]) -> f64 {
        let mut all: Vec<f64> = r.iter().chain(c).copied().collect();
        all.sort_by(f64::total_cmp);
        let count = |side: &[f64], at: f64| side.iter().filter(|value| **value <= at).count();
        let term = |pair: &[f64]| {
            let (f, g) = (count(r, pair[0]) * c.len(), count(c, pair[0]) * r.len());
            f.abs_diff(g) as f64 * (pair[1] - pair[0])
        };
        all.windows(2).map(term).sum::<f64>() / (r.len() * c.len()) as f64
    }

    fn cells(r: &[f64], c: &[f64], grid: &Grid) -> f64 {
        by_cells(&column(r), &column(c), grid, &[], None)
            .unwrap()
            .statistic
    }

    /// Grids of either kind over two samples, so coarse and narrow that small samples meet every case.
    fn grids(r: &[f64], c: &[f64], cells: usize) -> Vec<Grid> {
        let ends = r
            .iter()
            .chain(c)
            .fold((f64::MAX, f64::MIN), |(low, high), value| {
                (low.min(*value), high.max(*value))
            });
        let (low, high) = (ends.0 + (ends.1 - ends.0) / 8.0, ends.1);
        let maps = [
            CellMap::between(low, high, cells),
            Some(CellMap::between_keys(low, high, 8_192)),
        ];
        maps.into_iter().flatten().filter_map(Grid::new).collect()
    }

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-12 * expected
    }

    proptest! {
        #[test]
        fn cells_and_sorting_agree_with_the_definition(
            r in prop::collection::vec(-40i32..40, 1..150),
            c in prop::collection::vec(-40i32..40, 1..150),
            noise in 0.0f64..1.0,
            shift in -20.0f64..20.0,
            count in 3usize..60,
        ) {
            let spread = |(i, value): (usize, i32)| f64::from(value) + noise * ((i * 7919) % 101) as f64 / 101.0;
            let r: Vec<f64> = r.into_iter().enumerate().map(spread).collect();
            let c: Vec<f64> = c.into_iter().enumerate().map(spread).map(|value| value + shift).collect();
            let expected = naive(&r, &c);
            let found = distance(&column(&r), &column(&c), None).unwrap().statistic;
            prop_assert!(close(found, expected), "{found} {expected}");
            for grid in grids(&r, &c, count) {
                let found = cells(&r, &c, &grid);
                prop_assert!(close(found, expected), "{found} {expected} {grid:?}");
            }
        }
    }

    #[test]
    fn differences_far_below_a_cell_keep_their_digits() {
        // Every value moves by 1e-9, up and down in turn: the sums of a cell alone would leave few digits.
        let r: Vec<f64> = (0..40_000).map(|i| f64::from(i % 1_000)).collect();
        let c: Vec<f64> = (0..40_000)
            .map(|i| f64::from(i % 1_000) + if i % 2 == 0 { 1e-9 } else { -1e-9 })
            .collect();
        let found = distance(&column(&r), &column(&c), None).unwrap().statistic;
        let moved = r.iter().zip(&c).map(|(a, b)| (a - b).abs()).sum::<f64>() / 40_000.0;
        assert!(close(found, moved), "{found} {moved}");
    }

    #[test]
    fn sums_that_cancel_are_not_trusted() {
        // Reference values end a cell, current values begin the next: there F - G is above 0 for the least moment, and
        // inside a cell it is 0 but at the ends, where the sums of offsets cancel to nothing.
        for map in [
            CellMap::between(-1.0, 3.0, 5_000),
            Some(CellMap::between_keys(1.0, 3.0, 5_000)),
        ] {
            let grid = map.and_then(Grid::new).unwrap();
            let borders: Vec<f64> = (100..4_000).map(|cell| grid.start(cell)).collect();
            for away in [0.0, 1e-15, 1e-12, 1e-9] {
                let r: Vec<f64> = borders
                    .iter()
                    .map(|at| (at - away).min(at.next_down()))
                    .collect();
                let c: Vec<f64> = borders.iter().map(|at| at + away).collect();
                let gaps = r.iter().zip(&c).map(|(r, c)| c - r).sum::<f64>();
                let (found, expected) = (cells(&r, &c, &grid), gaps / borders.len() as f64);
                assert!(close(found, expected), "{found} {expected} {away}");
            }
        }
    }

    #[test]
    fn cells_too_wide_for_keys_are_sorted_by_value() {
        // One cell, across 0, whose least and greatest keys lie more than 2^63 apart; then an open one whose width overflows.
        let narrow = CellMap::between(-1.0, 1.0, 3).and_then(Grid::new).unwrap();
        for (r, c) in [
            ([-3e4, 5.0, 1e5], [-2e5, 7.0, 4e4]),
            ([-f64::MAX, 0.0, 1.0], [-f64::MAX, 2.0, 1.0]),
        ] {
            let wide = CellMap::between(-1e6, 1e6, 3).and_then(Grid::new).unwrap();
            for grid in [wide, narrow] {
                let (found, expected) = (cells(&r, &c, &grid), naive(&r, &c));
                assert!(close(found, expected), "{found} {expected}");
            }
        }
    }

    #[test]
    fn infinities_count_by_their_shares() {
        let (inf, one) = (f64::INFINITY, [0.0, f64::INFINITY, f64::NEG_INFINITY]);
        let wasserstein =
            |r: &[f64], c: &[f64]| distance(&column(r), &column(c), None).unwrap().statistic;
        assert_eq!(wasserstein(&one, &[3.0, inf, -inf]), 1.0);
        assert_eq!(wasserstein(&one, &[3.0, inf, inf]), inf);
        assert_eq!(wasserstein(&[inf], &[inf, inf]), 0.0);
        assert!(distance(&column(&[]), &column(&[1.0]), None).is_err());
    }
}

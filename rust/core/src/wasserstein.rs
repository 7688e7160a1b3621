//! The Wasserstein distance of order 1 of two samples, without sorting most of them.
//!
//! `W = int |F(x) - G(x)| dx`, F and G being the samples' distribution functions.
//!
//! What is clever: in a cell where `F - G` cannot change its sign, the integral follows from the number of rows and the sum
//! of their offsets, which one pass counts for all cells ([`crate::offsets`]; in integers, so that neither threads nor
//! chunks matter). Only cells where the sign may change are gathered and sorted, and those where the integral is small
//! against its parts, so that no digits cancel; all that is added up is at least 0. Bench:
//! benches/drift/test_wasserstein.py; tests: this module and tests/drift/test_distances.py.

use crate::cell_rows::{CellRows, Gathered, Wanted};
use crate::cells::CellMap;
use crate::column::{Column, Infinities, Parts, Reading};
use crate::domain::{Common, Domain};
use crate::error::Error;
use crate::integral::{Integral, Sizes, Sum, to_float};
use crate::ks;
use crate::offset_sums::{self, Cell, Sums, count};
use crate::offsets::Grid;
use crate::parallel;
use crate::search::SORT_INLINE;
use crate::select;
use std::ops::Range;

/// Up to this many rows in all, sorting both samples is as fast as counting.
const SORT_UP_TO: usize = 1 << 14;
/// Cells: the more rows, the more cells. At 16 bytes each the most fill a second-level cache; drifted samples would be a tenth
/// faster with half as many, undrifted ones, which sort twice the rows then, up to a third slower.
/// Cells by keys may become one more.
const CELLS: std::ops::RangeInclusive<usize> = 4_096..=offset_sums::CELLS - 1;
/// Rows per cell aimed at.
const ROWS_PER_CELL: usize = 32;
/// Cells per distinct value of the sample, at most.
const CELLS_PER_DISTINCT: usize = 8;
/// A cell's integral is taken from its sums if it is at least the sum of their sizes divided by this: four bits may cancel.
const CANCELLED: f64 = 16.0;
/// Cells that one task integrates by their sums.
const CELLS_PER_TASK: usize = 4_096;
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

/// A cell to be sorted: its number, `d` before its first row, and its borders, if it has them.
#[derive(Debug, Clone, Copy)]
struct Piece {
    cell: usize,
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
        let (mut sum, pieces) = sum_certain(&r, &c, grid, &sizes, threads);
        let cells = pieces.iter().map(|piece| piece.cell).collect();
        let wanted = Wanted::new(&grid.map, cells, sample);
        let rows = |side: usize, cell| [&r, &c][side].rows(cell);
        let gathered = wanted.gather(columns, Reading::All(Infinities::Leave), rows, threads);
        sum.join(&sort_rest(&gathered, &pieces, &sizes, threads));
        statistic = sum.value();
    }
    Ok(Distance {
        statistic,
        reference: r.parts,
        current: c.parts,
    })
}

/// Add up the gaps between cells and the cells whose sums are enough; return the others.
fn sum_certain(
    r: &Sums,
    c: &Sums,
    grid: &Grid,
    sizes: &Sizes,
    threads: Option<usize>,
) -> (Sum, Vec<Piece>) {
    let task = |task: usize| {
        let first = task * CELLS_PER_TASK;
        first..(first + CELLS_PER_TASK).min(grid.map.len())
    };
    let tasks = grid.map.len().div_ceil(CELLS_PER_TASK);
    // `d` before each task, and the last cell with rows.
    let (mut d, mut last, mut starts) = (0i128, None, Vec::with_capacity(tasks));
    for cells in (0..tasks).map(task) {
        starts.push((d, last));
        let (mut rows, mut others) = (0, 0);
        for cell in cells {
            let (r, c) = (r.rows(cell), c.rows(cell));
            (rows, others) = (rows + r, others + c);
            last = if r + c > 0 { Some(cell) } else { last };
        }
        d += sizes.step(rows, others);
    }
    let threads = parallel::threads_for(threads, (r.parts.rows + c.parts.rows) as usize);
    let sums = parallel::map(tasks, threads, |at| {
        let (d, last) = starts[at];
        sum_certain_cells(r, c, grid, sizes, task(at), d, last)
    });
    let (mut sum, mut pieces) = (Sum::default(), Vec::new());
    for (part, mut others) in sums {
        sum.join(&part);
        pieces.append(&mut others);
    }
    (sum, pieces)
}

/// The same for some cells, given `d` before them and the last cell with rows.
fn sum_certain_cells(
    r: &Sums,
    c: &Sums,
    grid: &Grid,
    sizes: &Sizes,
    cells: Range<usize>,
    mut d: i128,
    last: Option<usize>,
) -> (Sum, Vec<Piece>) {
    let start = |cell: usize| (cell < grid.map.len()).then(|| grid.map.start::<f64>(cell));
    let shares = Shares::new(sizes);
    let (mut sum, mut pieces) = (Sum::default(), Vec::new());
    let mut end = last.map_or(0, |last| last + 1);
    let mut at = last.and_then(|_| start(end));
    for cell in cells {
        let (r, c) = (r.get(cell), c.get(cell));
        if r.rows == 0 && c.rows == 0 {
            continue;
        }
        // Borders are dear: most cells begin where the last one ended.
        let from = match cell {
            0 => None,
            _ if cell == end => at,
            _ => start(cell),
        };
        let to = start(cell + 1);
        if let (Some(at), Some(from), true) = (at, from, d != 0) {
            sum.add(sizes.difference(d).abs() * (from - at));
        }
        let piece = Piece { cell, d, from, to };
        let steps = [sizes.step(r.rows, 0), sizes.step(0, c.rows)];
        let keeps_sign = d + steps[1] >= 0 || d + steps[0] <= 0;
        match keeps_sign.then(|| integral_of_sums(&r, &c, grid, &shares, &piece)) {
            Some(Some(integral)) => sum.add(integral),
            _ => pieces.push(piece),
        }
        (at, end) = (to, cell + 1);
        d += steps[0] + steps[1];
    }
    (sum, pieces)
}

/// What one row is of a sample, and `d = 1` of `F - G`: for each of many cells multiplying is faster than dividing.
struct Shares {
    r: f64,
    c: f64,
    d: f64,
}

impl Shares {
    fn new(sizes: &Sizes) -> Self {
        Self {
            r: 1.0 / sizes.n as f64,
            c: 1.0 / sizes.m as f64,
            d: sizes.difference(1),
        }
    }
}

/// Integrate over a cell where the sign does not change, by its sums; `None` if too many digits would cancel.
fn integral_of_sums(
    r: &Cell<u64, f64>,
    c: &Cell<u64, f64>,
    grid: &Grid,
    shares: &Shares,
    piece: &Piece,
) -> Option<f64> {
    let (from, to) = (piece.from?, piece.to?);
    let (origin, unit) = grid.origin(piece.cell);
    // Each row adds its share from where it lies to the end of the cell.
    let beyond = |cell: &Cell<u64, f64>| cell.rows as f64 * (to - origin) - cell.offsets * unit;
    let difference = to_float(piece.d) * shares.d;
    let integral = difference * (to - from) + shares.r * beyond(r) - shares.c * beyond(c);
    let rows = shares.r * r.rows as f64 + shares.c * c.rows as f64;
    let parts = (difference.abs() + rows) * (to - from);
    (integral.abs() * CANCELLED >= parts).then_some(integral.abs())
}

/// Sort the rows of the other cells, and integrate.
fn sort_rest(
    [r, c]: &[CellRows<f64>; 2],
    pieces: &[Piece],
    sizes: &Sizes,
    threads: Option<usize>,
) -> Sum {
    let task = |task: usize| {
        let first = task * PIECES_PER_TASK;
        let pieces = pieces.iter().enumerate().skip(first).take(PIECES_PER_TASK);
        let (mut sum, mut keys) = (Sum::default(), Vec::new());
        for (slot, piece) in pieces {
            sum.join(&integrate_piece(
                &r.get(slot),
                &c.get(slot),
                sizes,
                piece,
                &mut keys,
            ));
        }
        sum
    };
    let tasks = pieces.len().div_ceil(PIECES_PER_TASK);
    let mut sum = Sum::default();
    let rows = (r.len() + c.len()) as u64;
    let threads = match rows < SORT_INLINE {
        true => 1,
        false => parallel::available(threads),
    };
    for part in parallel::map(tasks, threads, task) {
        sum.join(&part);
    }
    sum
}

fn integrate_piece(
    r: &Gathered<'_, f64>,
    c: &Gathered<'_, f64>,
    sizes: &Sizes,
    piece: &Piece,
    keys: &mut Vec<u64>,
) -> Sum {
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
    integral.sum
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
            let borders: Vec<f64> = (100..4_000)
                .map(|cell| grid.map.start::<f64>(cell))
                .collect();
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

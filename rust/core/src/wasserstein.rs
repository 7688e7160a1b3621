//! The Wasserstein distance of order 1 of two samples, without sorting most of them.
//!
//! `W = int |F(x) - G(x)| dx`, F and G being the samples' distribution functions.
//!
//! What is clever: one pass counts rows in narrow cells. In most of these `F - G` cannot change its sign; there the integral is
//! what it were if all rows lay at the origins of their cells, less what they lie beside them for, which is one sum over all
//! rows, each with the sign of its cell (`signed_sums`; in integers, so that neither threads nor chunks matter). The
//! pass that adds it up gathers the rows of the other cells, which are sorted: those where the sign may change, and those where
//! the integral is small against its parts, so that no digits cancel. Where a cell holds one value alone, as in rounded samples,
//! its count is enough.
//! Bench: benches/drift/test_wasserstein.py; tests: this module and tests/drift/test_distances.py.

use crate::atoms::Atoms;
use crate::cell_rows::{CellRows, Gathered, Places, Wanted};
use crate::cells::CellMap;
use crate::column::{Column, Infinities, Parts, Reading};
use crate::domain::{Common, Domain};
use crate::error::Error;
use crate::histogram::{self, Counted};
use crate::integral::{Integral, Sizes, Sum, area, to_float};
use crate::ks;
use crate::offsets::Grid;
use crate::parallel;
use crate::search::SORT_INLINE;
use crate::select;
use crate::signed_sums::{self, CELLS_PER_WORD, Sign, SignedSums, Signs};
use std::ops::Range;

/// Up to this many rows in all, sorting both samples is as fast as counting.
const SORT_UP_TO: usize = 1 << 14;
/// Cells: the more rows, the more cells, up to what two bytes number. Cells by keys may become one more.
const CELLS: std::ops::RangeInclusive<usize> = 4_096..=signed_sums::CELLS - 1;
/// Rows per cell aimed at.
const ROWS_PER_CELL: usize = 32;
/// A cell is added up unsorted if its integral is at least the sum of its parts divided by this: six bits may cancel.
const CANCELLED: i128 = 64;
/// Cells over which one task integrates; a multiple of those of a word of signs.
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
            let columns = [reference, current];
            if let Some(counted) = count(columns, &sample, threads) {
                return by_cells(columns, &counted, &sample, threads);
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

/// Both samples per cell of a grid, and the value of each cell that is known to hold one alone.
struct Counts {
    grid: Grid,
    sides: [Counted; 2],
    lone: Vec<Option<f64>>,
}

/// Count both samples; `None` if no cells fit them.
fn count(columns: [&Column<'_>; 2], sample: &[f64], threads: Option<usize>) -> Option<Counts> {
    if let Some(grid) = Atoms::choose_map(sample).and_then(Grid::new)
        && let Some(atoms) = Atoms::in_cells(grid.map, sample)
    {
        let (sides, lone) = atoms.count(columns, Infinities::Leave, threads);
        return Some(Counts { grid, sides, lone });
    }
    let grid = choose_grid(columns.iter().map(|column| column.len()).sum(), sample)?;
    Some(Counts::new(grid, columns, threads))
}

impl Counts {
    fn new(grid: Grid, columns: [&Column<'_>; 2], threads: Option<usize>) -> Self {
        let all = Reading::All(Infinities::Leave);
        let sides = histogram::count_cells::<f64, 2>(columns, &grid.map, &all, threads);
        let lone = Vec::new();
        Self { grid, sides, lone }
    }

    /// Rows of a sample in a cell.
    fn rows(&self, side: usize, cell: usize) -> u64 {
        self.sides[side].counts[cell]
    }

    /// The value of a cell that is known to hold one alone.
    fn lone(&self, cell: usize) -> Option<f64> {
        self.lone.get(cell).copied().flatten()
    }
}

fn choose_grid(rows: usize, sample: &[f64]) -> Option<Grid> {
    let cells = (rows / ROWS_PER_CELL).next_power_of_two();
    let cells = cells.clamp(*CELLS.start(), *CELLS.end());
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
    columns: [&Column<'_>; 2],
    counts: &Counts,
    sample: &[f64],
    threads: Option<usize>,
) -> Result<Distance, Error> {
    let (grid, [reference, current]) =
        (&counts.grid, counts.sides.each_ref().map(|side| side.parts));
    let sizes = Sizes::new(&reference, &current)?;
    let mut statistic = f64::INFINITY;
    if !sizes.is_infinite() {
        let (mut sum, pieces, signs) = sum_certain(counts, &sizes, threads);
        let wanted = Wanted::new(
            &grid.map,
            pieces.iter().map(|piece| piece.cell).collect(),
            sample,
        );
        let nothing = &Column::default();
        let columns = match signs.is_empty() {
            true => [nothing; 2],
            false => columns,
        };
        let rows = |side: usize, cell: usize| counts.rows(side, cell);
        let start = || SignedSums::new(grid);
        let find = |sums: &mut SignedSums, block: &[f64], ahead, found: &mut Places| {
            sums.add(grid, &signs, block, ahead, found)
        };
        let (sums, gathered) = wanted.gather_by(columns, rows, threads, start, find);
        let beside = [0, 1].map(|side: usize| {
            let mut all = SignedSums::new(grid);
            for sums in &sums {
                all.join(&sums[side]);
            }
            all.value(&grid.scale)
        });
        sum.add(beside[1] / sizes.m as f64 - beside[0] / sizes.n as f64);
        sum.join(&sort_rest(&gathered, &pieces, &sizes, threads));
        statistic = sum.value();
        if !statistic.is_finite() {
            // Sums over cells leave the range of floats sooner than the distance does.
            return sorted::<f64>(columns[0], columns[1]);
        }
        // Rows that were overwritten between the passes may leave less than nothing.
        statistic = statistic.max(0.0);
    }
    Ok(Distance {
        statistic,
        reference,
        current,
    })
}

/// Add up the integral where the sign of `F - G` cannot change, as if each row lay at the origin of its cell; return the other
/// cells, and the signs of all.
fn sum_certain(counts: &Counts, sizes: &Sizes, threads: Option<usize>) -> (Sum, Vec<Piece>, Signs) {
    let len = counts.grid.map.len();
    let task = |task: usize| {
        let first = task * CELLS_PER_TASK;
        first..(first + CELLS_PER_TASK).min(len)
    };
    let tasks = len.div_ceil(CELLS_PER_TASK);
    // `d` before each task, and the last cell with rows.
    let (mut d, mut last, mut starts) = (0i128, None, Vec::with_capacity(tasks));
    for cells in (0..tasks).map(task) {
        starts.push((d, last));
        let [r, c] = counts
            .sides
            .each_ref()
            .map(|side| &side.counts[cells.clone()]);
        d += sizes.step(r.iter().sum(), c.iter().sum());
        let with_rows = r.iter().zip(c).rposition(|(r, c)| r + c > 0);
        last = with_rows.map(|at| cells.start + at).or(last);
    }
    let threads = parallel::threads_for(threads, (sizes.n + sizes.m) as usize);
    let sums = parallel::map(tasks, threads, |at| {
        sum_certain_cells(counts, sizes, task(at), starts[at])
    });
    let (mut sum, mut pieces, mut words) = (Sum::default(), Vec::new(), Vec::new());
    for (part, mut others, signs) in sums {
        sum.join(&part);
        pieces.append(&mut others);
        words.extend(signs);
    }
    (sum, pieces, Signs::new(words.into_iter()))
}

/// The same for some cells, given `d` before them and the last cell with rows; with words of signs.
///
/// What rows lie beside the origins of their cells for, [`crate::signed_sums`] adds up when the signs are known.
fn sum_certain_cells(
    counts: &Counts,
    sizes: &Sizes,
    cells: Range<usize>,
    (mut d, last): (i128, Option<usize>),
) -> (Sum, Vec<Piece>, Vec<u32>) {
    let (grid, len) = (&counts.grid, counts.grid.map.len());
    // Borders are dear, and needed around open cells alone.
    let start = |cell: usize| {
        (1..len)
            .contains(&cell)
            .then(|| grid.map.start::<f64>(cell))
    };
    let (mut sum, mut pieces) = (Sum::default(), Vec::new());
    let mut words = vec![0; cells.len().div_ceil(CELLS_PER_WORD)];
    let unit = sizes.difference(1);
    let mut reach = |at: Option<f64>, d: i128, next: Option<f64>| {
        if let (Some(at), Some(next), true) = (at, next, d != 0) {
            sum.add(area(to_float(d).abs() * unit, at, next));
        }
        next
    };
    // How far the integral has come: between tasks, to the end of the last cell with rows.
    let mut at = last.and_then(|last| start(last + 1));
    let mut last = None;
    for cell in cells.clone() {
        let (r, c) = (counts.rows(0, cell), counts.rows(1, cell));
        if r + c == 0 {
            continue;
        }
        let (up, down) = (sizes.step(r, 0), sizes.step(0, c));
        let sign = match (counts.lone(cell), Sign::in_cell(d, up, down)) {
            (Some(value), _) => {
                at = reach(at, d, Some(value));
                None
            }
            (None, sign @ (Sign::Above | Sign::Below)) if (1..len - 1).contains(&cell) => {
                at = reach(at, d, Some(grid.origin(cell)));
                Some(sign)
            }
            _ => {
                let (from, to) = (start(cell), start(cell + 1));
                reach(at, d, from);
                pieces.push(Piece { cell, d, from, to });
                at = to;
                Some(Sign::Open)
            }
        };
        let place = cell - cells.start;
        let bits = sign.map_or(0, |sign| sign as u32);
        words[place / CELLS_PER_WORD] |= bits << (2 * (place % CELLS_PER_WORD));
        last = Some(cell);
        d += up + down;
    }
    if let Some(last) = last {
        reach(at, d, start(last + 1));
    }
    (sum, pieces, words)
}

impl Sign {
    /// The sign in a cell before which `d` is given, and to which its rows add up and down; open too if too many digits would
    /// cancel, the integral being a small part of what it is the difference of.
    fn in_cell(d: i128, up: i128, down: i128) -> Self {
        let parts = d.abs() + up - down;
        if (d + down) * CANCELLED >= parts {
            Self::Above
        } else if -(d + up) * CANCELLED >= parts {
            Self::Below
        } else {
            Self::Open
        }
    }
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
        let (r, c) = (column(r), column(c));
        let counts = Counts::new(*grid, [&r, &c], None);
        by_cells([&r, &c], &counts, &[], None).unwrap().statistic
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

    /// The distance by sorting, for samples too large for [`naive`].
    fn by_sorting(r: &[f64], c: &[f64]) -> f64 {
        sorted::<f64>(&column(r), &column(c)).unwrap().statistic
    }

    proptest! {
        #[test]
        fn binades_far_apart_are_added_in_their_own_units(binades in 1i32..900, rows in 200usize..3_000, sign in prop::sample::select(vec![1.0, -1.0]),
                                                          shift in -0.2f64..0.2) {
            // One value in so many lies at the far end: sums in the unit of the others would lose what lies below.
            let value = |i: usize, by: f64| {
                let share = ((i * 7_919) % rows) as f64 / rows as f64;
                sign * (f64::from(binades) * (share.powi(4) - 0.5) + by).exp2()
            };
            let r: Vec<f64> = (0..rows).map(|i| value(i, 0.0)).collect();
            let c: Vec<f64> = (0..rows).map(|i| value(i, shift)).collect();
            let ends = r.iter().chain(&c).fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(*value), high.max(*value)));
            let grid = Grid::new(CellMap::between_keys(ends.0, ends.1, 60_000)).unwrap();
            prop_assert!(binades < 40 || grid.scale.groups > 1);
            let (found, expected) = (cells(&r, &c, &grid), by_sorting(&r, &c));
            prop_assert!(close(found, expected), "{found} {expected} {grid:?}");
        }
    }

    #[test]
    fn frequent_values_follow_from_counts() {
        let rounded =
            |i: i32, shift: f64| (f64::from(i * 7_919 % 20_011) / 80.0 + shift).round() / 4.0;
        let r: Vec<f64> = (0..20_011).map(|i| rounded(i, 0.0)).collect();
        for shift in [0.0, 0.3, 40.0] {
            let mut c: Vec<f64> = (0..20_011).map(|i| rounded(i, shift)).collect();
            let counted = |c: &[f64]| {
                let columns = [&column(&r), &column(c)];
                let sample = ks::sample_both::<f64>(columns[0], columns[1], None);
                count(columns, &sample, None).unwrap()
            };
            assert!((0..62).all(|i| counted(&c).lone.contains(&Some(f64::from(i)))));
            let found = distance(&column(&r), &column(&c), None).unwrap().statistic;
            assert!(close(found, by_sorting(&r, &c)), "{found}");
            // A few others beside them, one below all and one above all.
            c.extend([-1e3, 0.1, 7.7, 7.75001, 1e9]);
            assert!(counted(&c).lone.contains(&None));
            let found = distance(&column(&r), &column(&c), None).unwrap().statistic;
            assert!(close(found, by_sorting(&r, &c)), "{found}");
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
            // F is a row ahead of G all along, and 20,000 rows of either lie at the ends of cells: what their offsets round
            // away is as much as what is left of them.
            let (rows, width) = (20_000, borders[1] - borders[0]);
            let mut r = vec![borders[1].next_down(); rows + 1];
            let mut c = vec![borders[20]; rows + 1];
            for border in &borders[1..20] {
                c.extend(vec![border + 1e-7 * width; rows]);
                r.extend(vec![border + 0.999_999_9 * width; rows]);
            }
            let (found, expected) = (cells(&r, &c, &grid), by_sorting(&r, &c));
            assert!(close(found, expected), "{found} {expected}");
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

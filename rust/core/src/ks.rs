//! The exact two-sample Kolmogorov-Smirnov distance without sorting the samples.
//!
//! What is clever: counts per cell give `d = m F - n G` (in whole rows) at every cell border, hence a lower bound `L` for
//! the distance; inside a cell `d` cannot exceed its value at the start by more than `m` times the reference rows there.
//! So only cells whose upper bound reaches `L` matter. They lie around the place of the distance: while they hold many rows, the
//! part of the line in which they lie is counted again, in narrower cells, by a pass that passes over all other rows at the speed
//! of memory. Then their rows are gathered, largest bound first, and sorted: about one in a hundred (bench:
//! benches/drift/test_ks.py). All arithmetic is in integers, so the distance is exact (tests: this module and
//! tests/drift/test_ks.py).

use crate::cell_rows::{CellRows, Gathered, Wanted};
use crate::cells::{CellMap, Span};
use crate::column::{Column, Infinities, Parts, Reading};
use crate::domain::Domain;
use crate::error::Error;
use crate::histogram::{self, Counted};
use crate::merge;
use crate::parallel;
use crate::select;
use std::borrow::Cow;
use std::ops::{Add, Mul, Sub};

/// Up to this many rows in all, sorting both samples is as fast as counting.
const SORT_UP_TO: usize = 1 << 14;
/// Rows of each sample looked at to choose the cells.
pub(crate) const SAMPLE: usize = 1 << 12;
/// Cells of the first pass: the more rows, the more cells, up to what the second-level cache holds.
const CELLS: std::ops::RangeInclusive<usize> = 4_096..=65_536;
/// Rows per cell aimed at.
const ROWS_PER_CELL: usize = 64;
/// Counting a part of the line again in narrower cells costs as much as sorting one in so many of its rows.
const SORT_ONE_IN: u64 = 16;
/// Counting again and again is given up here; values that fall into few cells however narrow are rare.
const ZOOMS: usize = 4;
/// Rows that are kept while counting again, at most: one in so many, of the cells in which the distance is most likely attained.
const KEEP_ONE_IN: u64 = 256;
/// Values are frequent where a sample holds each of them so often, on average.
const FREQUENT: usize = 4;
/// Cells per frequent value.
const CELLS_PER_ATOM: usize = 8;
/// Cells for frequent values. Each is counted in two places; so few of them that the least is counted in lanes.
const ATOM_CELLS: std::ops::RangeInclusive<usize> = 1_024..=16_384;
/// A gathered cell up to this size is sorted; a larger one is cut into cells again.
const SORT_CELL_UP_TO: usize = 1_024;
/// Below this many rows one thread refines all cells.
pub(crate) const SORT_INLINE: usize = 1 << 15;
/// Cutting again and again is given up here, and the cell sorted: only adversarial values get so far.
const DEPTH: usize = 12;

/// Which way the current sample may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alternative {
    /// Either way: the larger of the two one-sided distances.
    TwoSided,
    /// The reference distribution function lies below the current one somewhere (SciPy's `less`).
    Less,
    /// The reference distribution function lies above the current one somewhere (SciPy's `greater`).
    Greater,
}

/// The distance, where it is attained, and what was counted apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance<K> {
    /// The distance times `n m`.
    pub numerator: u128,
    /// The least value at which the distance is attained.
    pub location: K,
    /// +1 if the reference distribution function is the larger there, else -1.
    pub sign: i8,
    /// Reference values used.
    pub n: u64,
    /// Current values used.
    pub m: u64,
    /// Parts of the reference.
    pub reference: Parts,
    /// Parts of the current sample.
    pub current: Parts,
}

impl<K> Distance<K> {
    /// The distance itself.
    pub fn statistic(&self) -> f64 {
        self.numerator as f64 / (u128::from(self.n) * u128::from(self.m)) as f64
    }
}

/// Measure the distance between two columns; missing values and NaN are left out, infinities have their rank.
///
/// # Errors
/// [`Error::Input`] when one of the columns holds no number.
///
/// ```
/// use tidewheel_core::column::{Column, Values};
/// use tidewheel_core::ks::{Alternative, distance};
/// let (reference, current) = ([1.0, 2.0, 3.0, 4.0], [3.0, 3.5, 4.0, 9.0]);
/// let (r, c) = (Column::from(Values::F64(&reference)), Column::from(Values::F64(&current)));
/// let found = distance::<f64>(&r, &c, Alternative::TwoSided, None)?;
/// // Half of the reference lies at or below 2, and nothing of the current sample.
/// assert_eq!((found.statistic(), found.location, found.sign), (0.5, 2.0, 1));
/// # Ok::<(), tidewheel_core::Error>(())
/// ```
pub fn distance<K: Domain>(
    reference: &Column<'_>,
    current: &Column<'_>,
    alternative: Alternative,
    threads: Option<usize>,
) -> Result<Distance<K>, Error> {
    distance_and_cells(reference, current, alternative, threads, |_, _, _| ())
}

/// Measure the distance and show the cells of both columns to `watch`, if the rows were counted into cells at all.
///
/// # Errors
/// As [`distance`].
pub fn distance_and_cells<K: Domain>(
    reference: &Column<'_>,
    current: &Column<'_>,
    alternative: Alternative,
    threads: Option<usize>,
    watch: impl FnOnce(&CellMap, &Counted, &Counted),
) -> Result<Distance<K>, Error> {
    if reference.len() + current.len() <= SORT_UP_TO {
        let (mut r, reference_parts) = select::collect::<K>(reference, Infinities::Keep);
        let (mut c, current_parts) = select::collect::<K>(current, Infinities::Keep);
        let mut search = Search::new(r.len(), c.len(), alternative)?;
        search.sort_and_merge(&mut r, &mut c, 0);
        return search.finish(reference_parts, current_parts);
    }
    let columns = [reference, current];
    let sample = sample_both::<K>(reference, current, threads);
    let rows = reference.len() + current.len();
    let (map, [r, c], lone) = match Atoms::among(&sample) {
        Some(atoms) => {
            let (counted, lone) = atoms.count(columns, threads);
            (atoms.map, counted, lone)
        }
        None => {
            let map = CellMap::choose(&sample, cells_for(rows));
            let all = Reading::All(Infinities::Keep);
            let counted = histogram::count_cells::<K, 2>(columns, &map, &all, threads);
            (map, counted, Vec::new())
        }
    };
    watch(&map, &r, &c);
    let (n, m) = (r.parts.numbers() as usize, c.parts.numbers() as usize);
    let mut search = Search::new(n, m, alternative)?;
    let counts = [r.counts, c.counts].map(Cow::Owned);
    let mut kept = None;
    let level = search.zoom(map, counts, &lone, &sample, |zoom| {
        let wanted = Wanted::new(&zoom.map, zoom.likely.clone(), &sample);
        let within = Reading::Within(zoom.span, None);
        let (counts, rows) = wanted.count_and_gather(columns, within, threads);
        kept = Some((zoom.likely, rows));
        counts
    });
    let (places, [rs, cs]) = level.take(kept).unwrap_or_else(|| {
        let rows = |side: usize, cell: usize| level.counts[side][cell];
        level.gather(columns, &sample, rows, threads)
    });
    let gathered = |place: usize| [rs.get(places[place]), cs.get(places[place])];
    search
        .refine_all(&level, gathered, threads)
        .finish(r.parts, c.parts)
}

/// Cells to lay for so many rows of both samples.
pub(crate) fn cells_for(rows: usize) -> usize {
    (rows / ROWS_PER_CELL)
        .next_power_of_two()
        .clamp(*CELLS.start(), *CELLS.end())
}

/// Between what the two-sided distance of two samples lies when only their counts per block are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enclosure {
    /// The distance times `n m` is at least this: it is attained at a border of blocks.
    pub lower: u128,
    /// The distance times `n m` is at most this.
    pub upper: u128,
    /// Reference values.
    pub n: u64,
    /// Current values.
    pub m: u64,
}

impl Enclosure {
    /// The ends of the interval. Rounding keeps the order, so the rounded distance lies between them too.
    pub fn ends(&self) -> (f64, f64) {
        let pairs = (u128::from(self.n) * u128::from(self.m)) as f64;
        (self.lower as f64 / pairs, self.upper as f64 / pairs)
    }
}

/// Enclose the two-sided distance of two samples given by counts per block, in the order of the line.
///
/// `single` says which blocks hold one value alone; inside them there is nothing to bound. In any other block the distance is at
/// most what it is when all reference values come before all current ones, or after.
///
/// # Errors
/// [`Error::Input`] when the vectors differ in length or a side holds no value.
///
/// ```
/// use tidewheel_core::ks::enclose;
/// let found = enclose(&[50, 50], &[30, 70], &[false, false])?;
/// // At the border the distance is 0.2; inside a block it may be more.
/// assert_eq!(found.ends(), (0.2, 0.7));
/// # Ok::<(), tidewheel_core::Error>(())
/// ```
pub fn enclose(reference: &[u64], current: &[u64], single: &[bool]) -> Result<Enclosure, Error> {
    if reference.len() != current.len() || reference.len() != single.len() {
        let (r, c, s) = (reference.len(), current.len(), single.len());
        return Err(Error::Input(format!(
            "both sides must have as many blocks; got {r}, {c} and {s}"
        )));
    }
    let total = |counts: &[u64]| {
        counts
            .iter()
            .try_fold(0u64, |sum, one| sum.checked_add(*one))
    };
    let (Some(n), Some(m)) = (total(reference), total(current)) else {
        return Err(Error::Input(
            "counts must add up to less than 2^64 on each side".into(),
        ));
    };
    let mut search = Search::<u64>::new(n as usize, m as usize, Alternative::TwoSided)?;
    let lone: Vec<Option<u64>> = single.iter().map(|single| single.then_some(0)).collect();
    let candidates = search.bound(reference, current, 0, &lone);
    let bounds = candidates.iter().map(|candidate| candidate.bound);
    let upper = bounds.fold(search.lower, i128::max);
    Ok(Enclosure {
        lower: search.lower.max(0) as u128,
        upper: upper.max(0) as u128,
        n,
        m,
    })
}

/// Look at some finite values of both columns, sorted, to choose cells for them.
pub(crate) fn sample_both<K: Domain>(
    reference: &Column<'_>,
    current: &Column<'_>,
    threads: Option<usize>,
) -> Vec<K> {
    let columns = [reference, current];
    let threads = parallel::threads_for(threads, reference.len() + current.len());
    let one = |side: usize| columns[side].sample::<K>(SAMPLE, Infinities::Leave);
    let mut sample = parallel::map(columns.len(), threads, one).concat();
    // The stable sort finds the two sorted runs and merges them.
    sample.sort_by_key(|value| value.key());
    sample
}

/// Whole numbers that are wide enough; those of 64 bits are several times faster.
trait Whole:
    Copy + Ord + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Into<i128>
{
    fn of(count: u64) -> Self;
    /// `None` beyond the largest of these numbers.
    fn from_wide(number: i128) -> Option<Self>;
}

impl Whole for i64 {
    fn of(count: u64) -> Self {
        count as i64
    }
    fn from_wide(number: i128) -> Option<Self> {
        number.try_into().ok()
    }
}

impl Whole for i128 {
    fn of(count: u64) -> Self {
        count.into()
    }
    fn from_wide(number: i128) -> Option<Self> {
        Some(number)
    }
}

/// A cell in which the distance may be attained: its bound, and `d` before its first row.
pub(crate) struct Candidate {
    pub bound: i128,
    pub cell: usize,
    start: i128,
}

/// Values so frequent that each has a cell of its own, as far as a sample can tell: rounded and whole numbers have them.
#[derive(Debug, Clone)]
pub(crate) struct Atoms<K> {
    pub map: CellMap,
    /// A value of each cell.
    usual: Vec<K>,
}

impl<K: Domain> Atoms<K> {
    /// Look for atoms in a sorted sample; `None` when it holds many values once, or cells cannot set them apart.
    pub(crate) fn among(sample: &[K]) -> Option<Self> {
        let distinct = sample.chunk_by(|a, b| a == b).count();
        if distinct * FREQUENT > sample.len() {
            return None;
        }
        let cells = (CELLS_PER_ATOM * distinct).next_power_of_two();
        let map = CellMap::choose(sample, cells.clamp(*ATOM_CELLS.start(), *ATOM_CELLS.end()));
        let mut usual = vec![(K::default(), 0); map.len()];
        for run in sample.chunk_by(|a, b| a == b) {
            let most = &mut usual[map.cell(run[0]) as usize];
            if run.len() > most.1 {
                *most = (run[0], run.len());
            }
        }
        let apart: usize = usual.iter().map(|(_, rows)| rows).sum();
        let usual = usual.into_iter().map(|(value, _)| value).collect();
        (apart * 8 >= sample.len() * 7).then_some(Self { map, usual })
    }

    /// Count columns per cell, and find the cells in which none of them holds anything but the usual value.
    pub(crate) fn count<const N: usize>(
        &self,
        columns: [&Column<'_>; N],
        threads: Option<usize>,
    ) -> ([Counted; N], Vec<Option<K>>) {
        let keep = Infinities::Keep;
        let counted = histogram::count_unusual(columns, &self.map, &self.usual, keep, threads);
        let is_lone = |cell: usize| counted.iter().all(|(_, others)| others[cell] == 0);
        let lone = self.usual.iter().enumerate();
        let lone = lone.map(|(cell, usual)| is_lone(cell).then_some(*usual));
        let lone = lone.collect();
        (counted.map(|(counted, _)| counted), lone)
    }
}

/// The part of the line in which the distance is attained, in cells.
pub(crate) struct Level<'a, K> {
    map: CellMap,
    /// Rows of both samples per cell.
    pub counts: [Cow<'a, [u64]>; 2],
    /// What the counts were counted of.
    pub reading: Reading<K>,
    /// Cells in which the distance may be attained, largest bound first.
    pub candidates: Vec<Candidate>,
}

/// A part of the line that is to be counted again.
pub(crate) struct Zoom<K> {
    pub map: CellMap,
    pub span: Span<K>,
    /// Cells in which the distance is most likely attained.
    pub likely: Vec<usize>,
    /// `d` before the part.
    start: i128,
}

/// Rows gathered of some cells of several columns, and the place of each candidate among them.
type Rows<K, const N: usize> = (Vec<usize>, [CellRows<K>; N]);

impl<K: Domain> Level<'_, K> {
    /// Take the rows of the candidates from those that were kept of other cells, if they are all among them.
    pub(crate) fn take<const N: usize>(&self, kept: Option<Rows<K, N>>) -> Option<Rows<K, N>> {
        let (cells, rows) = kept?;
        let place = |candidate: &Candidate| cells.binary_search(&candidate.cell).ok();
        let places: Option<Vec<usize>> = self.candidates.iter().map(place).collect();
        Some((places?, rows))
    }

    /// Gather the rows of the candidates.
    pub(crate) fn gather<const N: usize>(
        &self,
        columns: [&Column<'_>; N],
        sample: &[K],
        rows: impl Fn(usize, usize) -> u64 + Sync,
        threads: Option<usize>,
    ) -> Rows<K, N> {
        let cells: Vec<usize> = self.candidates.iter().map(|one| one.cell).collect();
        let places = (0..cells.len()).collect();
        let wanted = Wanted::new(&self.map, cells, sample);
        (places, wanted.gather(columns, self.reading, rows, threads))
    }

    /// Rows of both samples in a cell.
    fn rows(&self, cell: usize) -> u64 {
        self.counts[0][cell] + self.counts[1][cell]
    }

    /// Rows of the candidates.
    fn candidate_rows(&self) -> u64 {
        self.candidates.iter().map(|one| self.rows(one.cell)).sum()
    }

    /// The values of some cells.
    fn span(&self, first: usize, last: usize) -> Span<K> {
        let span = self.map.span(first, last);
        match self.reading {
            Reading::Within(read, _) => span.and(read),
            Reading::All(_) => span,
        }
    }
}

/// The running search; `d = m i - n j` after `i` reference and `j` current rows.
#[derive(Clone)]
pub(crate) struct Search<K> {
    n: i128,
    m: i128,
    /// Which sides count: `d` itself, and `-d`.
    wanted: [bool; 2],
    best: [Option<(i128, K)>; 2],
    /// What the distance is known to reach.
    pub lower: i128,
}

impl<K: Domain> Search<K> {
    pub(crate) fn new(n: usize, m: usize, alternative: Alternative) -> Result<Self, Error> {
        if n == 0 || m == 0 {
            return Err(Error::no_numbers(n as u64, m as u64));
        }
        let wanted = match alternative {
            Alternative::TwoSided => [true, true],
            Alternative::Greater => [true, false],
            Alternative::Less => [false, true],
        };
        Ok(Self {
            n: n as i128,
            m: m as i128,
            wanted,
            best: [None; 2],
            lower: 0,
        })
    }

    pub(crate) fn offer(&mut self, d: i128, at: K) {
        for (side, value) in [d, -d].into_iter().enumerate() {
            let better = self.best[side]
                .is_none_or(|(best, place)| value > best || (value == best && at < place));
            if self.wanted[side] && better {
                self.best[side] = Some((value, at));
                self.lower = self.lower.max(value);
            }
        }
    }

    /// Bound the cells of a map, and count again what lies around the candidates as long as that is worth it. `lone` has the
    /// values of cells that are known to hold one alone; `recount` counts a part of the line on both sides.
    pub(crate) fn zoom<'a>(
        &mut self,
        map: CellMap,
        counts: [Cow<'a, [u64]>; 2],
        lone: &[Option<K>],
        sample: &[K],
        mut recount: impl FnMut(Zoom<K>) -> [Vec<u64>; 2],
    ) -> Level<'a, K> {
        let candidates = self.bound(&counts[0], &counts[1], 0, lone);
        let reading = Reading::All(Infinities::Keep);
        let mut level = Level {
            map,
            counts,
            reading,
            candidates,
        };
        for _ in 0..ZOOMS {
            let Some(zoom) = self.narrower(&level, sample) else {
                break;
            };
            let (map, start, reading) = (zoom.map, zoom.start, Reading::Within(zoom.span, None));
            let counts = recount(zoom).map(Cow::Owned);
            level = Level {
                map,
                candidates: self.bound(&counts[0], &counts[1], start, &[]),
                counts,
                reading,
            };
        }
        level
    }

    /// The part of the line in which the candidates lie, if it is worth to be counted again.
    fn narrower(&self, level: &Level<'_, K>, sample: &[K]) -> Option<Zoom<K>> {
        let all = (self.n + self.m) as u64;
        let candidate_rows = level.candidate_rows();
        if candidate_rows <= SORT_INLINE as u64 {
            return None;
        }
        let first = level.candidates.iter().min_by_key(|one| one.cell)?;
        let last = level.candidates.iter().map(|one| one.cell).max()?;
        let rows: u64 = (first.cell..=last).map(|cell| level.rows(cell)).sum();
        let before: u64 = level.counts.iter().flat_map(|counts| counts.iter()).sum();
        let span = level.span(first.cell, last);
        let start = sample.partition_point(|value| *value < span.low);
        let end = sample.partition_point(|value| *value <= span.high);
        let inside = sample.get(start..end)?;
        // Where values are few, narrower cells would not set them apart any better.
        let is_spread = 2 * inside.chunk_by(|a, b| a == b).count() > inside.len();
        let is_cheaper = candidate_rows > rows / SORT_ONE_IN;
        (2 * rows <= before && is_spread && is_cheaper).then(|| {
            // Outer cells that reach far beyond the sample would be wide, hence candidates.
            let ends = [span.low, span.high].map(|end| end.is_finite().then_some(end));
            let spread = ends[0].into_iter().chain(inside.iter().copied());
            let spread: Vec<K> = spread.chain(ends[1]).collect();
            let map = CellMap::choose(&spread, cells_for(rows as usize));
            Zoom {
                map,
                span,
                likely: self.likely(level, &map, all / KEEP_ONE_IN),
                start: first.start,
            }
        })
    }

    /// Cells of another map in which the distance is most likely attained, in increasing order: where it is largest at the
    /// borders of candidates, up to so many rows.
    fn likely(&self, level: &Level<'_, K>, map: &CellMap, rows: u64) -> Vec<usize> {
        let at_borders = |one: &Candidate| {
            let [r, c] = [0, 1].map(|side: usize| i128::from(level.counts[side][one.cell]));
            let end = one.start + self.m * r - self.n * c;
            let [above, below] = [one.start.max(end), -one.start.min(end)];
            let [is_above, is_below] = self.wanted;
            (above * i128::from(is_above)).max(below * i128::from(is_below))
        };
        let mut order: Vec<(i128, usize)> = level
            .candidates
            .iter()
            .map(|one| (at_borders(one), one.cell))
            .collect();
        order.sort_unstable_by_key(|(largest, cell)| (std::cmp::Reverse(*largest), *cell));
        let mut left = rows;
        let fits = |(_, cell): &&(i128, usize)| {
            let fits = level.rows(*cell) <= left;
            left = left.saturating_sub(level.rows(*cell));
            fits
        };
        let mut cells: Vec<usize> = Vec::new();
        for (_, cell) in order.iter().take_while(fits) {
            let span = level.span(*cell, *cell);
            cells.extend(map.cell(span.low) as usize..=map.cell(span.high) as usize);
        }
        cells.sort_unstable();
        cells.dedup();
        cells
    }

    /// Raise `lower` by the values at the cell borders; return the cells worth a look, largest bound first.
    ///
    /// `lone` has the values of cells that are known to hold one alone: there the distance is what it is at their end.
    pub(crate) fn bound(
        &mut self,
        r: &[u64],
        c: &[u64],
        start: i128,
        lone: &[Option<K>],
    ) -> Vec<Candidate> {
        // On the way from `start`, `d` and the bounds stay within what all rows could add.
        let total = |counts: &[u64]| i128::from(counts.iter().sum::<u64>());
        let (up, down) = (self.m * total(r), self.n * total(c));
        let fits = (up + down).unsigned_abs() < 1 << 61 && start.unsigned_abs() < 1 << 61;
        let mut candidates = if fits {
            self.bound_in::<i64>(r, c, start as i64, lone)
        } else {
            self.bound_in::<i128>(r, c, start, lone)
        };
        candidates
            .sort_unstable_by_key(|candidate| (std::cmp::Reverse(candidate.bound), candidate.cell));
        candidates
    }

    fn bound_in<I: Whole>(
        &mut self,
        r: &[u64],
        c: &[u64],
        start: I,
        lone: &[Option<K>],
    ) -> Vec<Candidate> {
        let (n, m) = (I::of(self.n as u64), I::of(self.m as u64));
        let [above, below] = self.wanted;
        let (mut d, mut highest, mut least) = (start, start, start);
        let rows = r.iter().zip(c);
        let steps = rows.map(|(&r, &c)| (m * I::of(r), n * I::of(c)));
        let ends = steps.clone().map(|(up, down)| {
            d = d + up - down;
            (highest, least) = (highest.max(d), least.min(d));
            d
        });
        let ends: Vec<I> = ends.collect();
        // The start is no border: it counted when the cells around were bounded.
        if above {
            self.lower = self.lower.max(highest.into());
        }
        if below {
            self.lower = self.lower.max(-least.into());
        }
        let Some(lower) = I::from_wide(self.lower) else {
            return Vec::new();
        };
        let starts = std::iter::once(start).chain(ends.iter().copied());
        let mut candidates = Vec::new();
        for (cell, (((up, down), start), end)) in steps.zip(starts).zip(&ends).enumerate() {
            let has = |rows: I| rows > I::of(0);
            if let Some(Some(value)) = lone.get(cell) {
                if has(up) || has(down) {
                    self.offer((*end).into(), *value);
                }
                continue;
            }
            // The largest d is attained at a reference value, the least at a current value.
            let most = (start + up, has(up) & above);
            let least = (down - start, has(down) & below);
            let bound = match (most, least) {
                ((most, true), (least, true)) => most.max(least),
                ((most, true), _) => most,
                (_, (least, true)) => least,
                _ => continue,
            };
            if bound >= lower {
                let (bound, start) = (bound.into(), start.into());
                candidates.push(Candidate { bound, cell, start });
            }
        }
        candidates
    }

    /// Refine the candidates with the rows that `gathered` has for each of them.
    ///
    /// Threads know only of the distances that they found themselves. So they may refine a cell in vain, but none is left out in
    /// which the distance is attained: the result is the same.
    pub(crate) fn refine_all<'g>(
        mut self,
        level: &Level<'_, K>,
        gathered: impl Fn(usize) -> [Gathered<'g, K>; 2] + Sync,
        threads: Option<usize>,
    ) -> Self {
        let candidates = &level.candidates;
        let threads = if level.candidate_rows() < SORT_INLINE as u64 {
            1
        } else {
            parallel::available(threads)
        };
        let start = || self.clone();
        let states = parallel::fold(candidates.len(), threads, start, |search, place| {
            let candidate = &candidates[place];
            if candidate.bound >= search.lower {
                let [r, c] = gathered(place);
                search.refine_gathered(candidate, &r, &c);
            }
        });
        for [above, below] in states.into_iter().map(|state| state.best) {
            if let Some((d, at)) = above {
                self.offer(d, at);
            }
            if let Some((d, at)) = below {
                self.offer(-d, at);
            }
        }
        self
    }

    /// Refine a cell; one that holds a single value needs nothing but its counts.
    fn refine_gathered(&mut self, candidate: &Candidate, r: &Gathered<'_, K>, c: &Gathered<'_, K>) {
        let value = match (r.single(), c.single()) {
            (Some(r), Some(c)) if r == c => Some(r),
            (Some(r), None) if c.is_empty() => Some(r),
            (None, Some(c)) if r.is_empty() => Some(c),
            _ => None,
        };
        match value {
            Some(value) => {
                let (i, j) = (r.len() as i128, c.len() as i128);
                self.offer(candidate.start + self.m * i - self.n * j, value);
            }
            None => self.refine(candidate, &mut r.to_values(), &mut c.to_values(), 0),
        }
    }

    fn refine(&mut self, candidate: &Candidate, r: &mut [K], c: &mut [K], depth: usize) {
        if candidate.bound < self.lower {
            return;
        }
        let both = || r.iter().chain(c.iter()).copied();
        let least = both().min_by_key(|value| value.key());
        let (Some(low), Some(high)) = (least, both().max_by_key(|value| value.key())) else {
            return;
        };
        if low == high {
            return self.offer(
                candidate.start + self.m * r.len() as i128 - self.n * c.len() as i128,
                low,
            );
        }
        let rows = r.len() + c.len();
        if rows <= SORT_CELL_UP_TO || depth >= DEPTH {
            return self.sort_and_merge(r, c, candidate.start);
        }
        let cells = (rows / 64).clamp(64, 8_192);
        let linear = if depth.is_multiple_of(2) {
            CellMap::between(low, high, cells)
        } else {
            None
        };
        let map = linear.unwrap_or_else(|| CellMap::between_keys(low, high, cells));
        let (mut r, r_starts) = bucket(r, &map);
        let (mut c, c_starts) = bucket(c, &map);
        let counts = |starts: &[usize]| {
            starts
                .windows(2)
                .map(|pair| (pair[1] - pair[0]) as u64)
                .collect::<Vec<_>>()
        };
        let (r_counts, c_counts) = (counts(&r_starts), counts(&c_starts));
        for inner in self.bound(&r_counts, &c_counts, candidate.start, &[]) {
            let r = &mut r[r_starts[inner.cell]..r_starts[inner.cell + 1]];
            let c = &mut c[c_starts[inner.cell]..c_starts[inner.cell + 1]];
            self.refine(&inner, r, c, depth + 1);
        }
    }

    fn sort_and_merge(&mut self, r: &mut [K], c: &mut [K], start: i128) {
        merge::sort(r);
        merge::sort(c);
        let most = self.m * r.len() as i128 + self.n * c.len() as i128;
        if start.unsigned_abs() < 1 << 61 && most < 1 << 61 {
            self.merge_in::<i64>(r, c, start as i64);
        } else {
            self.merge_in::<i128>(r, c, start);
        }
    }

    /// Follow `d` over sorted values, and offer its extremes.
    fn merge_in<I: Whole>(&mut self, r: &[K], c: &[K], start: I) {
        let (n, m) = (I::of(self.n as u64), I::of(self.m as u64));
        let (mut d, mut highest, mut least) = (start, None, None);
        merge::walk(r, c, |at, r, c| {
            d = d + m * I::of(r as u64) - n * I::of(c as u64);
            if highest.is_none_or(|(highest, _)| d > highest) {
                highest = Some((d, at));
            }
            if least.is_none_or(|(least, _)| d < least) {
                least = Some((d, at));
            }
        });
        for (d, at) in [highest, least].into_iter().flatten() {
            self.offer(d.into(), at);
        }
    }

    pub(crate) fn finish(self, reference: Parts, current: Parts) -> Result<Distance<K>, Error> {
        let [above, below] = self.best;
        let is_below = match (above, below) {
            (Some((a, _)), Some((b, _))) => b > a,
            (None, _) => true,
            _ => false,
        };
        let (sign, winner) = if is_below { (-1, below) } else { (1, above) };
        let (value, location) = winner
            .ok_or_else(|| Error::Input("the samples changed while they were read".into()))?;
        let numerator = value.max(0) as u128;
        Ok(Distance {
            numerator,
            location,
            sign,
            n: self.n as u64,
            m: self.m as u64,
            reference,
            current,
        })
    }
}

/// Order values by cell (counting sort); cell `i` is `starts[i]..starts[i + 1]`.
fn bucket<K: Domain>(values: &[K], map: &CellMap) -> (Vec<K>, Vec<usize>) {
    let mut starts = vec![0usize; map.len() + 1];
    for value in values {
        starts[map.cell(*value) as usize + 1] += 1;
    }
    for cell in 1..starts.len() {
        starts[cell] += starts[cell - 1];
    }
    let mut next = starts.clone();
    let mut ordered = vec![K::default(); values.len()];
    for value in values {
        let place = &mut next[map.cell(*value) as usize];
        ordered[*place] = *value;
        *place += 1;
    }
    (ordered, starts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::{Chunk, Values};
    use proptest::prelude::*;

    const ALL: [Alternative; 3] = [
        Alternative::TwoSided,
        Alternative::Less,
        Alternative::Greater,
    ];

    fn column(values: &[f64]) -> Column<'_> {
        Column::new(vec![Chunk {
            values: Values::F64(values),
            validity: None,
        }])
    }

    fn naive(r: &[f64], c: &[f64], alternative: Alternative) -> u128 {
        let count =
            |values: &[f64], at: f64| values.iter().filter(|value| **value <= at).count() as i128;
        let d = |at: f64| c.len() as i128 * count(r, at) - r.len() as i128 * count(c, at);
        let signed = r.iter().chain(c).map(|at| match alternative {
            Alternative::TwoSided => d(*at).abs(),
            Alternative::Less => -d(*at),
            Alternative::Greater => d(*at),
        });
        signed.max().unwrap() as u128
    }

    /// The search with every size limit at its least, so that small samples meet bounding, bucketing and recursion.
    fn by_cells(r: &[f64], c: &[f64], alternative: Alternative, cells: usize) -> Distance<f64> {
        let (mut r_all, mut c_all) = (r.to_vec(), c.to_vec());
        let map = CellMap::choose(&sample_both::<f64>(&column(r), &column(c), None), cells);
        let mut search = Search::new(r.len(), c.len(), alternative).unwrap();
        let (r_all, r_starts) = {
            let (v, s) = bucket(&r_all, &map);
            r_all = v;
            (&mut r_all, s)
        };
        let (c_all, c_starts) = {
            let (v, s) = bucket(&c_all, &map);
            c_all = v;
            (&mut c_all, s)
        };
        let counts = |starts: &[usize]| {
            starts
                .windows(2)
                .map(|pair| (pair[1] - pair[0]) as u64)
                .collect::<Vec<_>>()
        };
        let (r_counts, c_counts) = (counts(&r_starts), counts(&c_starts));
        for inner in search.bound(&r_counts, &c_counts, 0, &[]) {
            let r = &mut r_all[r_starts[inner.cell]..r_starts[inner.cell + 1]];
            let c = &mut c_all[c_starts[inner.cell]..c_starts[inner.cell + 1]];
            search.refine(&inner, r, c, 0);
        }
        search.finish(Parts::default(), Parts::default()).unwrap()
    }

    proptest! {
        #[test]
        fn the_distance_is_exact(r in prop::collection::vec(-30i32..30, 1..120), c in prop::collection::vec(-30i32..30, 1..120),
                                 cells in 2usize..64) {
            let r: Vec<f64> = r.into_iter().map(f64::from).collect();
            let c: Vec<f64> = c.into_iter().map(|v| f64::from(v) / 1.5).collect();
            for alternative in ALL {
                let plain = distance::<f64>(&column(&r), &column(&c), alternative, None).unwrap();
                prop_assert_eq!(plain.numerator, naive(&r, &c, alternative));
                let cut = by_cells(&r, &c, alternative, cells);
                prop_assert_eq!((cut.numerator, cut.location, cut.sign), (plain.numerator, plain.location, plain.sign));
            }
        }
    }

    /// Values that look random, the same on every run.
    fn scramble(seed: u64, len: usize, shape: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        (0..len).map(|_| shape(next())).collect()
    }

    fn sorted_way(r: &[f64], c: &[f64]) -> u128 {
        let mut search = Search::new(r.len(), c.len(), Alternative::TwoSided).unwrap();
        search.sort_and_merge(&mut r.to_vec(), &mut c.to_vec(), 0);
        search
            .finish(Parts::default(), Parts::default())
            .unwrap()
            .numerator
    }

    #[test]
    fn large_samples_agree_with_sorting() {
        let shapes: [fn(f64) -> f64; 5] = [
            |u| u,
            |u| (u * 12.0).exp(),
            |u| 1.0 / (u - 0.5),
            |u| (u * 7.0).floor(),
            |u| if u < 0.4 { 0.0 } else { u },
        ];
        for (i, shape) in shapes.into_iter().enumerate() {
            let r = scramble(i as u64 + 1, 40_000, shape);
            // Without drift the distance is rarely attained at a border of cells.
            for power in [1.0, 1.02] {
                let c = scramble(i as u64 + 100, 23_456, |u| shape(u.powf(power)));
                let found =
                    distance::<f64>(&column(&r), &column(&c), Alternative::TwoSided, None).unwrap();
                assert_eq!(found.numerator, sorted_way(&r, &c), "shape {i} {power}");
            }
            let same =
                distance::<f64>(&column(&r), &column(&r), Alternative::TwoSided, None).unwrap();
            assert_eq!(same.numerator, 0);
        }
    }

    #[test]
    fn one_outlier_moves_nothing() {
        let mut r = scramble(5, 50_000, |u| u);
        let c = scramble(6, 50_000, |u| u + 0.3);
        let before =
            distance::<f64>(&column(&r), &column(&c), Alternative::TwoSided, None).unwrap();
        r[0] = 1e300;
        let after = distance::<f64>(&column(&r), &column(&c), Alternative::TwoSided, None).unwrap();
        assert!((before.statistic() - after.statistic()).abs() < 1e-4);
    }

    #[test]
    fn empty_sides_are_refused() {
        let error = distance::<f64>(&column(&[]), &column(&[1.0]), Alternative::TwoSided, None)
            .unwrap_err();
        assert!(error.to_string().contains("got 0 and 1"));
    }
}

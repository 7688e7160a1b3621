//! The exact two-sample Kolmogorov-Smirnov distance without sorting the samples.
//!
//! What is clever: counts per cell give `d = m F - n G` (in whole rows) at every cell border, hence a lower bound `L` for
//! the distance; inside a cell `d` cannot exceed its value at the start by more than `m` times the reference rows there.
//! So only cells whose upper bound reaches `L` matter. They lie around the place of the distance: while they hold many rows, the
//! part of the line in which they lie is counted again, in narrower cells, by a pass that passes over all other rows at the speed
//! of memory. Then their rows are gathered, largest bound first, and sorted (bench: benches/drift/test_ks.py). All arithmetic is in integers, so the distance is exact (tests: this module and
//! tests/drift/test_ks.py).

use crate::atoms::Atoms;
use crate::cell_rows::Wanted;
use crate::cells::CellMap;
use crate::column::{Column, Infinities, Parts, Reading};
use crate::domain::Domain;
use crate::error::Error;
use crate::histogram::{self, Counted};
use crate::parallel;
use crate::search::Search;
use crate::select;
use std::borrow::Cow;

/// Up to this many rows in all, sorting both samples is as fast as counting.
const SORT_UP_TO: usize = 1 << 14;
/// Rows of each sample looked at to choose the cells.
pub(crate) const SAMPLE: usize = 1 << 12;
/// Cells of a pass: the more rows, the more cells, up to what sixteen bits number.
const CELLS: std::ops::RangeInclusive<usize> = 4_096..=65_536;
/// Rows per cell aimed at.
const ROWS_PER_CELL: usize = 64;

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
        return sorted_distance(reference, current, alternative);
    }
    let columns = [reference, current];
    let sample = sample_both::<K>(reference, current, threads);
    let rows = reference.len() + current.len();
    let (map, [r, c], lone) = match Atoms::among(&sample) {
        Some(atoms) => {
            let (counted, lone) = atoms.count(columns, Infinities::Keep, threads);
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
    let (candidates, rows) = (&level.candidates, level.candidate_rows());
    search
        .refine_all(candidates, rows, gathered, threads)
        .finish(r.parts, c.parts)
        // Only rows that were overwritten meanwhile can be missing where the distance is: a copy holds still.
        .or_else(|_| sorted_distance(reference, current, alternative))
}

/// Measure the distance by sorting copies of both columns.
fn sorted_distance<K: Domain>(
    reference: &Column<'_>,
    current: &Column<'_>,
    alternative: Alternative,
) -> Result<Distance<K>, Error> {
    let (mut r, reference) = select::collect::<K>(reference, Infinities::Keep);
    let (mut c, current) = select::collect::<K>(current, Infinities::Keep);
    let mut search = Search::new(r.len(), c.len(), alternative)?;
    search.sort_and_merge(&mut r, &mut c, 0);
    search.finish(reference, current)
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
    let one = |side: usize| columns[side].sample_keys::<K>(SAMPLE, Infinities::Leave);
    let mut keys = parallel::map(columns.len(), threads, one).concat();
    // The stable sort finds the two sorted runs and merges them.
    keys.sort();
    keys.into_iter().map(K::of_key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::{Chunk, Values};
    use crate::reference::Ranks;
    use crate::search::{bucket, rows_between};
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
        let (r_counts, c_counts) = (rows_between(&r_starts), rows_between(&c_starts));
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

    fn sorted_way(r: &[f64], c: &[f64], alternative: Alternative) -> (u128, f64, i8) {
        let mut search = Search::new(r.len(), c.len(), alternative).unwrap();
        search.sort_and_merge(&mut r.to_vec(), &mut c.to_vec(), 0);
        let found = search.finish(Parts::default(), Parts::default()).unwrap();
        (found.numerator, found.location, found.sign)
    }

    #[test]
    fn large_samples_agree_with_sorting() {
        let shapes: [fn(f64) -> f64; 7] = [
            |u| u,
            |u| (u * 12.0).exp(),
            |u| 1.0 / (u - 0.5),
            |u| (u * 7.0).floor(),
            |u| if u < 0.4 { 0.0 } else { u },
            // Frequent values, alone in their cells; and with rare ones between them.
            |u| (u * 700.0).floor() / 100.0,
            |u| {
                if u < 0.999 {
                    (u * 90.0).floor()
                } else {
                    u * 90.0
                }
            },
        ];
        for (i, shape) in shapes.into_iter().enumerate() {
            let r = scramble(i as u64 + 1, 40_000, shape);
            // Without drift the distance is rarely attained at a border of cells.
            for power in [1.0, 1.02] {
                let c = scramble(i as u64 + 100, 23_456, |u| shape(u.powf(power)));
                for alternative in ALL {
                    let expected = sorted_way(&r, &c, alternative);
                    let found = distance::<f64>(&column(&r), &column(&c), alternative, None);
                    let fitted = Ranks::<f64>::fit(&column(&r)).unwrap();
                    let again = fitted.distance(&column(&c), alternative, None);
                    for found in [found, again].map(Result::unwrap) {
                        let found = (found.numerator, found.location, found.sign);
                        assert_eq!(found, expected, "shape {i} {power} {alternative:?}");
                    }
                }
            }
            let same =
                distance::<f64>(&column(&r), &column(&r), Alternative::TwoSided, None).unwrap();
            assert_eq!(same.numerator, 0);
        }
    }

    #[test]
    fn where_the_distance_is_flat_cells_are_cut_again() {
        // Without noise many rows lie near the largest difference, and are counted again; threads change nothing.
        let shapes: [fn(f64) -> f64; 4] = [
            |u| u,
            |u| (u * 3.0).exp(),
            |u| (u * 1e5).floor(),
            // So heavy are these tails that cells are wide where most rows lie, and all of them are counted again.
            |u| ((u - 0.5) * 3.1).tan(),
        ];
        for (i, shape) in shapes.into_iter().enumerate() {
            let values = |n: u32, power: f64| {
                let value = move |i: u32| shape((f64::from(i) / f64::from(n)).powf(power));
                (0..n).map(value).collect::<Vec<f64>>()
            };
            let (r, c) = (values(500_000, 1.0), values(400_000, 1.003));
            let fitted = Ranks::<f64>::fit(&column(&r)).unwrap();
            for alternative in ALL {
                let expected = sorted_way(&r, &c, alternative);
                for threads in [Some(1), Some(3)] {
                    let found = distance::<f64>(&column(&r), &column(&c), alternative, threads);
                    let again = fitted.distance(&column(&c), alternative, threads);
                    for found in [found, again].map(Result::unwrap) {
                        let found = (found.numerator, found.location, found.sign);
                        assert_eq!(found, expected, "shape {i} {alternative:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn values_beside_frequent_ones_are_seen() {
        // Ninety values in equal shares; beside one of them, and in its cell, lie some rows of one sample.
        let values = |beside: u32| {
            let value = move |i: u32| match (i % 90, i / 90 % 10) {
                (45, tenth) if tenth < beside => 44.98,
                (whole, _) => f64::from(whole),
            };
            (0..45_000).map(value).collect::<Vec<f64>>()
        };
        for (r, c) in [(0, 10), (10, 0), (4, 0), (0, 4), (4, 4)] {
            let (r, c) = (values(r), values(c));
            let expected = sorted_way(&r, &c, Alternative::TwoSided);
            let fitted = Ranks::<f64>::fit(&column(&r)).unwrap();
            let found = distance::<f64>(&column(&r), &column(&c), Alternative::TwoSided, None);
            let again = fitted.distance(&column(&c), Alternative::TwoSided, None);
            for found in [found, again].map(Result::unwrap) {
                assert_eq!((found.numerator, found.location, found.sign), expected);
            }
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

//! Order statistics of a column without sorting it, and the quantile edges made of them.

use crate::bins::Thresholds;
use crate::categories::FoldMap;
use crate::cell_rows::Wanted;
use crate::cells::CellMap;
use crate::column::{Column, Infinities, Parts, Reading};
use crate::domain::Domain;
use crate::error::Error;
use crate::histogram::{self, Counted};
use crate::parallel;

/// Columns up to this length are simply sorted.
const SORT_UP_TO: usize = 1 << 15;
/// Rows looked at to choose the cells.
const SAMPLE: usize = 1 << 12;
/// Cells into which a column is counted; only the cells that hold a wanted rank are sorted.
const CELLS: usize = 1 << 14;

/// Collect the finite values of a column, and its infinities if they are kept.
pub fn collect<K: Domain>(column: &Column<'_>, infinities: Infinities) -> (Vec<K>, Parts) {
    let mut values = Vec::with_capacity(column.most_values());
    let mut parts = Parts::default();
    for task in column.tasks() {
        column.blocks(task, infinities, &mut parts, |block| {
            values.extend_from_slice(block)
        });
    }
    // A row may be overwritten between the look at it and its copy. Later on nothing is, so this settles it.
    let is_wanted = |value: &K| match infinities {
        Infinities::Keep => !value.is_nan(),
        Infinities::Leave => value.is_finite(),
    };
    if !values.iter().all(is_wanted) {
        let before = values.len();
        values.retain(is_wanted);
        parts.nan += (before - values.len()) as u64;
    }
    (values, parts)
}

/// A finite value of a column, and its place among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderStatistic<K> {
    /// The value.
    pub value: K,
    /// Finite values of the column that are less.
    pub below: u64,
    /// Finite values of the column that are equal, itself included.
    pub equal: u64,
}

impl<K: Domain> OrderStatistic<K> {
    /// The value at a place of those with sorted keys, `before` others being less than all of these.
    fn at(keys: &[u64], place: usize, before: u64) -> Option<Self> {
        let key = *keys.get(place)?;
        let below = keys.partition_point(|other| *other < key);
        let end = keys.partition_point(|other| *other <= key);
        Some(Self {
            value: K::of_key(key),
            below: before + below as u64,
            equal: (end - below) as u64,
        })
    }
}

/// Find the finite values with the given ranks (0 is the least); ranks past the end are left out.
///
/// ```
/// use tidewheel_core::column::{Column, Values};
/// use tidewheel_core::select::{OrderStatistic, order_statistics};
/// let values = [7.0, 2.0, f64::NAN, 7.0, 1.0];
/// let (found, _) = order_statistics(&Column::from(Values::F64(&values)), |n| vec![n / 2], None);
/// assert_eq!(found, [OrderStatistic { value: 7.0, below: 2, equal: 2 }]);
/// ```
pub fn order_statistics<K: Domain>(
    column: &Column<'_>,
    ranks: impl Fn(u64) -> Vec<u64>,
    threads: Option<usize>,
) -> (Vec<OrderStatistic<K>>, Parts) {
    if column.len() <= SORT_UP_TO {
        let (values, parts) = collect::<K>(column, Infinities::Leave);
        let mut keys: Vec<u64> = values.iter().map(|value| value.key()).collect();
        keys.sort_unstable();
        let ranks = ranks(keys.len() as u64).into_iter();
        let found = ranks.filter_map(|rank| OrderStatistic::at(&keys, rank as usize, 0));
        return (found.collect(), parts);
    }
    let sample = column.sample::<K>(SAMPLE, Infinities::Leave);
    let map = CellMap::choose(&sample, CELLS);
    let all = Reading::All(Infinities::Leave);
    let [Counted { counts, parts }] = histogram::count_cells::<K, 1>([column], &map, &all, threads);
    // Values up to the end of each cell.
    let mut upto = counts.clone();
    for cell in 1..upto.len() {
        upto[cell] += upto[cell - 1];
    }
    let places: Vec<(usize, u64)> = ranks(upto.last().copied().unwrap_or(0))
        .into_iter()
        .map(|rank| (upto.partition_point(|end| *end <= rank), rank))
        .filter(|(cell, _)| *cell < counts.len())
        .collect();
    let mut cells: Vec<usize> = places.iter().map(|(cell, _)| *cell).collect();
    cells.sort_unstable();
    cells.dedup();
    let wanted = Wanted::new(&map, cells.clone(), &sample);
    let [gathered] = wanted.gather([column], all, |_, cell| counts[cell], threads);
    let sorted = |(place, cell): (usize, &usize)| {
        let mut keys = Vec::new();
        gathered.get(place).keys_into(&mut keys);
        // More than were counted are there if rows were overwritten meanwhile.
        keys.truncate(counts[*cell] as usize);
        keys.sort_unstable();
        keys
    };
    let sorted: Vec<Vec<u64>> = cells.iter().enumerate().map(sorted).collect();
    let find = |&(cell, rank): &(usize, u64)| {
        let place = cells.binary_search(&cell).ok()?;
        let before = upto[cell] - counts[cell];
        OrderStatistic::at(sorted.get(place)?, (rank - before) as usize, before)
    };
    (places.iter().filter_map(find).collect(), parts)
}

/// Bins fitted to a reference: interior edges (the outer bins are open), the reference's own counts, its parts.
#[derive(Debug, Clone)]
pub struct Fitted<K> {
    /// Interior edges as thresholds.
    pub thresholds: Thresholds<K>,
    /// Finite reference values per bin.
    pub counts: Vec<u64>,
    /// What else the reference holds.
    pub parts: Parts,
    /// True when no ties changed the quantiles: every bin holds its planned number of values.
    pub continuous: bool,
}

/// Lay edges at the reference's quantiles: edge `i` is the order statistic of rank `floor(i n / bins)`.
///
/// Then `floor(i n / bins)` values lie below edge `i` when no values are tied. Tied edges are laid once; a value that
/// more than one edge fell on (an atom heavier than a bin) gets a bin of its own, up to the next representable value.
///
/// # Errors
/// [`Error::Input`] when `bins` is 0 or the reference has no finite value.
///
/// ```
/// use tidewheel_core::column::{Column, Values};
/// use tidewheel_core::select::quantile_bins;
/// let values: Vec<f64> = (0..100).rev().map(f64::from).collect();
/// let bins = quantile_bins::<f64>(&Column::from(Values::F64(&values)), 4, None)?;
/// assert_eq!(bins.thresholds.values(), [25.0, 50.0, 75.0]);
/// assert_eq!(bins.counts, [25, 25, 25, 25]);
/// # Ok::<(), tidewheel_core::Error>(())
/// ```
pub fn quantile_bins<K: Domain>(
    reference: &Column<'_>,
    bins: usize,
    threads: Option<usize>,
) -> Result<Fitted<K>, Error> {
    if bins == 0 {
        return Err(Error::Input("`bins` must be at least 1; got 0".into()));
    }
    let (edges, parts) = edges_with_ranks::<K>(reference, bins, threads);
    let finite = parts.finite();
    if finite == 0 {
        return Err(Error::Input(
            "`reference` must hold at least one finite value; got none".into(),
        ));
    }
    let counts = between(edges.iter().map(|(_, below)| *below), finite);
    let planned = between(quantile_ranks(finite, bins).into_iter(), finite);
    Ok(Fitted {
        thresholds: Thresholds::new(edges.into_iter().map(|(edge, _)| edge).collect())?,
        continuous: planned == counts,
        counts,
        parts,
    })
}

/// Lay the edges of [`quantile_bins`]; none without a finite value.
pub fn quantile_edges<K: Domain>(
    reference: &Column<'_>,
    bins: usize,
    threads: Option<usize>,
) -> (Vec<K>, Parts) {
    let (edges, parts) = edges_with_ranks(reference, bins, threads);
    (edges.into_iter().map(|(edge, _)| edge).collect(), parts)
}

/// The edges at a reference's quantiles, and how many of its values are less than each.
fn edges_with_ranks<K: Domain>(
    reference: &Column<'_>,
    bins: usize,
    threads: Option<usize>,
) -> (Vec<(K, u64)>, Parts) {
    let ranks = |n| quantile_ranks(n, bins);
    let (quantiles, parts) = order_statistics::<K>(reference, ranks, threads);
    let mut edges: Vec<(K, u64)> = Vec::new();
    let mut push_above = |edge: K, below: u64| {
        if edges.last().is_none_or(|(last, _)| *last < edge) {
            edges.push((edge, below));
        }
    };
    for run in quantiles.chunk_by(|a, b| a.value == b.value) {
        let OrderStatistic {
            value,
            below,
            equal,
        } = run[0];
        push_above(value, below);
        if let (true, Some(next)) = (run.len() > 1, value.next_up()) {
            push_above(next, below + equal);
        }
    }
    (edges, parts)
}

/// Values between neighbouring edges, given how many lie below each, and all.
fn between(below: impl Iterator<Item = u64>, all: u64) -> Vec<u64> {
    let mut before = 0;
    let slot = |end: u64| end.saturating_sub(std::mem::replace(&mut before, end));
    below.chain([all]).map(slot).collect()
}

fn quantile_ranks(n: u64, bins: usize) -> Vec<u64> {
    let bins = (bins as u64).min(n.max(1));
    (1..bins)
        .map(|i| (u128::from(i) * u128::from(n) / u128::from(bins)) as u64)
        .collect()
}

/// Collect the distinct finite values of a column, sorted; `None` as soon as there are more than `most`.
pub fn distinct<K: Domain>(column: &Column<'_>, most: usize) -> Option<Vec<K>> {
    let mut seen: FoldMap<u64, K> = FoldMap::default();
    for task in column.tasks() {
        column.blocks::<K>(task, Infinities::Leave, &mut Parts::default(), |block| {
            // A block adds few values, so looking at the limit once per task is often enough; the rest is skipped.
            if seen.len() <= most {
                seen.extend(block.iter().map(|value| (value.key(), *value)));
            }
        });
        if seen.len() > most {
            return None;
        }
    }
    let mut values: Vec<K> = seen.into_values().collect();
    values.sort_unstable_by_key(|value| value.key());
    Some(values)
}

/// Find the least and greatest finite value.
///
/// ```
/// use tidewheel_core::column::{Column, Values};
/// use tidewheel_core::select::range;
/// let values = [3.0, f64::INFINITY, -1.0];
/// let (ends, parts) = range::<f64>(&Column::from(Values::F64(&values)), None);
/// assert_eq!(ends, Some((-1.0, 3.0)));
/// assert_eq!(parts.infinite_above, 1);
/// ```
pub fn range<K: Domain>(column: &Column<'_>, threads: Option<usize>) -> (Option<(K, K)>, Parts) {
    let tasks = column.tasks();
    let threads = parallel::threads_for(threads, column.len());
    let start = || (None::<(K, K)>, Parts::default());
    let states = parallel::fold(tasks.len(), threads, start, |(ends, parts), task| {
        column.blocks::<K>(tasks[task], Infinities::Leave, parts, |block| {
            for &value in block {
                let (low, high) = ends.unwrap_or((value, value));
                *ends = Some((
                    if value < low { value } else { low },
                    if value > high { value } else { high },
                ));
            }
        });
    });
    let mut total = start();
    for (ends, parts) in states {
        total.1.add(&parts);
        total.0 = match (total.0, ends) {
            (Some((a, b)), Some((c, d))) => {
                Some((if c < a { c } else { a }, if d > b { d } else { b }))
            }
            (one, other) => one.or(other),
        };
    }
    total
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

    proptest! {
        #[test]
        fn quantile_bins_hold_what_they_should(values in prop::collection::vec(-50i32..50, 1..400), bins in 1usize..30) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let fitted = quantile_bins::<f64>(&column(&values), bins, None).unwrap();
            let slots = fitted.thresholds.slots();
            let mut counts = vec![0u64; slots];
            for value in &values {
                counts[fitted.thresholds.slot(*value)] += 1;
            }
            prop_assert_eq!(counts, fitted.counts);
            prop_assert!(slots <= 2 * bins);
        }
    }

    #[test]
    fn large_columns_are_selected_as_sorting_would() {
        let values: Vec<f64> = (0..100_003u64)
            .map(|i| ((i * 48_271) % 100_003) as f64)
            .collect();
        let (found, _) =
            order_statistics::<f64>(&column(&values), |n| vec![0, n / 3, n - 1, n], None);
        let (values, below): (Vec<f64>, Vec<u64>) =
            found.iter().map(|one| (one.value, one.below)).unzip();
        assert_eq!(values, [0.0, 33_334.0, 100_002.0]);
        assert_eq!(below, [0, 33_334, 100_002]);
        assert!(found.iter().all(|one| one.equal == 1));
    }

    #[test]
    fn bins_of_large_columns_hold_what_counting_finds() {
        let uniform =
            |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1u64 << 53) as f64;
        let shapes: [fn(f64) -> f64; 6] = [
            |u| u,
            |u| (u * 20.0).exp(),
            |u| (u * 500.0).floor() / 100.0,
            // Both zeros, at an edge.
            |u| {
                if u < 0.3 {
                    -0.0
                } else if u < 0.5 {
                    0.0
                } else {
                    1.0 / (u - 0.9)
                }
            },
            |u| {
                if u < 0.02 {
                    f64::NAN
                } else {
                    (u - 0.5).powi(5)
                }
            },
            |u| {
                if u < 0.6 {
                    f64::INFINITY
                } else {
                    (u * 50.0).floor() + u * 1e-3
                }
            },
        ];
        for (i, shape) in shapes.into_iter().enumerate() {
            let values: Vec<f64> = (1..50_000).map(|i| shape(uniform(i))).collect();
            for (rows, bins) in [
                (49_999, 1),
                (49_999, 2),
                (49_999, 10),
                (49_999, 999),
                (9_000, 10),
            ] {
                let column = column(&values[..rows]);
                let fitted = quantile_bins::<f64>(&column, bins, Some(2)).unwrap();
                let counted = histogram::count_slots(&column, &fitted.thresholds, None);
                assert_eq!(
                    fitted.counts, counted.counts,
                    "shape {i}, {bins} bins of {rows} rows"
                );
                assert_eq!(fitted.parts, counted.parts);
            }
        }
    }

    #[test]
    fn a_heavy_atom_gets_its_own_bin() {
        let mut values = vec![5.0; 60];
        values.extend((0..40).map(|i| 6.0 + f64::from(i)));
        let fitted = quantile_bins::<f64>(&column(&values), 10, None).unwrap();
        assert_eq!(&fitted.thresholds.values()[..2], &[5.0, 5.0f64.next_up()]);
        assert_eq!(fitted.counts[..2], [0, 60]);
        assert!(!fitted.continuous);
    }

    #[test]
    fn integers_beyond_two_to_53_keep_their_order() {
        let values: Vec<i64> = (0..100).map(|i| (1i64 << 60) + i).collect();
        let column = Column::new(vec![Chunk {
            values: Values::I64(&values),
            validity: None,
        }]);
        let fitted = quantile_bins::<i64>(&column, 10, None).unwrap();
        assert_eq!(fitted.counts, vec![10; 10]);
        assert!(fitted.continuous);
    }
}

//! Order statistics of a column without sorting it, and the quantile edges made of them.

use crate::bins::Thresholds;
use crate::categories::FoldMap;
use crate::cell_rows::Wanted;
use crate::cells::CellMap;
use crate::column::{Column, Infinities, Parts, Reading};
use crate::domain::Domain;
use crate::error::Error;
use crate::histogram::{self, Counted};
use crate::merge;
use crate::parallel;

/// Columns up to this length are simply sorted.
const SORT_UP_TO: usize = 1 << 15;
/// Rows looked at to choose the cells.
const SAMPLE: usize = 1 << 14;
/// Cells into which a column is counted; only the cells that hold a wanted rank are sorted.
const CELLS: usize = 1 << 13;

/// Collect the finite values of a column.
pub fn collect<K: Domain>(column: &Column<'_>, infinities: Infinities) -> (Vec<K>, Parts) {
    let mut values = Vec::with_capacity(column.len());
    let mut parts = Parts::default();
    for task in column.tasks() {
        column.blocks(task, infinities, &mut parts, |block| {
            values.extend_from_slice(block)
        });
    }
    (values, parts)
}

/// Find the finite values with the given ranks (0 is the least); ranks past the end are left out.
pub fn order_statistics<K: Domain>(
    column: &Column<'_>,
    ranks: impl Fn(u64) -> Vec<u64>,
    threads: Option<usize>,
) -> (Vec<K>, Parts) {
    if column.len() <= SORT_UP_TO {
        let (mut values, parts) = collect::<K>(column, Infinities::Leave);
        merge::sort(&mut values);
        let wanted = ranks(values.len() as u64);
        return (
            wanted
                .into_iter()
                .filter_map(|rank| values.get(rank as usize).copied())
                .collect(),
            parts,
        );
    }
    let sample = column.sample::<K>(SAMPLE, Infinities::Leave);
    let map = CellMap::choose(&sample, CELLS);
    let all = Reading::All(Infinities::Leave);
    let [counted] = histogram::count_cells::<K, 1>([column], &map, &all, threads);
    let places: Vec<(usize, u64)> = ranks(counted.counts.iter().sum())
        .iter()
        .filter_map(|&rank| place(&counted, rank))
        .collect();
    let mut cells: Vec<usize> = places.iter().map(|(cell, _)| *cell).collect();
    cells.sort_unstable();
    cells.dedup();
    let wanted = Wanted::new(&map, cells.clone(), &sample);
    let [gathered] = wanted.gather([column], all, |_, cell| counted.counts[cell], threads);
    let sorted = |place| {
        let mut values = gathered.get(place).to_values();
        merge::sort(&mut values);
        values
    };
    let sorted: Vec<Vec<K>> = (0..cells.len()).map(sorted).collect();
    let find = |&(cell, rank): &(usize, u64)| {
        let place = cells.binary_search(&cell).ok()?;
        sorted.get(place)?.get(rank as usize).copied()
    };
    (places.iter().filter_map(find).collect(), counted.parts)
}

fn place(counted: &Counted, rank: u64) -> Option<(usize, u64)> {
    let mut before = 0;
    for (cell, count) in counted.counts.iter().enumerate() {
        if rank < before + count {
            return Some((cell, rank - before));
        }
        before += count;
    }
    None
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
    let (edges, parts) = quantile_edges::<K>(reference, bins, threads);
    if parts.finite() == 0 {
        return Err(Error::Input(
            "`reference` must hold at least one finite value; got none".into(),
        ));
    }
    let thresholds = Thresholds::new(edges)?;
    let counted = histogram::count_slots(reference, &thresholds, threads);
    let planned = quantile_ranks(parts.finite(), bins);
    let ends = planned.iter().copied().chain([parts.finite()]);
    let starts = [0].into_iter().chain(planned.iter().copied());
    let expected: Vec<u64> = ends
        .zip(starts)
        .map(|(end, start)| end.saturating_sub(start))
        .collect();
    let continuous = expected == counted.counts;
    Ok(Fitted {
        thresholds,
        counts: counted.counts,
        parts,
        continuous,
    })
}

/// Lay the edges of [`quantile_bins`]; none without a finite value.
pub fn quantile_edges<K: Domain>(
    reference: &Column<'_>,
    bins: usize,
    threads: Option<usize>,
) -> (Vec<K>, Parts) {
    let ranks = |n| quantile_ranks(n, bins);
    let (quantiles, parts) = order_statistics::<K>(reference, ranks, threads);
    let mut edges: Vec<K> = Vec::new();
    for run in quantiles.chunk_by(|a, b| a == b) {
        push_above(&mut edges, run[0]);
        if let (true, Some(next)) = (run.len() > 1, run[0].next_up()) {
            push_above(&mut edges, next);
        }
    }
    (edges, parts)
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

fn push_above<K: Domain>(edges: &mut Vec<K>, edge: K) {
    if edges.last().is_none_or(|last| *last < edge) {
        edges.push(edge);
    }
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
        let (found, _) = order_statistics::<f64>(&column(&values), |n| vec![0, n / 3, n - 1], None);
        assert_eq!(found, [0.0, 33_334.0, 100_002.0]);
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

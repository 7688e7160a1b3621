//! Counting: values per slot, values per cell, and weights per slot.
//!
//! Two phases per block. First the whole block is mapped to small indices in a buffer, which vectorises; then the indices
//! are counted (`tally.rs`), and meanwhile the next block is asked for.

use crate::bins::{Even, Search, Thresholds};
use crate::cells::CellMap;
use crate::column::{BLOCK, Column, Infinities, Parts, Reading, Task};
use crate::dispatch;
use crate::domain::Domain;
use crate::halves::Halves;
use crate::parallel;
use crate::tally::Tally;

/// Counts with what was met beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Values per slot or cell.
    pub counts: Vec<u64>,
    /// Missing, NaN and infinite values.
    pub parts: Parts,
}

impl Counted {
    pub(crate) fn new(len: usize) -> Self {
        Self {
            counts: vec![0; len],
            parts: Parts::default(),
        }
    }

    pub(crate) fn sum(states: Vec<Self>, len: usize) -> Self {
        let mut states = states.into_iter();
        let mut total = states.next().unwrap_or_else(|| Self::new(len));
        for state in states {
            total.parts.add(&state.parts);
            for (sum, count) in total.counts.iter_mut().zip(state.counts) {
                *sum += count;
            }
        }
        total
    }
}

/// Count the finite values of a column per slot of the thresholds.
///
/// ```
/// use tidewheel_core::bins::Thresholds;
/// use tidewheel_core::column::{Column, Values};
/// use tidewheel_core::histogram::count_slots;
/// let values = [0.5, 1.0, 1.5, 7.0, f64::NAN];
/// let counted = count_slots(&Column::from(Values::F64(&values)), &Thresholds::new(vec![1.0, 2.0])?, None);
/// // Below 1, from 1 to below 2, from 2 on; NaN beside them.
/// assert_eq!(counted.counts, [1, 2, 1]);
/// assert_eq!(counted.parts.nan, 1);
/// # Ok::<(), tidewheel_core::Error>(())
/// ```
pub fn count_slots<K: Domain>(
    column: &Column<'_>,
    thresholds: &Thresholds<K>,
    threads: Option<usize>,
) -> Counted {
    let len = thresholds.slots();
    let leave = &Reading::All(Infinities::Leave);
    match thresholds.search() {
        Search::Few(halves) => count_few(column, thresholds, halves.as_ref(), threads),
        Search::Even(even) => count_even(column, thresholds, even, threads),
        Search::Guide(guide) => {
            let [counted] = count_indices([column], len, leave, threads, |block, cells| {
                dispatch::map_cells(&guide.map, block, cells);
                thresholds.settle(guide, block, cells);
            });
            counted
        }
    }
}

/// Count the numbers of columns that are to be read per cell of a map; infinities go to the outer cells.
///
/// Columns are counted in one go, so that no thread waits for the end of one.
pub fn count_cells<K: Domain, const N: usize>(
    columns: [&Column<'_>; N],
    map: &CellMap,
    reading: &Reading<K>,
    threads: Option<usize>,
) -> [Counted; N] {
    count_indices(
        columns,
        map.len(),
        reading,
        threads,
        |block: &[K], cells| {
            dispatch::map_cells(map, block, cells);
        },
    )
}

/// Count the numbers of columns per cell of a map, and beside them those that are not the value that is usual in their cell.
pub(crate) fn count_unusual<K: Domain, const N: usize>(
    columns: [&Column<'_>; N],
    map: &CellMap,
    usual: &[K],
    infinities: Infinities,
    threads: Option<usize>,
) -> [(Counted, Vec<u64>); N] {
    let len = map.len();
    let all = &Reading::All(infinities);
    let counted = count_indices(columns, 2 * len, all, threads, |block: &[K], cells| {
        dispatch::map_cells(map, block, cells);
        dispatch::set_apart(usual, block, len as u32, cells);
    });
    counted.map(|mut counted| {
        let others = counted.counts.split_off(len);
        for (count, other) in counted.counts.iter_mut().zip(&others) {
            *count += other;
        }
        (counted, others)
    })
}

/// Counts the small numbers below `len` that `find` writes for the values of a block.
fn count_indices<K: Domain, const N: usize>(
    columns: [&Column<'_>; N],
    len: usize,
    reading: &Reading<K>,
    threads: Option<usize>,
    find: impl Fn(&[K], &mut [u32]) + Sync,
) -> [Counted; N] {
    let tasks = Task::of(&columns);
    let rows = columns.iter().map(|column| column.len()).sum();
    let threads = parallel::threads_for(threads, rows);
    let start = || columns.map(|column| (Parts::default(), Tally::new(len, column.len())));
    let states = parallel::fold(tasks.len(), threads, start, |state, task| {
        let (place, task) = tasks[task];
        let (parts, tally) = &mut state[place];
        let mut indices = [0u32; BLOCK];
        columns[place].read(task, reading, parts, |block, ahead| {
            let indices = &mut indices[..block.len()];
            find(block, indices);
            tally.count(indices, ahead);
        });
    });
    let mut totals = [(); N].map(|()| Counted::new(len));
    for state in states {
        for (total, (parts, tally)) in totals.iter_mut().zip(state) {
            total.parts.add(&parts);
            tally.add_to(&mut total.counts);
        }
    }
    totals
}

/// Counts the slots of even thresholds; where these are few, pairs of slots are found at once.
fn count_even<K: Domain>(
    column: &Column<'_>,
    thresholds: &Thresholds<K>,
    even: &Even,
    threads: Option<usize>,
) -> Counted {
    let tasks = column.tasks();
    let values = thresholds.values();
    let start = || {
        (
            Parts::default(),
            Tally::new(thresholds.slots(), column.len()),
        )
    };
    let threads = parallel::threads_for(threads, column.len());
    let states = parallel::fold(tasks.len(), threads, start, |(parts, tally), task| {
        let (mut slots, mut pairs) = ([0; BLOCK], [0; BLOCK / 2]);
        let (task, leave) = (tasks[task], Infinities::Leave);
        column.blocks_tried::<K>(task, leave, parts, |block, ahead, is_raw| {
            if tally.takes_pairs() {
                let (ones, others) = block.split_at(block.len() / 2);
                let (others, odd) = others.split_at(ones.len());
                let pairs = &mut pairs[..ones.len()];
                let odd = odd.first().copied();
                let is_finite = odd.is_none_or(Domain::is_finite)
                    && dispatch::find_pairs(even, values, [ones, others], pairs);
                if is_finite {
                    let odd = odd.map(|value| thresholds.slot(value) as u32);
                    tally.count_pairs(pairs, odd, ahead);
                }
                return is_finite;
            }
            let is_ready = !is_raw || dispatch::all_finite(block);
            if is_ready {
                let slots = &mut slots[..block.len()];
                dispatch::find_slots(even, values, block, slots);
                tally.count(slots, ahead);
            }
            is_ready
        });
    });
    let mut total = Counted::new(thresholds.slots());
    for (parts, tally) in states {
        total.parts.add(&parts);
        tally.add_to(&mut total.counts);
    }
    total
}

/// Counts how many values reach each threshold; neighbouring differences are the slots.
fn count_few<K: Domain>(
    column: &Column<'_>,
    thresholds: &Thresholds<K>,
    halves: Option<&Halves>,
    threads: Option<usize>,
) -> Counted {
    let tasks = column.tasks();
    let threads = parallel::threads_for(threads, column.len());
    let reached_len = thresholds.values().len();
    let states = parallel::fold(
        tasks.len(),
        threads,
        || Counted::new(reached_len),
        |state, task| {
            let counts = &mut state.counts;
            let (task, leave, parts) = (tasks[task], Infinities::Leave, &mut state.parts);
            column.blocks_tried::<K>(task, leave, parts, |block, ahead, _| {
                dispatch::count_reached(block, thresholds.values(), halves, ahead, counts)
            });
        },
    );
    let reached = Counted::sum(states, reached_len);
    let mut above = reached.counts.clone();
    above.push(0);
    let mut before = reached.parts.finite();
    let mut counts = Vec::with_capacity(above.len());
    for count in above {
        counts.push(before.saturating_sub(count));
        before = count;
    }
    Counted {
        counts,
        parts: reached.parts,
    }
}

/// Sum weights per slot, in the order of the rows and on one thread, since sums of floats depend on their order.
pub fn sum_weights<K: Domain>(
    column: &Column<'_>,
    weights: &[f64],
    thresholds: &Thresholds<K>,
) -> Vec<f64> {
    let mut sums = vec![0.0; thresholds.slots()];
    for task in column.tasks() {
        column.rows::<K>(task, |row, value| {
            if let (Some(value), Some(weight)) =
                (value.filter(|value| value.is_finite()), weights.get(row))
            {
                sums[thresholds.slot(value)] += weight;
            }
        });
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bins;
    use crate::column::{Chunk, Values};
    use proptest::prelude::*;

    fn naive(values: &[f64], edges: &[f64]) -> Vec<u64> {
        let mut counts = vec![0; edges.len() + 1];
        for value in values.iter().filter(|value| value.is_finite()) {
            counts[edges.iter().filter(|edge| *edge <= value).count()] += 1;
        }
        counts
    }

    proptest! {
        #[test]
        fn slots_are_counted_as_the_slow_way_counts(values in prop::collection::vec(-10i32..60, 0..5000),
                                                    edges in 1usize..40, cut in 0usize..5000) {
            let values: Vec<f64> = values.iter().map(|v| f64::from(*v) / 2.0).collect();
            let edges: Vec<f64> = (0..edges).map(|edge| edge as f64 * 0.7).collect();
            let (left, right) = values.split_at(cut.min(values.len()));
            let chunk = |values| Chunk { values: Values::F64(values), validity: None };
            let thresholds = bins::Thresholds::new(edges.clone()).unwrap();
            let whole = count_slots(&Column::new(vec![chunk(&values)]), &thresholds, None);
            let split = count_slots(&Column::new(vec![chunk(left), chunk(right)]), &thresholds, None);
            prop_assert_eq!(&whole.counts, &naive(&values, &edges));
            prop_assert_eq!(whole, split);
        }
    }

    #[test]
    fn threads_do_not_change_counts() {
        let values: Vec<f64> = (0..600_000u64)
            .map(|i| (i.wrapping_mul(2_654_435_761) % 10_007) as f64)
            .collect();
        let column = Column::new(vec![Chunk {
            values: Values::F64(&values),
            validity: None,
        }]);
        for edges in [9, 40] {
            let thresholds =
                bins::Thresholds::new((1..edges).map(|e| f64::from(e) * 250.0).collect()).unwrap();
            let one = count_slots(&column, &thresholds, Some(1));
            for threads in [2, 3, 8] {
                assert_eq!(one, count_slots(&column, &thresholds, Some(threads)));
            }
        }
    }
}

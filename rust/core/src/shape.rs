//! The shape of two samples for the eye: counts on one set of even bins.
//!
//! Quantile bins show their own reference as flat; these are even and common to both samples. The ends come from a sample
//! of either side, without its tails where these are long: outliers must not squeeze everything else into a single bin.
//! What lies beyond is counted in two outer bins, so nothing is dropped. Where the bins lie is approximate (a picture, no
//! statistic); the counts on them are of every row. Where the search for the Kolmogorov-Smirnov distance has counted
//! both samples into much narrower cells already, these are added up instead of counting again, which would cost a report
//! a third more: then a value within half a cell of an edge may be counted beside it, and values beyond the cells count at
//! their ends.

use crate::cells::CellMap;
use crate::column::{Column, Infinities, Reading};
use crate::domain::Domain;
use crate::histogram::{self, Counted};

/// Most bins between the two outer ones: the days of a month fit, each with its own.
pub const BINS: usize = 32;
/// Rows of each side looked at to choose the ends.
const SAMPLE: usize = 512;
/// Percentages that may be left out at either end, the most first.
const TAILS: [usize; 4] = [10, 5, 1, 0];
/// The widest range is taken that is at most so many times as wide as the narrowest.
const STRETCH: f64 = 4.0;
/// Bins are at least this wide beside the largest end, so that arithmetic in `f64` can tell them apart.
const RESOLUTION: f64 = 1e-13;
/// Bins reach this much of a width beyond both ends, so that the ends themselves never fall to a rounding.
const MARGIN: f64 = 0.01;
/// Up to here whole numbers and their halves are exact.
const EXACT: f64 = 4_503_599_627_370_496.0;

/// Counts of both samples on the same even bins.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Left edge of the first bin between the outer ones.
    pub low: f64,
    /// Width of each bin; the outer ones are open.
    pub width: f64,
    /// Finite reference values: below, in each bin, above.
    pub reference: Vec<u64>,
    /// Finite current values: below, in each bin, above.
    pub current: Vec<u64>,
}

/// Cells that are added up must be so many to a bin at least.
const CELLS_PER_BIN: f64 = 16.0;

/// Where the bins lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    middle: f64,
    width: f64,
    bins: usize,
}

impl Layout {
    /// Choose even bins for both samples; `None` without a finite value or when the range is too wide for `f64`.
    pub fn choose<K: Domain>(reference: &Column<'_>, current: &Column<'_>) -> Option<Self> {
        let samples: Vec<Vec<f64>> = [reference, current]
            .into_iter()
            .map(|column| column.sample::<K>(SAMPLE, Infinities::Leave))
            .map(|sample| sample.into_iter().map(K::to_f64).collect())
            .collect();
        let (low, high) = samples
            .iter()
            .filter_map(|sample| ends(sample))
            .reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))?;
        let whole = samples.iter().flatten().all(|value| value.fract() == 0.0);
        let (middle, width, bins) = lay(low, high, whole)?;
        Some(Self {
            middle,
            width,
            bins,
        })
    }

    /// Cell 0 of the map takes what lies below, so its middle is one bin before the first.
    fn map(&self) -> CellMap {
        CellMap::Linear {
            low: self.middle - self.width,
            scale: 1.0 / self.width,
            last: (self.bins + 1) as f64,
        }
    }

    fn shape(&self, reference: Vec<u64>, current: Vec<u64>) -> Shape {
        let (low, width) = (self.middle - self.width / 2.0, self.width);
        Shape {
            low,
            width,
            reference,
            current,
        }
    }

    /// Add up cells of a linear map in which infinities were counted at the ends; `None` if they are not narrow enough.
    pub fn from_cells(
        &self,
        cells: &CellMap,
        reference: &Counted,
        current: &Counted,
    ) -> Option<Shape> {
        let CellMap::Linear { low, scale, last } = *cells else {
            return None;
        };
        // Outer cells hold all that lies beyond, so the cells must reach as far as the bins.
        let (first, after) = (
            self.middle - self.width / 2.0,
            self.middle + self.width * (self.bins as f64 - 0.5),
        );
        let reaches = low <= first + self.width && low + last / scale >= after - self.width;
        if self.width * scale < CELLS_PER_BIN || !reaches {
            return None;
        }
        let map = self.map();
        let add = |counted: &Counted| {
            let mut bins = vec![0u64; self.bins + 2];
            for (cell, &count) in counted.counts.iter().enumerate() {
                let bin = map.cell(low + cell as f64 / scale) as usize;
                bins[bin.min(self.bins + 1)] += count;
            }
            let (below, above) = (
                map.cell(low) as usize,
                map.cell(low + last / scale) as usize,
            );
            bins[below] = bins[below].saturating_sub(counted.parts.infinite_below);
            bins[above] = bins[above].saturating_sub(counted.parts.infinite_above);
            bins
        };
        Some(self.shape(add(reference), add(current)))
    }
}

/// Count both samples on even bins; `None` without a finite value or when the range is too wide for `f64`.
///
/// ```
/// use tidewheel_core::column::{Column, Values};
/// use tidewheel_core::shape::count;
/// let (reference, current) = ([1.0, 2.0, 2.0], [2.0, 3.0]);
/// let shape = count::<f64>(&Column::from(Values::F64(&reference)), &Column::from(Values::F64(&current)), None);
/// let shape = shape.expect("both samples have finite values");
/// assert_eq!(shape.reference.iter().sum::<u64>(), 3);
/// assert_eq!(shape.current.iter().sum::<u64>(), 2);
/// ```
pub fn count<K: Domain>(
    reference: &Column<'_>,
    current: &Column<'_>,
    threads: Option<usize>,
) -> Option<Shape> {
    let layout = Layout::choose::<K>(reference, current)?;
    let map = layout.map();
    let columns = [reference, current];
    let leave = &Reading::All(Infinities::Leave);
    let [r, c] = histogram::count_cells::<K, 2>(columns, &map, leave, threads);
    Some(layout.shape(r.counts, c.counts))
}

/// The ends of a sorted sample, without its tails where these are long.
fn ends(sample: &[f64]) -> Option<(f64, f64)> {
    let (&first, &last) = (sample.first()?, sample.last()?);
    let ranges = TAILS.map(|percent| {
        let tail = sample.len() * percent / 100;
        (sample[tail], sample[sample.len() - 1 - tail])
    });
    // Where nearly all is one value, the narrowest range with any width is what there is to see.
    let narrowest = ranges
        .iter()
        .map(|(low, high)| high - low)
        .find(|width| *width > 0.0);
    let fits =
        |(low, high): &(f64, f64)| narrowest.is_some_and(|width| high - low <= STRETCH * width);
    Some(ranges.into_iter().rfind(fits).unwrap_or((first, last)))
}

/// The middle of the first bin, the width, and the number of bins; whole numbers get bins of whole numbers.
fn lay(low: f64, high: f64, whole: bool) -> Option<(f64, f64, usize)> {
    let largest = low.abs().max(high.abs());
    let least = largest * RESOLUTION;
    let (middle, width, bins) = if whole && largest < EXACT {
        let width = ((high - low + 1.0) / BINS as f64).ceil();
        let bins = ((high - low + 1.0) / width).ceil();
        (low + (width - 1.0) / 2.0, width, bins)
    } else if low == high {
        (low, least, 1.0)
    } else {
        let width = ((high - low) / (BINS as f64 - 2.0 * MARGIN)).max(least);
        let bins = ((high - low) / width + 2.0 * MARGIN).ceil();
        (low + width * (0.5 - MARGIN), width, bins)
    };
    let bins = (bins as usize).clamp(1, BINS);
    ((1.0 / width).is_normal() && width.is_normal() && middle.is_finite())
        .then_some((middle, width, bins))
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
        fn every_finite_value_is_counted(r in prop::collection::vec(any::<f64>(), 1..300), c in prop::collection::vec(-9f64..9.0, 1..300)) {
            if let Some(shape) = count::<f64>(&column(&r), &column(&c), None) {
                let finite = r.iter().filter(|value| value.is_finite()).count() as u64;
                prop_assert_eq!(shape.reference.iter().sum::<u64>(), finite);
                prop_assert_eq!(shape.current.iter().sum::<u64>(), c.len() as u64);
                prop_assert!(shape.reference.len() <= BINS + 2);
                prop_assert_eq!(shape.reference.len(), shape.current.len());
            }
        }
    }

    #[test]
    fn whole_numbers_have_a_bin_each() {
        let (r, c) = ([0.0, 1.0, 1.0, 4.0], [1.0, 5.0]);
        let shape = count::<f64>(&column(&r), &column(&c), None).unwrap();
        assert_eq!((shape.low, shape.width), (-0.5, 1.0));
        assert_eq!(shape.reference, [0, 1, 2, 0, 0, 1, 0, 0]);
        assert_eq!(shape.current, [0, 0, 1, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn long_tails_are_counted_beyond() {
        let mut values: Vec<f64> = (0..400).map(|i| f64::from(i) / 400.0).collect();
        values.push(1e9);
        let shape = count::<f64>(&column(&values), &column(&values), None).unwrap();
        assert!(shape.low + shape.width * BINS as f64 <= 1.0);
        assert!(*shape.reference.last().unwrap() >= 1);
        assert_eq!(shape.reference.iter().sum::<u64>(), 401);
    }

    #[test]
    fn cells_are_added_up_to_the_same_bins() {
        let values = |step: u64| -> Vec<f64> {
            (0..20_000u64)
                .map(|i| (i.wrapping_mul(step) % 10_007) as f64 / 100.0)
                .chain([f64::INFINITY, f64::NEG_INFINITY, f64::NAN])
                .collect()
        };
        let (r, c) = (values(48_271), values(69_621));
        let (r, c) = (column(&r), column(&c));
        let layout = Layout::choose::<f64>(&r, &c).unwrap();
        let counted = count::<f64>(&r, &c, None).unwrap();
        let cells = |low: f64, high: f64, many: usize| {
            let map = CellMap::between(low, high, many).unwrap();
            let [r, c] = histogram::count_cells::<f64, 2>(
                [&r, &c],
                &map,
                &Reading::All(Infinities::Keep),
                None,
            );
            layout.from_cells(&map, &r, &c)
        };
        let added = cells(0.0, 100.06, 8_192).unwrap();
        for (one, other) in [
            (&added.reference, &counted.reference),
            (&added.current, &counted.current),
        ] {
            assert_eq!(one.iter().sum::<u64>(), 20_000);
            assert!(one.iter().zip(other).all(|(a, b)| a.abs_diff(*b) <= 6));
        }
        assert_eq!(cells(0.0, 100.06, 256), None);
        assert_eq!(cells(20.0, 80.0, 8_192), None);
    }

    #[test]
    fn constants_and_extremes() {
        let one = [0.1; 5];
        let shape = count::<f64>(&column(&one), &column(&one), None).unwrap();
        assert_eq!(shape.reference, [0, 5, 0]);
        let zero = [0.0; 3];
        assert_eq!(
            count::<f64>(&column(&zero), &column(&zero), None)
                .unwrap()
                .current,
            [0, 3, 0]
        );
        let huge = [(1i64 << 60) as f64; 2];
        assert_eq!(
            count::<f64>(&column(&huge), &column(&huge), None)
                .unwrap()
                .current,
            [0, 2, 0]
        );
        let wide = [-f64::MAX, f64::MAX];
        assert_eq!(count::<f64>(&column(&wide), &column(&wide), None), None);
        let none = [f64::NAN, f64::INFINITY];
        assert_eq!(count::<f64>(&column(&none), &column(&none), None), None);
    }
}

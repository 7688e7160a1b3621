//! Blocks of a reference: the mergeable state of a stream of numbers.
//!
//! The line is cut into many blocks at the reference's quantiles, and a value heavier than a block gets one of its own. Counts
//! per block add exactly, whatever the split and the order of the rows; coarser bins follow from them by summing, and
//! the Kolmogorov-Smirnov distance as an interval ([`crate::ks::enclose`]). Strings: [`crate::categories::Vocabulary`].

use crate::bins::Thresholds;
use crate::column::{Chunk, Column, Values};
use crate::domain::{Common, Domain};
use crate::error::Error;
use crate::histogram::{self, Counted};
use crate::select;

/// Blocks aimed at: few enough for small states, enough for an interval much narrower than the noise of the distance.
const BLOCKS: std::ops::RangeInclusive<usize> = 1_024..=16_384;
/// Blocks aimed at per root of the reference's rows: an interval is then a quarter as wide as that noise.
const BLOCKS_PER_ROOT: f64 = 4.0;
/// Integers below this are floats too, so that values of any type can be counted into the blocks of an integer column.
const EXACT_IN_FLOAT: u64 = 1 << 53;

/// Blocks `[e_i, e_(i+1))`, the outer ones open.
#[derive(Debug, Clone)]
pub struct Blocks<K> {
    thresholds: Thresholds<K>,
    single: Vec<bool>,
}

impl<K: Domain> Blocks<K> {
    /// Cut the line at edges.
    ///
    /// # Errors
    /// [`Error::Input`] for edges that are not finite or do not increase strictly.
    pub fn new(edges: Vec<K>) -> Result<Self, Error> {
        let thresholds = Thresholds::new(edges)?;
        if let Some(edge) = thresholds.values().iter().find(|edge| !edge.is_finite()) {
            return Err(Error::Input(format!(
                "`edges` must be finite; got {edge:?}"
            )));
        }
        let inner = thresholds.values().windows(2);
        let single = [false]
            .into_iter()
            .chain(inner.map(|pair| pair[0].next_up() == Some(pair[1])));
        let mut single: Vec<bool> = single.collect();
        single.resize(thresholds.slots(), false);
        Ok(Self { thresholds, single })
    }

    /// Which blocks hold one value alone: inside them a distribution function has no way to go.
    pub fn single(&self) -> &[bool] {
        &self.single
    }

    /// Count the finite values of a column per block.
    pub fn count(&self, column: &Column<'_>, threads: Option<usize>) -> Counted {
        histogram::count_slots(column, &self.thresholds, threads)
    }
}

/// Blocks and bins fitted to a reference, with what it holds.
#[derive(Debug, Clone)]
pub struct Fit<K> {
    /// Edges of the blocks; none when the reference holds no finite value.
    pub edges: Vec<K>,
    /// Finite reference values per block.
    pub counts: Vec<u64>,
    /// What else the reference holds.
    pub parts: crate::column::Parts,
    /// Edges of the bins at the reference's quantiles, each an edge of the blocks too.
    pub bin_edges: Vec<K>,
}

/// Fit blocks to a reference, about `4 sqrt(n)` of them, and `bins` bins whose edges are among theirs.
///
/// A reference with no more distinct values than blocks has each of them in a block of its own; then the distance
/// follows exactly from counts.
///
/// # Errors
/// [`Error::Input`] when `bins` is 0.
///
/// ```
/// use tidewheel_core::blocks::{Blocks, fit};
/// use tidewheel_core::column::{Column, Values};
/// let reference: Vec<f64> = (0..50).map(f64::from).collect();
/// let learned = fit::<f64>(&Column::from(Values::F64(&reference)), 10, None)?;
/// let blocks = Blocks::new(learned.edges)?;
/// let count = |batch: &[f64]| blocks.count(&Column::from(Values::F64(batch)), None).counts;
/// // Counts of batches add up to those of the whole.
/// let (one, other, whole) = (count(&[1.0, 7.5]), count(&[49.0]), count(&[7.5, 49.0, 1.0]));
/// assert!(one.iter().zip(&other).map(|(a, b)| a + b).eq(whole));
/// # Ok::<(), tidewheel_core::Error>(())
/// ```
pub fn fit<K: Domain>(
    reference: &Column<'_>,
    bins: usize,
    threads: Option<usize>,
) -> Result<Fit<K>, Error> {
    if bins == 0 {
        return Err(Error::Input("`bins` must be at least 1; got 0".into()));
    }
    let range = select::range::<K>(reference, threads);
    // After many rows of the greatest float the next edge is infinite: no finite value lies beyond it.
    let quantiles = |count| {
        let mut edges = select::quantile_edges::<K>(reference, count, threads).0;
        edges.retain(|edge| edge.is_finite());
        edges
    };
    let bin_edges = match range.0 {
        None => Vec::new(),
        Some(_) => quantiles(bins),
    };
    let wanted = (BLOCKS_PER_ROOT * (range.1.finite() as f64).sqrt()).ceil() as usize;
    let wanted = wanted.clamp(*BLOCKS.start(), *BLOCKS.end());
    let mut edges = match select::distinct::<K>(reference, wanted) {
        Some(values) => values
            .into_iter()
            .flat_map(|value| [Some(value), value.next_up()])
            .flatten()
            .filter(|edge| edge.is_finite())
            .collect(),
        None => quantiles(wanted),
    };
    edges.extend(&bin_edges);
    edges.sort_unstable_by_key(|edge| edge.key());
    edges.dedup();
    let counted = Blocks::new(edges.clone())?.count(reference, threads);
    Ok(Fit {
        edges,
        counts: counted.counts,
        parts: counted.parts,
        bin_edges,
    })
}

/// The domain of a column's blocks: floats wherever they hold all of the reference's values and their neighbours.
pub fn domain(reference: &Column<'_>, threads: Option<usize>) -> Common {
    let is_exact = match reference.common(reference) {
        Common::Float => true,
        Common::Signed => select::range::<i64>(reference, threads)
            .0
            .is_none_or(|(low, high)| low.unsigned_abs().max(high.unsigned_abs()) < EXACT_IN_FLOAT),
        Common::Unsigned => select::range::<u64>(reference, threads)
            .0
            .is_none_or(|(_, high)| high < EXACT_IN_FLOAT),
    };
    if is_exact {
        Common::Float
    } else {
        reference.common(reference)
    }
}

/// Say whether the values of a column can be counted into blocks of a domain without rounding.
pub fn fits(column: &Column<'_>, domain: Common) -> bool {
    let wide = |values| {
        Column::new(vec![Chunk {
            values,
            validity: None,
        }])
    };
    match domain {
        Common::Float => true,
        Common::Signed => column.common(&wide(Values::I64(&[]))) == domain,
        Common::Unsigned => column.common(&wide(Values::U64(&[]))) == domain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ks::{self, Alternative};
    use proptest::prelude::*;

    fn column(values: &[f64]) -> Column<'_> {
        Column::new(vec![Chunk {
            values: Values::F64(values),
            validity: None,
        }])
    }

    fn enclosed(r: &[f64], c: &[f64], blocks: &Blocks<f64>) -> (u128, u128) {
        let count = |values| {
            let counted = blocks.count(&column(values), None);
            let (below, above) = (counted.parts.infinite_below, counted.parts.infinite_above);
            [vec![below], counted.counts, vec![above]].concat()
        };
        let single: Vec<bool> = [&[true], blocks.single(), &[true]].concat();
        let found = ks::enclose(&count(r), &count(c), &single).unwrap();
        (found.lower, found.upper)
    }

    fn exact(r: &[f64], c: &[f64]) -> u128 {
        let found = ks::distance::<f64>(&column(r), &column(c), Alternative::TwoSided, None);
        found.unwrap().numerator
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_distance(r in prop::collection::vec(-20i32..20, 1..80), c in prop::collection::vec(-25i32..25, 1..80),
                                           edges in prop::collection::btree_set(-22i32..22, 0..12), infinite in any::<bool>()) {
            let mut r: Vec<f64> = r.into_iter().map(f64::from).collect();
            let c: Vec<f64> = c.into_iter().map(|v| f64::from(v) / 1.5).collect();
            if infinite {
                r.extend([f64::INFINITY, f64::NEG_INFINITY]);
            }
            let edges: Vec<f64> = edges.into_iter().map(f64::from).flat_map(|v| [v, v.next_up()]).collect();
            let (lower, upper) = enclosed(&r, &c, &Blocks::new(edges).unwrap());
            let d = exact(&r, &c);
            prop_assert!(lower <= d && d <= upper, "{lower} {d} {upper}");
            let fitted = fit::<f64>(&column(&r), 10, None).unwrap();
            // So few values all have their own blocks.
            prop_assert_eq!(enclosed(&r, &c, &Blocks::new(fitted.edges).unwrap()), (d, d));
        }
    }

    #[test]
    fn many_values_share_blocks_and_heavy_ones_do_not() {
        let mut values: Vec<f64> = (0..200_000u64)
            .map(|i| ((i * 48_271) % 200_003) as f64)
            .collect();
        values.extend(vec![0.5; 50_000]);
        let fitted = fit::<f64>(&column(&values), 10, None).unwrap();
        let blocks = Blocks::new(fitted.edges.clone()).unwrap();
        // The heavy value takes a fifth of the 1,999 quantiles.
        assert!((1_595..1_615).contains(&fitted.edges.len()));
        let heavy = fitted.edges.iter().position(|edge| *edge == 0.5).unwrap();
        assert!(blocks.single()[heavy + 1] && fitted.counts[heavy + 1] == 50_000);
        for edge in &fitted.bin_edges {
            assert!(fitted.edges.contains(edge));
        }
        let c: Vec<f64> = values.iter().map(|v| v * 1.01).collect();
        let (lower, upper) = enclosed(&values, &c, &blocks);
        let d = exact(&values, &c);
        assert!(lower <= d && d <= upper);
        let width = (upper - lower) as f64 / (values.len() as f64).powi(2);
        assert!(width < 2e-3, "{width}");
    }

    #[test]
    fn wide_integers_keep_their_domain() {
        let ints = |values| {
            Column::new(vec![Chunk {
                values,
                validity: None,
            }])
        };
        let most = 1i64 << 53;
        let (narrow, wide, unsigned) = ([1, most - 1], [1, -most], [most as u64]);
        assert_eq!(domain(&ints(Values::I64(&narrow)), None), Common::Float);
        assert_eq!(domain(&ints(Values::I64(&wide)), None), Common::Signed);
        assert_eq!(
            domain(&ints(Values::U64(&unsigned)), None),
            Common::Unsigned
        );
        assert!(fits(&ints(Values::U32(&[1])), Common::Signed));
        assert!(!fits(&ints(Values::F64(&[1.0])), Common::Signed));
        assert!(!fits(&ints(Values::I8(&[1])), Common::Unsigned));
        assert!(fits(&ints(Values::F64(&[1.0])), Common::Float));
    }

    #[test]
    fn edges_are_finite_and_a_reference_may_hold_nothing() {
        let error = Blocks::new(vec![0.0, f64::INFINITY]).unwrap_err();
        assert!(error.to_string().contains("must be finite; got inf"));
        let fitted = fit::<f64>(&column(&[f64::NAN, f64::INFINITY]), 10, None).unwrap();
        assert_eq!((fitted.edges.len(), fitted.counts), (0, vec![0]));
        assert_eq!((fitted.parts.nan, fitted.parts.infinite_above), (1, 1));
    }
}

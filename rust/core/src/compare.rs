//! Whole columns at once: everything a report needs of a pair of numeric columns.

use crate::cells::CellMap;
use crate::column::{Column, Parts};
use crate::domain::Domain;
use crate::histogram::{self, Counted};
use crate::ks::{self, Alternative, Distance};
use crate::parallel;
use crate::select;
use crate::shape::{self, Layout, Shape};

/// What a report needs of a pair of numeric columns.
#[derive(Debug, Clone)]
pub struct Numeric<K> {
    /// Parts of the reference.
    pub reference: Parts,
    /// Parts of the current sample.
    pub current: Parts,
    /// The Kolmogorov-Smirnov distance; `None` when a side holds no number.
    pub distance: Option<Distance<K>>,
    /// Interior edges at the reference's quantiles; none when the reference holds no finite number.
    pub edges: Vec<K>,
    /// Finite reference values per bin.
    pub reference_counts: Vec<u64>,
    /// Finite current values per bin.
    pub current_counts: Vec<u64>,
    /// True when no ties changed the quantiles.
    pub continuous: bool,
    /// Counts of both samples on even bins, to be looked at.
    pub shape: Option<Shape>,
}

/// Compare a pair of numeric columns.
///
/// ```
/// use tidewheel_core::column::{Column, Values};
/// use tidewheel_core::compare::numeric;
/// let reference: Vec<f64> = (0..1000).map(f64::from).collect();
/// let current: Vec<f64> = reference.iter().map(|x| x + 100.0).collect();
/// let found = numeric::<f64>(&Column::from(Values::F64(&reference)), &Column::from(Values::F64(&current)), 4, None);
/// assert_eq!(found.reference_counts, [250, 250, 250, 250]);
/// assert_eq!(found.current_counts, [150, 250, 250, 350]);
/// assert_eq!(found.distance.map(|distance| distance.statistic()), Some(0.1));
/// ```
pub fn numeric<K: Domain>(
    reference: &Column<'_>,
    current: &Column<'_>,
    bins: usize,
    threads: Option<usize>,
) -> Numeric<K> {
    let mut shape = None;
    let watch = |map: &CellMap, r: &Counted, c: &Counted| {
        shape =
            Layout::choose::<K>(reference, current).and_then(|layout| layout.from_cells(map, r, c));
    };
    let side = Alternative::TwoSided;
    let distance = ks::distance_and_cells(reference, current, side, threads, watch).ok();
    let Ok(fitted) = select::quantile_bins::<K>(reference, bins, threads) else {
        let (reference, current) = (
            select::range::<K>(reference, threads).1,
            select::range::<K>(current, threads).1,
        );
        let (reference_counts, current_counts) = (Vec::new(), Vec::new());
        return Numeric {
            reference,
            current,
            distance,
            edges: Vec::new(),
            reference_counts,
            current_counts,
            continuous: false,
            shape: None,
        };
    };
    let counted = histogram::count_slots(current, &fitted.thresholds, threads);
    Numeric {
        reference: fitted.parts,
        current: counted.parts,
        distance,
        edges: fitted.thresholds.values().to_vec(),
        reference_counts: fitted.counts,
        current_counts: counted.counts,
        continuous: fitted.continuous,
        shape: shape.or_else(|| shape::count::<K>(reference, current, threads)),
    }
}

/// Share threads between `columns` columns: how many columns at once, and how many threads each may use.
pub fn share_threads(columns: usize, rows: usize, requested: Option<usize>) -> (usize, usize) {
    let threads = parallel::threads_for(requested, rows.saturating_mul(columns));
    if columns >= threads {
        (threads, 1)
    } else {
        (1, threads)
    }
}

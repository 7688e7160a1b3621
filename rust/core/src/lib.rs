//! Drift statistics that count instead of sorting.
//!
//! The crate compares two samples, always `reference` and `current` in that order. It knows nothing of Python: columns
//! come in as borrowed slices ([`column::Column`]) and results go out as plain numbers. Nothing here panics on data.
//!
//! Where to look: [`cells`] maps values to small indices without branching, [`bins`] turns that into exact bins,
//! [`histogram`] counts, [`select`] finds order statistics, [`ks`] gets the exact Kolmogorov-Smirnov distance by
//! branch and bound over cells, [`wasserstein`] that distance by sums over the cells of [`offsets`], [`ranks`] what
//! needs both samples sorted ([`merge`]), [`blocks`] are the mergeable state of a stream, [`categories`] counts strings,
//! [`units`] counts per cluster, [`gather`] reads single rows, [`psi`] and [`kolmogorov`] hold the formulas, [`special`] the functions under them,
//! [`shape`] counts for the eye, [`compare`] runs whole columns.
#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod bins;
pub mod blocks;
pub mod categories;
pub mod cells;
pub mod column;
pub mod compare;
mod dispatch;
pub mod domain;
pub mod error;
pub mod exact;
pub mod gather;
pub mod histogram;
pub mod kolmogorov;
pub mod ks;
pub mod merge;
pub mod offsets;
pub mod parallel;
pub mod psi;
pub mod ranks;
pub mod select;
pub mod shape;
pub mod special;
pub mod units;
pub mod wasserstein;

pub use error::Error;

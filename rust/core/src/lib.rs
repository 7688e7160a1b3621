//! Drift statistics that count instead of sorting.
//!
//! The crate compares two samples, always `reference` and `current` in that order. It knows nothing of Python: columns
//! come in as borrowed slices ([`column::Column`]) and results go out as plain numbers. Nothing here panics on data.
//!
//! ```
//! use tidewheel_core::column::{Column, Values};
//! use tidewheel_core::kolmogorov::{Method, two_sample_p};
//! use tidewheel_core::ks::{Alternative, distance};
//!
//! let reference: Vec<f64> = (0..1000).map(f64::from).collect();
//! let current: Vec<f64> = reference.iter().map(|x| x + 50.0).collect();
//! let (r, c) = (Column::from(Values::F64(&reference)), Column::from(Values::F64(&current)));
//! let found = distance::<f64>(&r, &c, Alternative::TwoSided, None)?;
//! let (p, _) = two_sample_p(found.statistic(), found.n, found.m, Alternative::TwoSided, Method::Auto);
//! assert_eq!(found.statistic(), 0.05);
//! assert!(p > 0.1);
//! # Ok::<(), tidewheel_core::Error>(())
//! ```
//!
//! Longer ones are in `examples/`. `threads: Option<usize>` bounds the threads of a call, see [`parallel`]; no number that
//! comes out depends on it. `f64`, `i64` and `u64` are the types to compute in, see [`domain`].
//!
//! Where to look: [`cells`] maps values to small indices without branching, [`bins`] turns that into exact bins,
//! [`histogram`] counts, [`cell_rows`] gathers the rows of single cells, [`select`] finds order statistics, [`ks`] gets the exact Kolmogorov-Smirnov distance by
//! branch and bound over cells (`search.rs`, on the levels of `levels.rs`, with `atoms.rs` for frequent values), [`mod@reference`] the same against a reference sorted once, [`wasserstein`] that distance by
//! sums over the cells of [`offsets`], [`ranks`] what needs both samples sorted ([`merge`]), [`blocks`] are the mergeable
//! state of a stream, [`categories`] counts strings, [`units`] counts per cluster, [`gather`] reads single rows, [`psi`], [`kolmogorov`], [`exact`] and
//! [`expansion`] hold the formulas, [`special`] the functions under them, [`shape`] counts for the eye, [`tier`] names the
//! vector instructions in use, [`compare`] runs whole columns.
#![deny(missing_docs)]
#![deny(unsafe_code)]

mod atoms;
pub mod bins;
pub mod blocks;
pub mod categories;
pub mod cell_rows;
pub mod cells;
pub mod column;
pub mod compare;
mod dispatch;
pub mod domain;
pub mod error;
pub mod exact;
pub mod expansion;
pub mod gather;
mod halves;
pub mod histogram;
mod integral;
pub mod kolmogorov;
pub mod ks;
mod levels;
pub mod merge;
pub mod offsets;
pub mod parallel;
pub mod psi;
pub mod ranks;
pub mod reference;
mod search;
pub mod select;
pub mod shape;
mod signed_sums;
pub mod special;
mod tally;
mod texts;
pub mod tier;
pub mod units;
pub mod wasserstein;

pub use error::Error;

/// The example of the README, for the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

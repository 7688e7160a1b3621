//! Python binding of `tidewheel_core`: reads arguments, calls the core once without the interpreter lock, wraps results.
//!
//! All the `unsafe` turns foreign memory into slices: [`memory`] holds them, [`buffer`] borrows NumPy's, [`arrow`] reads
//! Arrow's structs, [`capsule`] moves those out of Python. [`contents`] is what they make of a column, [`column`] what
//! Python holds of it, [`results`] what it gets back, [`functions`] the calls, [`blocks`] those of mergeable states,
//! [`ranks`] those of references sorted once, [`gather`] those of single rows, [`threads`] how many threads these may use,
//! [`errors`] the exceptions, [`heap`] what happens to freed memory. The fuzz targets in `fuzz/` compile `memory`,
//! `contents` and `arrow` without Python.
#![deny(unsafe_op_in_unsafe_fn)]
#![deny(unsafe_code)]

mod arrow;
mod blocks;
mod buffer;
mod capsule;
mod column;
mod contents;
mod convert;
mod errors;
mod functions;
mod gather;
mod heap;
mod memory;
mod ranks;
mod results;
mod threads;
mod written;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::ranks::check_tier()
    }

    #[pymodule_export]
    use super::blocks::{
        FittedBlocks, KsEnclosure, PyBlocks, PyVocabulary, count_blocks, count_vocabularies,
        enclose_ks, fit_blocks, fit_vocabulary,
    };
    #[pymodule_export]
    use super::capsule::Batches;
    #[pymodule_export]
    use super::column::{PyColumn, PyUnits, read_array, read_table};
    #[pymodule_export]
    use super::functions::{
        anderson_darling, chi2_sf, compare_categories, compare_numeric, count_names_by_unit,
        count_numbers_by_unit, count_slots, cramer_von_mises, encode_units, energy_distance, f_sf,
        find_range, fit_quantiles, kolmogorov_sf, ks_distance, ks_pvalue, normal_sf, psi,
        sum_deviance, sum_weights, wasserstein,
    };
    #[pymodule_export]
    use super::gather::{gather_numbers, gather_strings, gather_units};
    #[pymodule_export]
    use super::ranks::{PyRanks, simd_tier};
    #[pymodule_export]
    use super::results::{CategoryComparison, FittedBins, KsDistance, NumericComparison, Parts};
}

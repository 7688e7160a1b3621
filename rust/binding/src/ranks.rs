//! References sorted once, and the vector tier in use.

use crate::column::PyColumn;
use crate::errors;
use crate::functions;
use crate::results::{KsDistance, Parts};
use crate::threads::{self, Threads};
use pyo3::prelude::*;
use tidewheel_core::reference::{Found, Reference};
use tidewheel_core::tier::Tier;

/// A reference sorted once.
#[pyclass(frozen, name = "Ranks", module = "tidewheel._native")]
pub struct PyRanks(Reference);

#[pymethods]
impl PyRanks {
    #[new]
    fn new(py: Python<'_>, reference: &PyColumn) -> PyResult<Self> {
        // The core would take a variable that says nothing as not set.
        threads::most(None)?;
        let column = reference.numbers()?;
        py.detach(|| Reference::fit(&column))
            .map(Self)
            .map_err(errors::from_core)
    }

    #[getter]
    fn parts(&self) -> Parts {
        self.0.parts().into()
    }

    #[pyo3(signature = (current, alternative="two-sided", threads=None))]
    fn ks_distance(
        &self,
        py: Python<'_>,
        current: &PyColumn,
        alternative: &str,
        threads: Option<Threads>,
    ) -> PyResult<KsDistance> {
        let threads = threads::most(threads)?;
        let (column, side) = (current.numbers()?, functions::alternative(alternative)?);
        py.detach(|| self.0.distance(&column, side, threads))
            .map(|found| match found {
                Found::Float(distance) => KsDistance::new(distance),
                Found::Signed(distance) => KsDistance::new(distance),
                Found::Unsigned(distance) => KsDistance::new(distance),
            })
            .map_err(errors::from_core)
    }
}

#[pyfunction]
pub fn simd_tier() -> &'static str {
    Tier::used().name()
}

/// Refuse a name in the environment that no tier has.
pub fn check_tier() -> PyResult<()> {
    Tier::chosen().map(|_| ()).map_err(errors::from_core)
}

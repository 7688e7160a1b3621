//! The calls that read single rows.

use crate::column::{PyColumn, PyUnits};
use crate::errors;
use crate::functions::vector;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tidewheel_core::gather;

type Bytes<'py> = Bound<'py, PyBytes>;

/// Wrap numbers as the bytes of an array in the machine's order.
fn wrap<'py, const N: usize>(
    py: Python<'py>,
    bytes: impl ExactSizeIterator<Item = [u8; N]>,
) -> Bytes<'py> {
    PyBytes::new(py, &bytes.flatten().collect::<Vec<u8>>())
}

#[pyfunction]
pub fn gather_numbers<'py>(
    py: Python<'py>,
    column: &PyColumn,
    rows: &PyColumn,
) -> PyResult<(Bytes<'py>, Bytes<'py>)> {
    let (values, rows) = (column.numbers()?, rows.numbers()?);
    let (numbers, there) = py
        .detach(|| gather::numbers(&values, &vector("rows", &rows)?))
        .map_err(errors::from_core)?;
    let numbers = wrap(py, numbers.iter().map(|value| value.to_ne_bytes()));
    Ok((numbers, PyBytes::new(py, &there)))
}

#[pyfunction]
pub fn gather_strings(
    py: Python<'_>,
    column: &PyColumn,
    rows: &PyColumn,
) -> PyResult<Vec<Option<String>>> {
    let (strings, rows) = (column.strings()?, rows.numbers()?);
    let read = || {
        let rows = vector("rows", &rows)?;
        let found = gather::strings(&strings, &rows)?.into_iter();
        Ok(found
            .map(|text| text.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
            .collect())
    };
    py.detach(read).map_err(errors::from_core)
}

#[pyfunction]
pub fn gather_units<'py>(
    py: Python<'py>,
    units: &PyUnits,
    rows: &PyColumn,
) -> PyResult<Bytes<'py>> {
    let rows = rows.numbers()?;
    let codes = py
        .detach(|| gather::codes(&units.0, &vector("rows", &rows)?))
        .map_err(errors::from_core)?;
    Ok(wrap(py, codes.iter().map(|code| code.to_ne_bytes())))
}

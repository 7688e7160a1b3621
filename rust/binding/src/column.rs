//! What Python holds of a column: its name, its type and its [`Contents`].

use crate::capsule;
use crate::contents::{Contents, NumberChunk, SharedStrings, TextChunk};
use crate::errors;
use crate::memory::{Shared, SharedBits, SharedValues};
use pyo3::prelude::*;
use tidewheel_core::categories::StringColumn;
use tidewheel_core::column::Column;
use tidewheel_core::units::Units;

/// A column of a table, or an array.
#[pyclass(frozen, name = "Column", module = "tidewheel._native")]
pub struct PyColumn {
    #[pyo3(get)]
    name: String,
    #[pyo3(get)]
    dtype: String,
    contents: Contents,
}

impl PyColumn {
    pub fn new(name: String, dtype: String, contents: Contents) -> Self {
        Self {
            name,
            dtype,
            contents,
        }
    }

    /// The numbers, if the column holds numbers (or booleans, as 0 and 1).
    pub fn numbers(&self) -> PyResult<Column<'_>> {
        self.contents
            .numbers()
            .ok_or_else(|| self.refuse("numbers"))
    }

    /// Rows, missing ones included.
    pub fn rows(&self) -> usize {
        self.contents.rows()
    }

    /// The strings, if the column holds strings or booleans.
    pub fn strings(&self) -> PyResult<StringColumn<'_>> {
        self.contents
            .strings()
            .ok_or_else(|| self.refuse("strings or booleans"))
    }

    /// The error of a column of the wrong type.
    pub fn refuse(&self, wanted: &str) -> PyErr {
        let (name, dtype) = (&self.name, &self.dtype);
        errors::input_type(format!("column {name:?} must hold {wanted}; got {dtype}"))
    }
}

fn validity(bits: Option<&Bound<'_, PyAny>>) -> PyResult<Option<SharedBits>> {
    bits.map(|bits| {
        Ok(SharedBits {
            bytes: Shared::from_python(bits)?,
            offset: 0,
        })
    })
    .transpose()
}

#[pymethods]
impl PyColumn {
    #[staticmethod]
    #[pyo3(signature = (name, dtype, code, values, missing=None))]
    fn from_buffer(
        name: String,
        dtype: String,
        code: &str,
        values: &Bound<'_, PyAny>,
        missing: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let chunk = NumberChunk {
            values: SharedValues::from_python(code, values)?,
            validity: validity(missing)?,
        };
        Ok(Self::new(name, dtype, Contents::Numbers(vec![chunk])))
    }

    #[staticmethod]
    #[pyo3(signature = (name, bits, length, missing=None))]
    fn from_bits(
        name: String,
        bits: &Bound<'_, PyAny>,
        length: usize,
        missing: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let bits = SharedBits {
            bytes: Shared::from_python(bits)?,
            offset: 0,
        };
        let chunk = TextChunk {
            strings: SharedStrings::Bool(bits, length),
            validity: validity(missing)?,
        };
        Ok(Self::new(name, "bool".into(), Contents::Text(vec![chunk])))
    }

    #[staticmethod]
    #[pyo3(signature = (name, offsets, data, missing=None))]
    fn from_strings(
        name: String,
        offsets: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
        missing: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let strings =
            SharedStrings::Large(Shared::from_python(offsets)?, Shared::from_python(data)?);
        let chunk = TextChunk {
            strings,
            validity: validity(missing)?,
        };
        Ok(Self::new(
            name,
            "string".into(),
            Contents::Text(vec![chunk]),
        ))
    }

    #[getter]
    fn kind(&self) -> &'static str {
        let temporal = ["date", "time", "duration"]
            .iter()
            .any(|word| self.dtype.starts_with(word));
        match &self.contents {
            Contents::Unsupported(_) => "unsupported",
            Contents::Text(_) if self.dtype == "bool" => "boolean",
            Contents::Text(_) => "string",
            Contents::Numbers(_) if self.dtype == "null" => "null",
            Contents::Numbers(_) if temporal => "temporal",
            Contents::Numbers(_) => "number",
        }
    }

    fn __len__(&self) -> usize {
        self.rows()
    }

    fn __repr__(&self) -> String {
        format!(
            "Column({:?}, {}, {} rows)",
            self.name,
            self.dtype,
            self.rows()
        )
    }
}

/// The unit of each row.
#[pyclass(frozen, name = "Units", module = "tidewheel._native")]
pub struct PyUnits(pub Units);

#[pymethods]
impl PyUnits {
    #[getter]
    fn count(&self) -> usize {
        self.0.count
    }

    fn __len__(&self) -> usize {
        self.0.codes.len()
    }
}

#[pyfunction]
pub fn read_array(name: &str, values: &Bound<'_, PyAny>) -> PyResult<PyColumn> {
    capsule::read(values, Some(name))?
        .pop()
        .ok_or_else(|| errors::input_type(format!("{name:?} has no values")))
}

#[pyfunction]
pub fn read_table(table: &Bound<'_, PyAny>) -> PyResult<Vec<PyColumn>> {
    capsule::read(table, None)
}

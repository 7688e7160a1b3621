//! What Python holds of a column: its name, its type and its [`Contents`].

use crate::capsule;
use crate::contents::{Contents, NumberChunk, SharedStrings, TextChunk};
use crate::convert;
use crate::errors;
use crate::heap;
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
    /// Why no statistic takes the column; empty if one does.
    #[pyo3(get)]
    reason: String,
    contents: Contents,
}

impl PyColumn {
    pub fn new(name: String, dtype: String, contents: Contents) -> Self {
        let reason = match &contents {
            Contents::Unsupported(..) => format!("the type {dtype} is not supported"),
            _ => String::new(),
        };
        Self {
            name,
            dtype,
            reason,
            contents,
        }
    }

    /// The numbers, if the column holds numbers (or booleans, as 0 and 1).
    pub fn numbers(&self) -> PyResult<Column<'_>> {
        heap::keep_freed_memory();
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
        heap::keep_freed_memory();
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

    #[staticmethod]
    fn null(name: String, rows: usize) -> Self {
        let bytes = Shared::from_vec(Vec::new());
        let chunk = NumberChunk {
            values: SharedValues::Missing(rows),
            validity: Some(SharedBits { bytes, offset: 0 }),
        };
        Self::new(name, "null".into(), Contents::Numbers(vec![chunk]))
    }

    #[staticmethod]
    fn unsupported(
        name: String,
        dtype: String,
        rows: usize,
        missing: usize,
        reason: String,
    ) -> Self {
        let contents = Contents::Unsupported(rows, missing);
        Self {
            name,
            dtype,
            reason,
            contents,
        }
    }

    #[getter]
    fn missing(&self, py: Python<'_>) -> usize {
        py.detach(|| convert::count_missing(&self.contents))
    }

    fn scaled(&self, py: Python<'_>, dtype: String, factor: i64) -> PyResult<Self> {
        let scaled = py.detach(|| convert::scale(&self.contents, factor));
        let contents = scaled.ok_or_else(|| self.refuse("times"))?;
        Ok(Self::new(self.name.clone(), dtype, contents))
    }

    fn named(&self, py: Python<'_>) -> PyResult<Self> {
        let named = py.detach(|| convert::name_numbers(&self.contents, &self.dtype));
        let contents = named.ok_or_else(|| self.refuse("numbers"))?;
        Ok(Self::new(self.name.clone(), "string".into(), contents))
    }

    fn numbered(&self, py: Python<'_>) -> PyResult<Self> {
        let strings = self.strings()?;
        let name = self.name.clone();
        Ok(match py.detach(|| convert::number_names(&strings)) {
            Ok(contents) => Self::new(name, convert::width(&contents).into(), contents),
            Err((examples, rows)) => {
                let (total, missing) = (self.rows(), convert::count_missing(&self.contents));
                let quoted = examples.iter().map(|text| format!("{text:?}"));
                let reason = format!(
                    "it is declared numeric, but {rows} of {total} rows are no number, such as {}",
                    quoted.collect::<Vec<_>>().join(", ")
                );
                Self::unsupported(name, self.dtype.clone(), total, missing, reason)
            }
        })
    }

    fn few(&self, py: Python<'_>, most: usize) -> Option<Vec<(f64, u64)>> {
        py.detach(|| convert::count_few(&self.contents, most))
    }

    fn looks(&self, py: Python<'_>) -> Option<(usize, usize, usize, Vec<String>)> {
        let found = py.detach(|| convert::look(&self.contents))?;
        Some((found.rows, found.numbers, found.times, found.examples))
    }

    #[getter]
    fn kind(&self) -> &'static str {
        if !convert::has_values(&self.contents) {
            return "null";
        }
        let temporal = ["date", "time", "duration"]
            .iter()
            .any(|word| self.dtype.starts_with(word));
        match &self.contents {
            Contents::Unsupported(..) => "unsupported",
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

//! Arrow data over the PyCapsule interface: the C structs are moved out of their capsules, [`crate::arrow`] reads them.
#![allow(unsafe_code)]

use crate::arrow::{self, ArrowArray, ArrowArrayStream, ArrowSchema, ReadColumn};
use crate::column::PyColumn;
use crate::errors;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use std::ffi::CStr;
use std::ptr;
use std::sync::{Arc, Mutex};

macro_rules! taken_from_a_capsule {
    ($kind:ident) => {
        impl $kind {
            /// Move the struct out of a capsule, leaving a released one behind, as the interface asks of consumers.
            fn take(capsule: &Bound<'_, PyAny>, name: &CStr) -> PyResult<Self> {
                let pointer = capsule
                    .cast::<PyCapsule>()?
                    .pointer_checked(Some(name))?
                    .cast::<$kind>()
                    .as_ptr();
                let mut taken = Self::empty();
                // SAFETY: a capsule of this name holds a valid struct of this kind; both sides are distinct.
                unsafe {
                    if (*pointer).release.is_none() {
                        return Err(errors::input(
                            "the Arrow capsule was consumed before; make a new one",
                        ));
                    }
                    ptr::swap(&mut taken, pointer);
                }
                Ok(taken)
            }
        }
    };
}

taken_from_a_capsule!(ArrowSchema);
taken_from_a_capsule!(ArrowArray);
taken_from_a_capsule!(ArrowArrayStream);

impl From<ReadColumn> for PyColumn {
    fn from(read: ReadColumn) -> Self {
        Self::new(read.name, read.dtype, read.contents)
    }
}

/// Read an object with `__arrow_c_stream__` or `__arrow_c_array__`: the columns of a table, or one array named `name`.
pub fn read(object: &Bound<'_, PyAny>, name: Option<&str>) -> PyResult<Vec<PyColumn>> {
    let (schema, arrays) = if object.hasattr("__arrow_c_stream__")? {
        read_stream(&object.call_method0("__arrow_c_stream__")?)?
    } else {
        let (schema, array): (Bound<'_, PyAny>, Bound<'_, PyAny>) =
            object.call_method0("__arrow_c_array__")?.extract()?;
        let array = ArrowArray::take(&array, c"arrow_array")?;
        (
            ArrowSchema::take(&schema, c"arrow_schema")?,
            vec![Arc::new(array)],
        )
    };
    read_columns(&schema, &arrays, name)
}

fn read_columns(
    schema: &ArrowSchema,
    arrays: &[Arc<ArrowArray>],
    name: Option<&str>,
) -> PyResult<Vec<PyColumn>> {
    let columns = arrow::read(schema, arrays, name).map_err(errors::from_core)?;
    Ok(columns.into_iter().map(PyColumn::from).collect())
}

fn read_stream(capsule: &Bound<'_, PyAny>) -> PyResult<(ArrowSchema, Vec<Arc<ArrowArray>>)> {
    let (schema, mut stream) = open_stream(capsule)?;
    let mut arrays = Vec::new();
    while let Some(array) = arrow::next_array(&mut stream).map_err(errors::from_core)? {
        arrays.push(Arc::new(array));
    }
    Ok((schema, arrays))
}

fn open_stream(capsule: &Bound<'_, PyAny>) -> PyResult<(ArrowSchema, ArrowArrayStream)> {
    let mut stream = ArrowArrayStream::take(capsule, c"arrow_array_stream")?;
    let schema = arrow::stream_schema(&mut stream).map_err(errors::from_core)?;
    Ok((schema, stream))
}

/// A table that comes batch by batch; only the batch handed out last is held.
#[pyclass(frozen, module = "tidewheel._native")]
pub struct Batches {
    open: Mutex<(ArrowSchema, ArrowArrayStream)>,
}

// SAFETY: the interface lets any thread use a stream and a schema, one at a time, which the mutex sees to.
unsafe impl Send for Batches {}
// SAFETY: as above.
unsafe impl Sync for Batches {}

#[pymethods]
impl Batches {
    #[new]
    fn new(table: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (schema, stream) = open_stream(&table.call_method0("__arrow_c_stream__")?)?;
        arrow::check_table(&schema).map_err(errors::from_core)?;
        Ok(Self {
            open: Mutex::new((schema, stream)),
        })
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self) -> PyResult<Option<Vec<PyColumn>>> {
        // Not waited for: a callback may run Python code, and whoever waited here with the interpreter lock would stop it.
        let Ok(mut open) = self.open.try_lock() else {
            return Err(errors::input(
                "an Arrow stream must be read by one thread at a time",
            ));
        };
        let (schema, stream) = &mut *open;
        let array = arrow::next_array(stream).map_err(errors::from_core)?;
        array
            .map(|array| read_columns(schema, &[Arc::new(array)], None))
            .transpose()
    }
}

//! Arrow data over the PyCapsule interface: the C structs are moved out of their capsules, [`crate::arrow`] reads them.
#![allow(unsafe_code)]

use crate::arrow::{self, ArrowArray, ArrowArrayStream, ArrowSchema, ReadColumn};
use crate::column::PyColumn;
use crate::errors;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex};

macro_rules! taken_from_a_capsule {
    ($kind:ident) => {
        impl $kind {
            /// Move the struct out of a capsule, leaving a released one behind, as the interface asks of consumers.
            ///
            /// Whoever swaps the callback out owns the struct, so of two threads (without the interpreter lock they may come at
            /// once) one gets it, and the other is refused.
            fn take(capsule: &Bound<'_, PyAny>, name: &CStr) -> PyResult<Self> {
                let pointer = capsule
                    .cast::<PyCapsule>()
                    .map_err(|_| not_a_capsule(capsule, name))?
                    .pointer_checked(Some(name))
                    .map_err(|_| not_a_capsule(capsule, name))?
                    .cast::<$kind>()
                    .as_ptr();
                // SAFETY: a capsule of this name holds a valid struct of this kind, and lives as long as `capsule`.
                let release = unsafe { &raw mut (*pointer).release };
                // SAFETY: an `Option` of a function pointer is a pointer in size, alignment and value, null being `None`;
                // consumers touch a struct that others may see through this swap alone.
                let release = unsafe { AtomicPtr::<()>::from_ptr(release.cast()) }
                    .swap(ptr::null_mut(), Ordering::AcqRel);
                if release.is_null() {
                    return Err(errors::input(
                        "the Arrow capsule was consumed before; make a new one",
                    ));
                }
                // SAFETY: the swap made us the owner; what stays behind is released, and nobody reads the rest of it.
                let mut taken = unsafe { ptr::read(pointer) };
                // SAFETY: the value is the field's own, of the same type.
                taken.release = unsafe {
                    std::mem::transmute::<*mut (), Option<unsafe extern "C" fn(*mut $kind)>>(
                        release,
                    )
                };
                Ok(taken)
            }
        }
    };
}

fn not_a_capsule(got: &Bound<'_, PyAny>, name: &CStr) -> PyErr {
    let kind = got.get_type();
    let kind = kind
        .name()
        .map_or_else(|_| "?".into(), |kind| kind.to_string());
    errors::input_type(format!(
        "the Arrow interface must give a capsule named {name:?}; got another {kind}"
    ))
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
        let (schema, array): (Bound<'_, PyAny>, Bound<'_, PyAny>) = object
            .call_method0("__arrow_c_array__")?
            .extract()
            .map_err(|_| {
                errors::input_type(
                    "`__arrow_c_array__` must give a schema and an array, both in capsules",
                )
            })?;
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

// SAFETY: the interface lets any thread use and release a stream and a schema, one at a time.
unsafe impl Send for Batches {}
// SAFETY: as above, and the mutex lets one thread at a time to them.
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

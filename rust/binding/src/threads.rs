//! How many threads a call may use: its argument, or the variable in the environment, checked where Python gives them.

use crate::errors;
use pyo3::prelude::*;
use pyo3::types::PyBool;
use tidewheel_core::parallel;

/// The argument `threads`, a whole number of at least 1.
pub struct Threads(usize);

impl FromPyObject<'_, '_> for Threads {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let wrong_type = || {
            let given = object
                .repr()
                .map_or_else(|_| "?".into(), |text| text.to_string());
            errors::input_type(format!(
                "`threads` must be a whole number of at least 1, or None; got {given}"
            ))
        };
        if object.is_instance_of::<PyBool>() {
            return Err(wrong_type());
        }
        let whole = object.call_method0("__index__").map_err(|_| wrong_type())?;
        if whole.lt(1)? {
            return Err(errors::input(format!(
                "`threads` must be at least 1, or None; got {whole}"
            )));
        }
        // More than the machine can number is as good as all that there are.
        Ok(Self(whole.extract().unwrap_or(usize::MAX)))
    }
}

/// The most threads to use: those asked for, else those of the environment, else the core's choice.
pub fn most(threads: Option<Threads>) -> PyResult<Option<usize>> {
    match threads {
        Some(Threads(threads)) => Ok(Some(threads)),
        None => parallel::from_environment().map_err(errors::from_core),
    }
}

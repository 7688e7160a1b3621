//! One way from the core's errors to the exception classes that `tidewheel.errors` defines.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use tidewheel_core::Error;

static INPUT: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static INPUT_TYPE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static UNKNOWN_NAME: PyOnceLock<Py<PyType>> = PyOnceLock::new();

fn raise(class: &PyOnceLock<Py<PyType>>, name: &str, text: String) -> PyErr {
    Python::attach(|py| match class.import(py, "tidewheel.errors", name) {
        Ok(class) => PyErr::from_type(class.clone(), text),
        Err(error) => error,
    })
}

/// A value that is not acceptable.
pub fn input(text: impl Into<String>) -> PyErr {
    raise(&INPUT, "InputError", text.into())
}

/// A value or column of the wrong type.
pub fn input_type(text: impl Into<String>) -> PyErr {
    raise(&INPUT_TYPE, "InputTypeError", text.into())
}

/// A name that is not among the known ones.
pub fn unknown_name(argument: &str, known: &[&str], got: &str) -> PyErr {
    let known = known
        .iter()
        .map(|name| format!("{name:?}"))
        .collect::<Vec<_>>()
        .join(", ");
    raise(
        &UNKNOWN_NAME,
        "UnknownNameError",
        format!("`{argument}` must be one of {known}; got {got:?}"),
    )
}

/// Turn an error of the core into its exception.
pub fn from_core(error: Error) -> PyErr {
    match error {
        Error::Input(text) => input(text),
        Error::Type(text) => input_type(text),
    }
}

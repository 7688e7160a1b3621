//! NumPy arrays over the buffer protocol, as the slices of [`crate::memory`].
#![allow(unsafe_code)]

use crate::errors;
use crate::memory::{Shared, SharedValues};
use pyo3::buffer::{Element, PyBuffer};
use pyo3::prelude::*;
use std::sync::Arc;

impl<T: Copy + Send + Sync + 'static> Shared<T> {
    /// Borrow a contiguous Python buffer of exactly this element type.
    pub fn from_python(object: &Bound<'_, PyAny>) -> PyResult<Self>
    where
        T: Element,
    {
        let buffer = PyBuffer::<T>::get(object)?;
        if !buffer.is_c_contiguous() || buffer.dimensions() != 1 {
            return Err(errors::input(
                "an array must be one-dimensional and contiguous",
            ));
        }
        let (pointer, len) = (buffer.buf_ptr() as *const T, buffer.item_count());
        // SAFETY: `PyBuffer` has checked the element's size and format, and the buffer protocol promises `item_count` of them, one
        // after the other, as long as the export is held, which the owner does.
        Ok(unsafe { Self::new(pointer, len, Arc::new(buffer)) })
    }
}

impl SharedValues {
    /// Borrow a Python buffer whose NumPy type code (`f8`, `i4`, ...) is `code`.
    pub fn from_python(code: &str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(match code {
            "f8" => SharedValues::F64(Shared::from_python(object)?),
            "f4" => SharedValues::F32(Shared::from_python(object)?),
            "i8" => SharedValues::I64(Shared::from_python(object)?),
            "i4" => SharedValues::I32(Shared::from_python(object)?),
            "i2" => SharedValues::I16(Shared::from_python(object)?),
            "i1" => SharedValues::I8(Shared::from_python(object)?),
            "u8" => SharedValues::U64(Shared::from_python(object)?),
            "u4" => SharedValues::U32(Shared::from_python(object)?),
            "u2" => SharedValues::U16(Shared::from_python(object)?),
            "u1" => SharedValues::U8(Shared::from_python(object)?),
            _ => {
                return Err(errors::input_type(format!(
                    "an array must hold numbers; got the type code {code:?}"
                )));
            }
        })
    }
}

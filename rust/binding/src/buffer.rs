//! Foreign memory as slices: a pointer, a length, and whatever keeps the memory alive.
//!
//! Another thread may write into a NumPy array while it is read here. The core copies each block before it uses it, so
//! that gives wrong counts at worst.
#![allow(unsafe_code)]

use crate::errors;
use pyo3::buffer::{Element, PyBuffer};
use pyo3::prelude::*;
use std::any::Any;
use std::sync::Arc;
use tidewheel_core::column::{Bits, Values};

/// What keeps foreign memory alive.
pub type Owner = Arc<dyn Any + Send + Sync>;

/// A slice of memory that somebody else owns.
pub struct Shared<T> {
    pointer: *const T,
    len: usize,
    _owner: Owner,
}

// SAFETY: the memory is only read through `slice`, the element types are plain numbers, and the owner is Send and Sync.
unsafe impl<T: Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Shared<T> {}

impl<T: Copy + Send + Sync + 'static> Shared<T> {
    /// Borrow `len` elements at `pointer`, which `owner` keeps alive; misaligned elements are copied.
    ///
    /// # Safety
    /// `pointer` must be readable for `len` elements of `T` (or null) for as long as `owner` lives.
    pub unsafe fn new(pointer: *const T, len: usize, owner: Owner) -> Self {
        if pointer.is_null() {
            return Self::from_vec(Vec::new());
        }
        if !pointer.is_aligned() {
            // SAFETY: the caller vouches for `len` readable elements; an unaligned read needs no alignment.
            return Self::from_vec(
                (0..len)
                    .map(|i| unsafe { pointer.add(i).read_unaligned() })
                    .collect(),
            );
        }
        Self {
            pointer,
            len,
            _owner: owner,
        }
    }

    /// Take over a vector.
    pub fn from_vec(values: Vec<T>) -> Self {
        let owner = Arc::new(values);
        Self {
            pointer: owner.as_ptr(),
            len: owner.len(),
            _owner: owner,
        }
    }

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
        // SAFETY: the buffer protocol promises `item_count` elements as long as the export is held, which the owner does.
        Ok(unsafe { Self::new(pointer, len, Arc::new(buffer)) })
    }

    /// The elements.
    pub fn slice(&self) -> &[T] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: `new` was promised `len` readable, aligned elements while the owner lives, and `self` holds the owner.
        unsafe { std::slice::from_raw_parts(self.pointer, self.len) }
    }
}

/// A packed bitmap that somebody else owns.
pub struct SharedBits {
    /// Its bytes.
    pub bytes: Shared<u8>,
    /// Bit of the first value.
    pub offset: usize,
}

impl SharedBits {
    /// Borrow the bitmap for the core.
    pub fn bits(&self) -> Bits<'_> {
        Bits::new(self.bytes.slice(), self.offset)
    }
}

/// Numbers of any supported type.
pub enum SharedValues {
    F64(Shared<f64>),
    F32(Shared<f32>),
    F16(Shared<u16>),
    I64(Shared<i64>),
    I32(Shared<i32>),
    I16(Shared<i16>),
    I8(Shared<i8>),
    U64(Shared<u64>),
    U32(Shared<u32>),
    U16(Shared<u16>),
    U8(Shared<u8>),
}

impl SharedValues {
    /// Borrow the numbers for the core.
    pub fn values(&self) -> Values<'_> {
        match self {
            SharedValues::F64(v) => Values::F64(v.slice()),
            SharedValues::F32(v) => Values::F32(v.slice()),
            SharedValues::F16(v) => Values::F16(v.slice()),
            SharedValues::I64(v) => Values::I64(v.slice()),
            SharedValues::I32(v) => Values::I32(v.slice()),
            SharedValues::I16(v) => Values::I16(v.slice()),
            SharedValues::I8(v) => Values::I8(v.slice()),
            SharedValues::U64(v) => Values::U64(v.slice()),
            SharedValues::U32(v) => Values::U32(v.slice()),
            SharedValues::U16(v) => Values::U16(v.slice()),
            SharedValues::U8(v) => Values::U8(v.slice()),
        }
    }

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

//! Foreign memory as slices: a pointer, a length, and whatever keeps the memory alive.
//!
//! Nothing here knows Python, so that the fuzz target of the Arrow reader can have this module (see `fuzz/`); what comes
//! over the buffer protocol is [`crate::buffer`]'s.
//!
//! Another thread may write into a NumPy array while it is read, and nothing here prevents it: Python lets it, and a copy of every
//! array would cost more than most statistics. `f64` blocks without gaps are even read in place, more than once; all others are
//! converted into a buffer first. So to the letter of Rust's rules a caller must not write during a call. What holds if one does:
//! all elements are plain numbers, for which any bits are a value; loops and allocations are bounded by lengths that no element
//! says; and nothing that a look at an element told is trusted at the next one (places in tables are checked, walks and sorts take a
//! NaN that was not there before). Wrong counts at worst, then, or an error in words; test:
//! `test_other_threads_may_write_meanwhile` in tests/drift/test_runtime.py.
#![allow(unsafe_code)]

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

// SAFETY: the memory is only read, through `slice`, as elements that may be sent and shared, and the owner may be too.
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

    /// The elements.
    pub fn slice(&self) -> &[T] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: `new` was promised `len` readable elements while the owner lives, and `self` holds the owner; it took the
        // pointer as it is only if it is aligned. Who writes meanwhile: see the module's words.
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
    /// That many missing values: a column without a type has no memory.
    Missing(usize),
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
            SharedValues::Missing(len) => Values::Bool(Bits::new(&[], 0), *len),
        }
    }
}

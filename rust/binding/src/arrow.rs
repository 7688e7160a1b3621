//! Arrow data over the PyCapsule interface: the three C structs, moved out of their capsules and released once.
//!
//! Layouts: <https://arrow.apache.org/docs/format/CDataInterface.html>. Every buffer that a column keeps holds an `Arc`
//! of the array it came from, and the array's release callback runs when the last of them goes.
#![allow(unsafe_code)]

use crate::buffer::{Owner, Shared, SharedBits, SharedValues};
use crate::column::{Contents, NumberChunk, PyColumn, SharedStrings, TextChunk};
use crate::errors;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::{Arc, Mutex};
use tidewheel_core::categories;
use tidewheel_core::column::{Bits, Column};
use tidewheel_core::domain::{Common, Domain};

#[repr(C)]
struct ArrowSchema {
    format: *const c_char,
    name: *const c_char,
    metadata: *const c_char,
    flags: i64,
    n_children: i64,
    children: *mut *mut ArrowSchema,
    dictionary: *mut ArrowSchema,
    release: Option<unsafe extern "C" fn(*mut ArrowSchema)>,
    private_data: *mut c_void,
}

#[repr(C)]
struct ArrowArray {
    length: i64,
    null_count: i64,
    offset: i64,
    n_buffers: i64,
    n_children: i64,
    buffers: *mut *const c_void,
    children: *mut *mut ArrowArray,
    dictionary: *mut ArrowArray,
    release: Option<unsafe extern "C" fn(*mut ArrowArray)>,
    private_data: *mut c_void,
}

#[repr(C)]
struct ArrowArrayStream {
    get_schema: Option<unsafe extern "C" fn(*mut ArrowArrayStream, *mut ArrowSchema) -> c_int>,
    get_next: Option<unsafe extern "C" fn(*mut ArrowArrayStream, *mut ArrowArray) -> c_int>,
    get_last_error: Option<unsafe extern "C" fn(*mut ArrowArrayStream) -> *const c_char>,
    release: Option<unsafe extern "C" fn(*mut ArrowArrayStream)>,
    private_data: *mut c_void,
}

macro_rules! released_once {
    ($kind:ident) => {
        impl $kind {
            fn empty() -> Self {
                // SAFETY: the struct is plain pointers, integers and `Option`s of function pointers: zero is a value.
                unsafe { std::mem::zeroed() }
            }

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

        impl Drop for $kind {
            fn drop(&mut self) {
                if let Some(release) = self.release {
                    // SAFETY: the struct was moved to us unreleased, and `drop` runs once; the callback clears `release`.
                    unsafe { release(self) }
                }
            }
        }
    };
}

released_once!(ArrowSchema);
released_once!(ArrowArray);
released_once!(ArrowArrayStream);

// SAFETY: Arrow arrays are immutable once exported, and the interface lets any thread read and release them.
unsafe impl Send for ArrowArray {}
// SAFETY: as above.
unsafe impl Sync for ArrowArray {}

impl ArrowSchema {
    fn format(&self) -> &str {
        text(self.format)
    }

    fn children(&self) -> &[*mut ArrowSchema] {
        // SAFETY: the interface promises `n_children` pointers.
        unsafe { slice_or_empty(self.children, self.n_children) }
    }
}

impl ArrowArray {
    fn buffer<T>(&self, index: usize) -> *const T {
        // SAFETY: the interface promises `n_buffers` pointers, each null or to a buffer of the layout's length.
        let buffers = unsafe { slice_or_empty(self.buffers, self.n_buffers) };
        buffers
            .get(index)
            .map_or(ptr::null(), |buffer| buffer.cast())
    }

    fn children(&self) -> &[*mut ArrowArray] {
        // SAFETY: the interface promises `n_children` pointers.
        unsafe { slice_or_empty(self.children, self.n_children) }
    }
}

/// # Safety
/// `pointer` must be null or readable for `len` elements.
unsafe fn slice_or_empty<'a, T>(pointer: *mut T, len: i64) -> &'a [T] {
    if pointer.is_null() || len <= 0 {
        return &[];
    }
    // SAFETY: by the contract of this function.
    unsafe { std::slice::from_raw_parts(pointer, len as usize) }
}

fn text<'a>(pointer: *const c_char) -> &'a str {
    if pointer.is_null() {
        return "";
    }
    // SAFETY: the interface promises strings that end with a zero byte.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap_or("")
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
    match (name, schema.format() == "+s") {
        (None, true) => read_struct(&schema, &arrays),
        (None, false) => Err(errors::input_type(
            "a table must have columns; got a single array",
        )),
        (Some(name), _) => {
            let pieces = arrays
                .iter()
                .map(|array| Piece::whole(array, array.clone()));
            Ok(vec![read_column(
                name,
                &schema,
                pieces.collect::<PyResult<_>>()?,
            )?])
        }
    }
}

fn read_stream(capsule: &Bound<'_, PyAny>) -> PyResult<(ArrowSchema, Vec<Arc<ArrowArray>>)> {
    let (schema, mut stream) = open_stream(capsule)?;
    let mut arrays = Vec::new();
    while let Some(array) = next_array(&mut stream)? {
        arrays.push(Arc::new(array));
    }
    Ok((schema, arrays))
}

fn open_stream(capsule: &Bound<'_, PyAny>) -> PyResult<(ArrowSchema, ArrowArrayStream)> {
    let mut stream = ArrowArrayStream::take(capsule, c"arrow_array_stream")?;
    let Some(get_schema) = stream.get_schema else {
        return Err(errors::input("the Arrow stream has no callbacks"));
    };
    let mut schema = ArrowSchema::empty();
    // SAFETY: the stream is live, and the target is an empty struct of the right kind.
    let status = unsafe { get_schema(&mut stream, &mut schema) };
    check(&mut stream, status)?;
    Ok((schema, stream))
}

fn next_array(stream: &mut ArrowArrayStream) -> PyResult<Option<ArrowArray>> {
    let Some(get_next) = stream.get_next else {
        return Err(errors::input("the Arrow stream has no callbacks"));
    };
    let mut array = ArrowArray::empty();
    // SAFETY: the stream is live, and the target is an empty struct of the right kind.
    let status = unsafe { get_next(stream, &mut array) };
    check(stream, status)?;
    Ok(array.release.is_some().then_some(array))
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
        if schema.format() != "+s" {
            return Err(errors::input_type(
                "a table must have columns; got a single array",
            ));
        }
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
        let array = next_array(stream)?;
        array
            .map(|array| read_struct(schema, &[Arc::new(array)]))
            .transpose()
    }
}

fn check(stream: &mut ArrowArrayStream, status: c_int) -> PyResult<()> {
    if status == 0 {
        return Ok(());
    }
    // SAFETY: the stream is live and has just returned an error; the string lives until its next call.
    let message = stream
        .get_last_error
        .map_or("", |last| text(unsafe { last(stream) }));
    Err(errors::input(format!(
        "the Arrow stream failed with code {status}: {message}"
    )))
}

/// A stretch of one array, with what keeps it alive.
struct Piece<'a> {
    array: &'a ArrowArray,
    offset: usize,
    len: usize,
    owner: Owner,
}

impl<'a> Piece<'a> {
    fn whole(array: &'a ArrowArray, owner: Owner) -> PyResult<Self> {
        let (Ok(offset), Ok(len)) = (usize::try_from(array.offset), usize::try_from(array.length))
        else {
            return Err(errors::input(
                "an Arrow array must have a length and an offset of at least 0",
            ));
        };
        Ok(Self {
            array,
            offset,
            len,
            owner,
        })
    }

    fn shared<T: Copy + Send + Sync + 'static>(&self, buffer: usize, extra: usize) -> Shared<T> {
        let pointer = self.array.buffer::<T>(buffer);
        if pointer.is_null() {
            return Shared::from_vec(Vec::new());
        }
        // SAFETY: the layout promises `offset + len` elements (and `extra` more for offsets), alive with the array.
        unsafe {
            Shared::new(
                pointer.add(self.offset),
                self.len + extra,
                self.owner.clone(),
            )
        }
    }

    fn bits(&self, buffer: usize) -> Option<SharedBits> {
        let pointer = self.array.buffer::<u8>(buffer);
        if pointer.is_null() {
            return None;
        }
        let bytes = (self.offset + self.len).div_ceil(8);
        // SAFETY: the layout promises one bit for each of `offset + len` values.
        let bytes = unsafe { Shared::new(pointer, bytes, self.owner.clone()) };
        Some(SharedBits {
            bytes,
            offset: self.offset,
        })
    }

    fn validity(&self) -> Option<SharedBits> {
        if self.array.null_count == 0 {
            None
        } else {
            self.bits(0)
        }
    }

    fn data(&self, buffer: usize, len: usize) -> Shared<u8> {
        // SAFETY: the layout promises the bytes up to the last offset, or the length stated for a view's buffer.
        unsafe { Shared::new(self.array.buffer::<u8>(buffer), len, self.owner.clone()) }
    }
}

fn read_struct(schema: &ArrowSchema, arrays: &[Arc<ArrowArray>]) -> PyResult<Vec<PyColumn>> {
    let mut columns = Vec::with_capacity(schema.children().len());
    for (index, &child_schema) in schema.children().iter().enumerate() {
        // SAFETY: the interface promises valid children as long as the parent is not released.
        let child_schema = unsafe { &*child_schema };
        let mut pieces = Vec::with_capacity(arrays.len());
        for array in arrays {
            pieces.push(child_piece(array, index)?);
        }
        columns.push(read_column(text(child_schema.name), child_schema, pieces)?);
    }
    Ok(columns)
}

fn child_piece(parent: &Arc<ArrowArray>, index: usize) -> PyResult<Piece<'_>> {
    let whole = Piece::whole(parent, parent.clone())?;
    if parent.null_count != 0
        && whole
            .validity()
            .is_some_and(|bits| !(0..whole.len).all(|row| bits.bits().get(row)))
    {
        return Err(errors::input_type(
            "a table must not have missing rows as a whole; got a struct array with nulls",
        ));
    }
    let Some(&child) = parent.children().get(index) else {
        return Err(errors::input(
            "an Arrow batch must have all columns of its schema",
        ));
    };
    // SAFETY: the interface promises valid children as long as the parent is not released, and the piece holds it.
    let mut piece = Piece::whole(unsafe { &*child }, whole.owner)?;
    piece.offset += whole.offset;
    piece.len = whole.len;
    Ok(piece)
}

fn read_column(name: &str, schema: &ArrowSchema, pieces: Vec<Piece<'_>>) -> PyResult<PyColumn> {
    let rows = pieces.iter().map(|piece| piece.len).sum();
    let mut values = schema;
    if !schema.dictionary.is_null() {
        // SAFETY: the interface promises a valid dictionary as long as the schema is not released.
        values = unsafe { &*schema.dictionary };
    }
    let dtype = dtype_name(values.format());
    let is_text = matches!(values.format(), "b" | "u" | "U" | "vu");
    let contents = if is_text {
        pieces
            .iter()
            .map(|piece| read_text(schema, piece))
            .collect::<Option<_>>()
            .map(Contents::Text)
    } else {
        pieces
            .iter()
            .map(|piece| read_numbers(schema, piece))
            .collect::<Option<_>>()
            .map(Contents::Numbers)
    };
    Ok(PyColumn::new(
        name.to_string(),
        dtype,
        contents.unwrap_or(Contents::Unsupported(rows)),
    ))
}

fn read_values(format: &str, piece: &Piece<'_>) -> Option<SharedValues> {
    Some(match format.as_bytes() {
        b"g" => SharedValues::F64(piece.shared(1, 0)),
        b"f" => SharedValues::F32(piece.shared(1, 0)),
        b"e" => SharedValues::F16(piece.shared(1, 0)),
        b"c" => SharedValues::I8(piece.shared(1, 0)),
        b"C" => SharedValues::U8(piece.shared(1, 0)),
        b"s" => SharedValues::I16(piece.shared(1, 0)),
        b"S" => SharedValues::U16(piece.shared(1, 0)),
        b"i" | b"tdD" | b"tts" | b"ttm" => SharedValues::I32(piece.shared(1, 0)),
        b"I" => SharedValues::U32(piece.shared(1, 0)),
        b"L" => SharedValues::U64(piece.shared(1, 0)),
        b"l" | b"tdm" | b"ttu" | b"ttn" | [b't', b's' | b'D', ..] => {
            SharedValues::I64(piece.shared(1, 0))
        }
        b"n" => SharedValues::I8(Shared::from_vec(vec![0; piece.len])),
        _ => return None,
    })
}

fn read_numbers(schema: &ArrowSchema, piece: &Piece<'_>) -> Option<NumberChunk> {
    if !schema.dictionary.is_null() {
        return decode_numbers(schema, piece);
    }
    let values = read_values(schema.format(), piece)?;
    if schema.format() == "n" {
        let bytes = Shared::from_vec(vec![0u8; piece.len.div_ceil(8)]);
        return Some(NumberChunk {
            values,
            validity: Some(SharedBits { bytes, offset: 0 }),
        });
    }
    Some(NumberChunk {
        values,
        validity: piece.validity(),
    })
}

/// Write dictionary-encoded numbers out, in the domain that holds them exactly.
fn decode_numbers(schema: &ArrowSchema, piece: &Piece<'_>) -> Option<NumberChunk> {
    let codes = read_values(schema.format(), piece)?;
    // SAFETY: the interface promises a dictionary array where the schema has one, alive with its parents.
    let (word_schema, words) = unsafe {
        (
            schema.dictionary.as_ref()?,
            piece.array.dictionary.as_ref()?,
        )
    };
    let words = read_numbers(word_schema, &Piece::whole(words, piece.owner.clone()).ok()?)?;
    let validity = piece.validity();
    let there = validity.as_ref().map(SharedBits::bits);
    let column = Column::new(vec![words.borrow()]);
    let domain = words.values.values().domain();
    let (values, bits) = match domain {
        Common::Float => look_up::<f64>(&codes, there, piece.len, &column, SharedValues::F64),
        Common::Signed => look_up::<i64>(&codes, there, piece.len, &column, SharedValues::I64),
        Common::Unsigned => look_up::<u64>(&codes, there, piece.len, &column, SharedValues::U64),
    };
    Some(NumberChunk {
        values,
        validity: Some(SharedBits {
            bytes: Shared::from_vec(bits),
            offset: 0,
        }),
    })
}

fn look_up<K: Domain>(
    codes: &SharedValues,
    there: Option<Bits<'_>>,
    len: usize,
    words: &Column<'_>,
    wrap: fn(Shared<K>) -> SharedValues,
) -> (SharedValues, Vec<u8>) {
    let mut entries = vec![None; words.len()];
    for task in words.tasks() {
        words.rows::<K>(task, |row, value| entries[row] = value);
    }
    let mut bits = vec![0u8; len.div_ceil(8)];
    let mut values = vec![K::default(); len];
    for row in (0..len).filter(|row| there.is_none_or(|bits| bits.get(*row))) {
        let code = categories::code(codes.values(), row);
        if let Some(value) = code.and_then(|code| entries.get(code).copied().flatten()) {
            values[row] = value;
            bits[row / 8] |= 1 << (row % 8);
        }
    }
    (wrap(Shared::from_vec(values)), bits)
}

fn read_text(schema: &ArrowSchema, piece: &Piece<'_>) -> Option<TextChunk> {
    let strings = if schema.dictionary.is_null() {
        read_strings(schema.format(), piece)?
    } else {
        // SAFETY: the interface promises a dictionary array where the schema has one, alive with its parents.
        let (word_schema, words) = unsafe {
            (
                schema.dictionary.as_ref()?,
                piece.array.dictionary.as_ref()?,
            )
        };
        let words = read_text(word_schema, &Piece::whole(words, piece.owner.clone()).ok()?)?;
        SharedStrings::Dictionary(read_values(schema.format(), piece)?, Box::new(words))
    };
    Some(TextChunk {
        strings,
        validity: piece.validity(),
    })
}

fn read_strings(format: &str, piece: &Piece<'_>) -> Option<SharedStrings> {
    Some(match format {
        "b" => {
            let empty = || SharedBits {
                bytes: Shared::from_vec(Vec::new()),
                offset: 0,
            };
            SharedStrings::Bool(piece.bits(1).unwrap_or_else(empty), piece.len)
        }
        "u" => {
            let offsets: Shared<i32> = piece.shared(1, 1);
            let end = offsets
                .slice()
                .last()
                .map_or(0, |&end| usize::try_from(end).unwrap_or(0));
            SharedStrings::Small(offsets, piece.data(2, end))
        }
        "U" => {
            let offsets: Shared<i64> = piece.shared(1, 1);
            let end = offsets
                .slice()
                .last()
                .map_or(0, |&end| usize::try_from(end).unwrap_or(0));
            SharedStrings::Large(offsets, piece.data(2, end))
        }
        "vu" => {
            let buffers = usize::try_from(piece.array.n_buffers)
                .unwrap_or(0)
                .saturating_sub(3);
            // SAFETY: the layout's last buffer holds one 64-bit length for each of the variadic buffers.
            let lengths: Shared<i64> = unsafe {
                Shared::new(
                    piece.array.buffer(buffers + 2),
                    buffers,
                    piece.owner.clone(),
                )
            };
            let lengths = lengths.slice().iter().enumerate();
            let data = lengths
                .map(|(i, &len)| piece.data(i + 2, usize::try_from(len).unwrap_or(0)))
                .collect();
            SharedStrings::Views(piece.shared(1, 0), data)
        }
        _ => return None,
    })
}

/// The name of an Arrow type, for errors and for comparing types.
fn dtype_name(format: &str) -> String {
    let unit = |code: Option<&u8>| match code {
        Some(b's') => "s",
        Some(b'm') => "ms",
        Some(b'u') => "us",
        _ => "ns",
    };
    let bytes = format.as_bytes();
    let known = match bytes {
        b"n" => "null",
        b"b" => "bool",
        b"c" => "int8",
        b"C" => "uint8",
        b"s" => "int16",
        b"S" => "uint16",
        b"i" => "int32",
        b"I" => "uint32",
        b"l" => "int64",
        b"L" => "uint64",
        b"e" => "float16",
        b"f" => "float32",
        b"g" => "float64",
        b"u" | b"U" | b"vu" => "string",
        b"tdD" => "date[D]",
        b"tdm" => "date[ms]",
        [b't', b't', ..] => return format!("time[{}]", unit(bytes.get(2))),
        [b't', b's', ..] => return format!("datetime[{}]", unit(bytes.get(2))),
        [b't', b'D', ..] => return format!("duration[{}]", unit(bytes.get(2))),
        [b'd', ..] => "decimal",
        [b'z' | b'Z' | b'w', ..] | b"vz" => "binary",
        [b'+', ..] => "nested",
        _ => return format!("Arrow format {format:?}"),
    };
    known.to_string()
}

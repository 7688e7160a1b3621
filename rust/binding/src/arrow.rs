//! Arrow's C structs, read into columns without trusting them.
//!
//! Layouts: <https://arrow.apache.org/docs/format/CDataInterface.html>. The structs carry no sizes of buffers, so what the
//! interface promises of pointers and of buffers' sizes has to be believed; all else (lengths, offsets, children, formats,
//! codes, views, released structs) is checked, here or where it is used. Every buffer that a column keeps holds an `Arc`
//! of the array it came from, and the array's release callback runs when the last of them goes. Nothing here knows Python,
//! so that `fuzz/arrow.rs` can feed it hostile structs; [`crate::capsule`] moves structs out of Python.
#![allow(unsafe_code)]

use crate::contents::{Contents, NumberChunk, SharedStrings, TextChunk};
use crate::convert::{self, Number};
use crate::memory::{Owner, Shared, SharedBits, SharedValues};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;
use tidewheel_core::Error;
use tidewheel_core::categories;
use tidewheel_core::column::{Bits, Values};
use tidewheel_core::domain::{Common, Domain};

/// Rows that an array may have or skip: no machine has more memory, and sizes in bytes cannot overflow.
const MOST_ROWS: i64 = 1 << 48;
/// Rows that a run-end encoded array may have to be read.
const MOST_RUN_ROWS: usize = 1 << 28;

/// The struct of this name in the C data interface.
#[repr(C)]
pub struct ArrowSchema {
    pub format: *const c_char,
    pub name: *const c_char,
    pub metadata: *const c_char,
    pub flags: i64,
    pub n_children: i64,
    pub children: *mut *mut ArrowSchema,
    pub dictionary: *mut ArrowSchema,
    pub release: Option<unsafe extern "C" fn(*mut ArrowSchema)>,
    pub private_data: *mut c_void,
}

/// The struct of this name in the C data interface.
#[repr(C)]
pub struct ArrowArray {
    pub length: i64,
    pub null_count: i64,
    pub offset: i64,
    pub n_buffers: i64,
    pub n_children: i64,
    pub buffers: *mut *const c_void,
    pub children: *mut *mut ArrowArray,
    pub dictionary: *mut ArrowArray,
    pub release: Option<unsafe extern "C" fn(*mut ArrowArray)>,
    pub private_data: *mut c_void,
}

/// The struct of this name in the C data interface.
#[repr(C)]
pub struct ArrowArrayStream {
    pub get_schema: Option<unsafe extern "C" fn(*mut ArrowArrayStream, *mut ArrowSchema) -> c_int>,
    pub get_next: Option<unsafe extern "C" fn(*mut ArrowArrayStream, *mut ArrowArray) -> c_int>,
    pub get_last_error: Option<unsafe extern "C" fn(*mut ArrowArrayStream) -> *const c_char>,
    pub release: Option<unsafe extern "C" fn(*mut ArrowArrayStream)>,
    pub private_data: *mut c_void,
}

macro_rules! released_once {
    ($kind:ident) => {
        impl Drop for $kind {
            fn drop(&mut self) {
                if let Some(release) = self.release {
                    // SAFETY: a producer filled the struct and nobody else holds it (see `capsule::take`), so the callback may
                    // run; it runs once, for `drop` does.
                    unsafe { release(self) }
                }
            }
        }
    };
}

released_once!(ArrowSchema);
released_once!(ArrowArray);
released_once!(ArrowArrayStream);

macro_rules! filled_by_a_stream {
    ($kind:ident) => {
        impl $kind {
            /// A released struct, to be filled.
            pub fn empty() -> Self {
                // SAFETY: the fields are raw pointers, integers and `Option`s of function pointers, for which zero is a value.
                unsafe { std::mem::zeroed() }
            }
        }
    };
}

filled_by_a_stream!(ArrowSchema);
filled_by_a_stream!(ArrowArray);

// SAFETY: Arrow arrays are immutable once exported, and the interface lets any thread read and release them.
unsafe impl Send for ArrowArray {}
// SAFETY: as above.
unsafe impl Sync for ArrowArray {}

impl ArrowSchema {
    fn format(&self) -> &str {
        // SAFETY: the interface promises a string that lives, unchanged, until the schema is released.
        unsafe { text(self, self.format) }
    }

    fn name(&self) -> &str {
        // SAFETY: as above.
        unsafe { text(self, self.name) }
    }

    /// True for the schema of a table.
    pub fn is_table(&self) -> bool {
        self.format() == "+s"
    }

    fn children(&self) -> Result<Vec<&ArrowSchema>, Error> {
        // SAFETY: the interface promises `n_children` pointers, which live until the schema is released.
        let children = unsafe { slice_or_empty(self, self.children, self.n_children) };
        // SAFETY: each of them is null or to a schema that lives as long as its parent.
        let live = |&child: &*mut ArrowSchema| unsafe { live_schema(self, child) };
        children.iter().map(live).collect()
    }

    fn dictionary(&self) -> Result<Option<&ArrowSchema>, Error> {
        if self.dictionary.is_null() {
            return Ok(None);
        }
        // SAFETY: the interface promises a schema that lives as long as its parent.
        unsafe { live_schema(self, self.dictionary) }.map(Some)
    }
}

impl ArrowArray {
    fn buffer<T>(&self, index: usize) -> *const T {
        // SAFETY: the interface promises `n_buffers` pointers, which live until the array is released.
        let buffers = unsafe { slice_or_empty(self, self.buffers, self.n_buffers) };
        buffers
            .get(index)
            .map_or(ptr::null(), |buffer| buffer.cast())
    }

    fn child(&self, index: usize) -> Option<&ArrowArray> {
        // SAFETY: the interface promises `n_children` pointers, which live until the array is released.
        let children = unsafe { slice_or_empty(self, self.children, self.n_children) };
        // SAFETY: each of them is null or to an array that lives as long as its parent.
        children
            .get(index)
            .and_then(|child| unsafe { child.as_ref() })
    }
}

// What these three give is borrowed of `owner`, so it cannot outlive the struct that holds it.

/// # Safety
/// `pointer` must be null or to a schema that lives until `owner` is released.
unsafe fn live_schema(
    _owner: &ArrowSchema,
    pointer: *const ArrowSchema,
) -> Result<&ArrowSchema, Error> {
    // SAFETY: by the contract of this function.
    let schema = unsafe { pointer.as_ref() };
    schema
        .filter(|schema| schema.release.is_some())
        .ok_or_else(|| {
            input("an Arrow schema must have all its parts; got one missing or released before")
        })
}

/// # Safety
/// `pointer` must be null or readable for `len` elements, which nobody changes until `owner` is released.
unsafe fn slice_or_empty<S, T>(_owner: &S, pointer: *mut T, len: i64) -> &[T] {
    if pointer.is_null() || len <= 0 {
        return &[];
    }
    // SAFETY: by the contract of this function.
    unsafe { std::slice::from_raw_parts(pointer, len as usize) }
}

/// # Safety
/// `pointer` must be null or to a string that ends with a zero byte and that nobody changes while `owner` is borrowed.
unsafe fn text<S>(_owner: &S, pointer: *const c_char) -> &str {
    if pointer.is_null() {
        return "";
    }
    // SAFETY: by the contract of this function.
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap_or("")
}

fn input(text: impl Into<String>) -> Error {
    Error::Input(text.into())
}

/// A column that was read.
pub struct ReadColumn {
    pub name: String,
    pub dtype: String,
    pub contents: Contents,
}

/// Read arrays of one schema: the columns of a table, or one array named `name`.
pub fn read(
    schema: &ArrowSchema,
    arrays: &[Arc<ArrowArray>],
    name: Option<&str>,
) -> Result<Vec<ReadColumn>, Error> {
    let Some(name) = name else {
        return read_table(schema, arrays);
    };
    let pieces = arrays
        .iter()
        .map(|array| Piece::whole(array, array.clone()))
        .collect::<Result<_, _>>()?;
    Ok(vec![read_column(name, schema, pieces)?])
}

/// Refuse the schema of anything but a table.
pub fn check_table(schema: &ArrowSchema) -> Result<(), Error> {
    if schema.is_table() {
        return Ok(());
    }
    Err(Error::Type(
        "a table must have columns; got a single array".into(),
    ))
}

fn read_table(schema: &ArrowSchema, arrays: &[Arc<ArrowArray>]) -> Result<Vec<ReadColumn>, Error> {
    check_table(schema)?;
    let mut batches = Vec::with_capacity(arrays.len());
    for array in arrays {
        batches.push(Piece::whole(array, array.clone())?.without_nulls()?);
    }
    let mut columns = Vec::new();
    for (index, child) in schema.children()?.into_iter().enumerate() {
        let pieces = batches
            .iter()
            .map(|batch| batch.child(index))
            .collect::<Result<_, _>>()?;
        columns.push(read_column(child.name(), child, pieces)?);
    }
    Ok(columns)
}

/// Ask a stream for its schema.
pub fn stream_schema(stream: &mut ArrowArrayStream) -> Result<ArrowSchema, Error> {
    let Some(get_schema) = stream.get_schema else {
        return Err(input("the Arrow stream has no callbacks"));
    };
    let mut schema = ArrowSchema::empty();
    // SAFETY: the stream is live, and the target is an empty struct of the right kind.
    let status = unsafe { get_schema(stream, &mut schema) };
    check(stream, status)?;
    if schema.release.is_none() {
        return Err(input("the Arrow stream must have a schema; got none"));
    }
    Ok(schema)
}

/// Ask a stream for its next array; `None` at the end.
pub fn next_array(stream: &mut ArrowArrayStream) -> Result<Option<ArrowArray>, Error> {
    let Some(get_next) = stream.get_next else {
        return Err(input("the Arrow stream has no callbacks"));
    };
    let mut array = ArrowArray::empty();
    // SAFETY: the stream is live, and the target is an empty struct of the right kind.
    let status = unsafe { get_next(stream, &mut array) };
    check(stream, status)?;
    Ok(array.release.is_some().then_some(array))
}

fn check(stream: &mut ArrowArrayStream, status: c_int) -> Result<(), Error> {
    if status == 0 {
        return Ok(());
    }
    let message = match stream.get_last_error {
        None => ptr::null(),
        // SAFETY: the stream is live and has just returned an error, which is when this may be asked.
        Some(last) => unsafe { last(stream) },
    };
    // SAFETY: the string lives until the next call of the stream, and the borrow ends before that.
    let message = unsafe { text(stream, message) };
    Err(input(format!(
        "the Arrow stream failed with code {status}: {message}"
    )))
}

/// A stretch of one array, with what keeps it alive.
struct Piece<'a> {
    array: &'a ArrowArray,
    offset: usize,
    len: usize,
    /// Where the whole array ends.
    end: usize,
    owner: Owner,
}

impl<'a> Piece<'a> {
    fn whole(array: &'a ArrowArray, owner: Owner) -> Result<Self, Error> {
        if array.release.is_none() {
            return Err(input(
                "an Arrow array must be whole; got one with a part released before",
            ));
        }
        for (what, number) in [("a length", array.length), ("an offset", array.offset)] {
            if !(0..=MOST_ROWS).contains(&number) {
                return Err(input(format!(
                    "an Arrow array must have {what} from 0 to {MOST_ROWS}; got {number}"
                )));
            }
        }
        Ok(Self {
            array,
            offset: array.offset as usize,
            len: array.length as usize,
            end: (array.offset + array.length) as usize,
            owner,
        })
    }

    /// Refuse a batch with missing rows.
    fn without_nulls(self) -> Result<Self, Error> {
        let missing = |bits: SharedBits| !(0..self.len).all(|row| bits.bits().get(row));
        if self.validity().is_some_and(missing) {
            return Err(Error::Type(
                "a table must not have missing rows as a whole; got a struct array with nulls"
                    .into(),
            ));
        }
        Ok(self)
    }

    /// The same rows of a column of this batch.
    fn child(&self, index: usize) -> Result<Piece<'a>, Error> {
        let Some(child) = self.array.child(index) else {
            return Err(input("an Arrow batch must have all columns of its schema"));
        };
        let whole = Piece::whole(child, self.owner.clone())?;
        let needed = self.offset + self.len;
        if whole.len < needed {
            return Err(input(format!(
                "column {index} of an Arrow batch must have at least {needed} rows; got {}",
                whole.len
            )));
        }
        Ok(Piece {
            offset: whole.offset + self.offset,
            len: self.len,
            ..whole
        })
    }

    /// A child with rows of its own, such as the values of runs.
    fn part(&self, index: usize) -> Result<Piece<'a>, Error> {
        let child = self.array.child(index).ok_or_else(unknown_layout)?;
        Piece::whole(child, self.owner.clone())
    }

    /// Rows that the validity calls missing; layouts without one have none.
    fn count_missing(&self) -> usize {
        let bits = if self.array.n_buffers > 0 {
            self.validity()
        } else {
            None
        };
        bits.map_or(0, |bits| {
            (0..self.len).filter(|&row| !bits.bits().get(row)).count()
        })
    }

    /// A buffer of values; it may be NULL only without rows.
    fn pointer<T>(&self, buffer: usize) -> Result<*const T, Error> {
        let pointer = self.array.buffer::<T>(buffer);
        if pointer.is_null() && self.len > 0 {
            return Err(input(format!(
                "an Arrow array of {} rows must have its buffer {buffer}; got none",
                self.len
            )));
        }
        Ok(pointer)
    }

    fn shared<T: Copy + Send + Sync + 'static>(&self, buffer: usize) -> Result<Shared<T>, Error> {
        self.elements(buffer, self.len)
    }

    /// Offsets of strings, one more than rows (none without rows, where the buffer may be empty), and the strings' bytes.
    ///
    /// The array's last offset says how many bytes there are, also to a part of it, for others may lie beyond.
    fn strings<T>(&self) -> Result<(Shared<T>, Shared<u8>), Error>
    where
        T: Copy + Send + Sync + Into<i64> + 'static,
    {
        if self.len == 0 {
            return Ok((Shared::from_vec(Vec::new()), Shared::from_vec(Vec::new())));
        }
        let pointer = self.pointer::<T>(1)?;
        // SAFETY: the layout promises one offset more than `end` values.
        let last = unsafe { pointer.add(self.end).read_unaligned() };
        Ok((self.elements(1, self.len + 1)?, self.data(2, last.into())?))
    }

    fn elements<T: Copy + Send + Sync + 'static>(
        &self,
        buffer: usize,
        len: usize,
    ) -> Result<Shared<T>, Error> {
        let pointer = self.pointer::<T>(buffer)?;
        if len == 0 {
            return Ok(Shared::from_vec(Vec::new()));
        }
        // SAFETY: the layout promises `offset + len` elements, alive with the array.
        Ok(unsafe { Shared::new(pointer.add(self.offset), len, self.owner.clone()) })
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

    /// The bytes of strings.
    fn data(&self, buffer: usize, len: i64) -> Result<Shared<u8>, Error> {
        let Ok(len) = usize::try_from(len) else {
            return Err(input(format!(
                "the strings of an Arrow array must end at 0 or later; got {len}"
            )));
        };
        // SAFETY: the layout promises the bytes up to the last offset, or the length stated for a view's buffer.
        Ok(unsafe { Shared::new(self.array.buffer::<u8>(buffer), len, self.owner.clone()) })
    }
}

fn read_column(
    name: &str,
    schema: &ArrowSchema,
    pieces: Vec<Piece<'_>>,
) -> Result<ReadColumn, Error> {
    let total = |rows: usize, piece: &Piece<'_>| rows.checked_add(piece.len);
    let rows = pieces.iter().try_fold(0, total);
    let rows = rows
        .filter(|&rows| rows <= MOST_ROWS as usize)
        .ok_or_else(|| {
            input(format!(
                "column {name:?} must have at most {MOST_ROWS} rows; got more"
            ))
        })?;
    let unsupported = || {
        let missing = pieces.iter().map(Piece::count_missing).sum();
        Contents::Unsupported(rows, missing)
    };
    Ok(ReadColumn {
        name: name.to_string(),
        dtype: dtype_name(value_schema(schema)?)?,
        contents: read_contents(schema, &pieces)?.unwrap_or_else(unsupported),
    })
}

/// The schema of the values themselves: of a dictionary's words, of a run's value, or the schema itself.
fn value_schema(schema: &ArrowSchema) -> Result<&ArrowSchema, Error> {
    if let Some(words) = schema.dictionary()? {
        return Ok(words);
    }
    if schema.format() == "+r"
        && let [_, values] = schema.children()?.as_slice()
    {
        return Ok(values);
    }
    Ok(schema)
}

/// Read the pieces of a column; `None` for a type that no statistic takes.
fn read_contents(schema: &ArrowSchema, pieces: &[Piece<'_>]) -> Result<Option<Contents>, Error> {
    if schema.format() == "+r" {
        return read_runs(schema, pieces);
    }
    let words = schema.dictionary()?;
    let of = words.unwrap_or(schema);
    // A dictionary whose words are a dictionary again: nobody writes that, and chains of them could go on for ever.
    if words.is_some() && of.dictionary()?.is_some() {
        return Ok(None);
    }
    if words.is_some() {
        check_codes(schema)?;
    }
    match of.format() {
        "b" | "u" | "U" | "vu" => pieces
            .iter()
            .map(|piece| read_text(schema, words, piece))
            .collect::<Result<_, _>>()
            .map(|chunks| Some(Contents::Text(chunks))),
        _ => pieces
            .iter()
            .map(|piece| read_numbers(schema, words, piece))
            .collect::<Result<Option<_>, _>>()
            .map(|chunks| chunks.map(Contents::Numbers)),
    }
}

/// Run-end encoded values, as codes into the values of the runs.
fn read_runs(schema: &ArrowSchema, pieces: &[Piece<'_>]) -> Result<Option<Contents>, Error> {
    let children = schema.children()?;
    let [ends, values] = children.as_slice() else {
        return Ok(None);
    };
    let is_plain = values.dictionary()?.is_none() && !matches!(values.format(), "+r" | "n");
    // Runs take no memory for their rows, codes do: nobody is asked for more than a gigabyte of them.
    if !is_plain || pieces.iter().any(|piece| piece.len > MOST_RUN_ROWS) {
        return Ok(None);
    }
    let text = matches!(values.format(), "b" | "u" | "U" | "vu");
    let (mut texts, mut numbers) = (Vec::new(), Vec::new());
    for piece in pieces {
        let codes = run_codes(ends.format(), piece)?;
        let words = piece.part(1)?;
        if text {
            let words = Box::new(read_text(values, None, &words)?);
            texts.push(TextChunk {
                strings: SharedStrings::Dictionary(codes, words),
                validity: None,
            });
        } else {
            let Some(words) = read_numbers(values, None, &words)? else {
                return Ok(None);
            };
            numbers.push(spell_out(&codes, None, piece.len, &words));
        }
    }
    Ok(Some(if text {
        Contents::Text(texts)
    } else {
        Contents::Numbers(numbers)
    }))
}

/// For each row of a run-end encoded piece the number of its run.
fn run_codes(format: &str, piece: &Piece<'_>) -> Result<SharedValues, Error> {
    let ends = match format {
        "s" | "i" | "l" => read_values(format, &piece.part(0)?)?,
        _ => None,
    };
    let ends = ends.ok_or_else(unknown_layout)?;
    let ends = ends.values();
    let mut codes: Vec<u32> = Vec::with_capacity(piece.len);
    let mut run = 0;
    for row in piece.offset..piece.offset + piece.len {
        while categories::code(ends, run).is_some_and(|end| end <= row) {
            run += 1;
        }
        codes.push(u32::try_from(run).unwrap_or(u32::MAX));
    }
    Ok(SharedValues::U32(Shared::from_vec(codes)))
}

fn check_codes(schema: &ArrowSchema) -> Result<(), Error> {
    match schema.format() {
        "c" | "C" | "s" | "S" | "i" | "I" | "l" | "L" => Ok(()),
        format => Err(Error::Type(format!(
            "an Arrow dictionary must have integers as codes; got the format {format:?}"
        ))),
    }
}

/// The dictionary of a piece whose schema has one.
fn words_of<'a>(piece: &Piece<'a>) -> Result<Piece<'a>, Error> {
    // SAFETY: the pointer is null, or to an array that lives as long as its parent, which the piece borrows.
    let words = unsafe { piece.array.dictionary.as_ref() };
    let words = words.ok_or_else(|| {
        input("an Arrow array must have the dictionary that its schema has; got none")
    })?;
    Piece::whole(words, piece.owner.clone())
}

fn read_values(format: &str, piece: &Piece<'_>) -> Result<Option<SharedValues>, Error> {
    Ok(Some(match format.as_bytes() {
        b"g" => SharedValues::F64(piece.shared(1)?),
        b"f" => SharedValues::F32(piece.shared(1)?),
        b"e" => SharedValues::F16(piece.shared(1)?),
        b"c" => SharedValues::I8(piece.shared(1)?),
        b"C" => SharedValues::U8(piece.shared(1)?),
        b"s" => SharedValues::I16(piece.shared(1)?),
        b"S" => SharedValues::U16(piece.shared(1)?),
        b"i" | b"tdD" | b"tts" | b"ttm" => SharedValues::I32(piece.shared(1)?),
        b"I" => SharedValues::U32(piece.shared(1)?),
        b"L" => SharedValues::U64(piece.shared(1)?),
        b"l" | b"tdm" | b"ttu" | b"ttn" => SharedValues::I64(piece.shared(1)?),
        [b't', b'D', unit] | [b't', b's', unit, b':', ..] if unit_name(*unit).is_some() => {
            SharedValues::I64(piece.shared(1)?)
        }
        b"n" => SharedValues::Missing(piece.len),
        [b'd', b':', ..] => return read_decimals(format, piece),
        _ => return Ok(None),
    }))
}

/// Decimals as the floats nearest to them.
fn read_decimals(format: &str, piece: &Piece<'_>) -> Result<Option<SharedValues>, Error> {
    let mut parts = format[2..].split(',').map(str::parse::<i32>);
    let (Some(Ok(_)), Some(Ok(scale))) = (parts.next(), parts.next()) else {
        return Ok(None);
    };
    let width = match parts.next() {
        None => 128,
        Some(Ok(bits)) => bits,
        Some(Err(_)) => return Ok(None),
    };
    let floats = match width {
        32 => decimals(&piece.shared::<i32>(1)?, |value| {
            decimal(value.into(), scale)
        }),
        64 => decimals(&piece.shared::<i64>(1)?, |value| {
            decimal(value.into(), scale)
        }),
        128 => decimals(&piece.shared::<[u8; 16]>(1)?, |bytes| {
            decimal(i128::from_le_bytes(bytes), scale)
        }),
        256 => decimals(&piece.shared::<[u8; 32]>(1)?, |bytes| {
            long_decimal(bytes, scale)
        }),
        _ => return Ok(None),
    };
    Ok(Some(floats))
}

fn decimals<T: Copy + Send + Sync + 'static>(
    values: &Shared<T>,
    convert: impl Fn(T) -> f64,
) -> SharedValues {
    let floats = values.slice().iter().map(|&value| convert(value)).collect();
    SharedValues::F64(Shared::from_vec(floats))
}

/// The float nearest to `value / 10^scale`.
fn decimal(value: i128, scale: i32) -> f64 {
    // Both are exact floats then, and one division rounds once.
    if value.unsigned_abs() <= 1 << 53 && (0..=22).contains(&scale) {
        return value as f64 / 10f64.powi(scale);
    }
    format!("{value}e{}", -i64::from(scale))
        .parse()
        .unwrap_or(f64::NAN)
}

/// The float next to a decimal of 256 bits, within two roundings where it needs more than 128.
fn long_decimal(bytes: [u8; 32], scale: i32) -> f64 {
    let mut halves = [[0u8; 16]; 2];
    halves[0].copy_from_slice(&bytes[..16]);
    halves[1].copy_from_slice(&bytes[16..]);
    let (low, high) = (
        u128::from_le_bytes(halves[0]),
        i128::from_le_bytes(halves[1]),
    );
    if high == i128::from(low as i128 >= 0) - 1 {
        return decimal(low as i128, scale);
    }
    (high as f64 * 2f64.powi(128) + low as f64) / 10f64.powi(scale)
}

fn read_numbers(
    schema: &ArrowSchema,
    words: Option<&ArrowSchema>,
    piece: &Piece<'_>,
) -> Result<Option<NumberChunk>, Error> {
    if let Some(words) = words {
        return decode_numbers(schema, words, piece);
    }
    let Some(values) = read_values(schema.format(), piece)? else {
        return Ok(None);
    };
    let nothing = || SharedBits {
        bytes: Shared::from_vec(Vec::new()),
        offset: 0,
    };
    let validity = match values {
        SharedValues::Missing(_) => Some(nothing()),
        _ => piece.validity(),
    };
    Ok(Some(NumberChunk { values, validity }))
}

/// Write dictionary-encoded numbers out, in the domain that holds them exactly.
fn decode_numbers(
    schema: &ArrowSchema,
    word_schema: &ArrowSchema,
    piece: &Piece<'_>,
) -> Result<Option<NumberChunk>, Error> {
    if word_schema.format() == "n" {
        // Words without a type take no memory, however many they are: nothing to look up.
        return read_numbers(word_schema, None, piece);
    }
    let words = read_numbers(word_schema, None, &words_of(piece)?)?;
    let (Some(words), Some(codes)) = (words, read_values(schema.format(), piece)?) else {
        return Ok(None);
    };
    let validity = piece.validity();
    let there = validity.as_ref().map(SharedBits::bits);
    Ok(Some(spell_out(&codes, there, piece.len, &words)))
}

/// Write out the words that codes stand for; a code without a word is a missing row.
fn spell_out(
    codes: &SharedValues,
    there: Option<Bits<'_>>,
    len: usize,
    words: &NumberChunk,
) -> NumberChunk {
    let (values, bits) = match words.values.values().domain() {
        Common::Float => look_up::<f64>(codes, there, len, words, SharedValues::F64),
        Common::Signed => look_up::<i64>(codes, there, len, words, SharedValues::I64),
        Common::Unsigned => look_up::<u64>(codes, there, len, words, SharedValues::U64),
    };
    NumberChunk {
        values,
        validity: Some(SharedBits {
            bytes: Shared::from_vec(bits),
            offset: 0,
        }),
    }
}

fn look_up<K: Domain>(
    codes: &SharedValues,
    there: Option<Bits<'_>>,
    len: usize,
    words: &NumberChunk,
    wrap: fn(Shared<K>) -> SharedValues,
) -> (SharedValues, Vec<u8>) {
    let chunk = words.borrow();
    let entries: Vec<Option<K>> = (0..chunk.values.len())
        .map(|row| {
            let there = chunk.validity.is_none_or(|bits| bits.get(row));
            there.then(|| entry(chunk.values, row))
        })
        .collect();
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

fn entry<K: Domain>(values: Values<'_>, row: usize) -> K {
    match convert::number(values, row) {
        Number::Whole(value) => u64::try_from(value)
            .map(K::from_u64)
            .unwrap_or_else(|_| K::from_i64(value as i64)),
        Number::Float(bits) => K::from_f64(f64::from_bits(bits)),
    }
}

fn read_text(
    schema: &ArrowSchema,
    words: Option<&ArrowSchema>,
    piece: &Piece<'_>,
) -> Result<TextChunk, Error> {
    let strings = match words {
        None => read_strings(schema.format(), piece)?,
        Some(word_schema) => {
            let words = read_text(word_schema, None, &words_of(piece)?)?;
            let codes = read_values(schema.format(), piece)?.ok_or_else(unknown_layout)?;
            SharedStrings::Dictionary(codes, Box::new(words))
        }
    };
    Ok(TextChunk {
        strings,
        validity: piece.validity(),
    })
}

fn unknown_layout() -> Error {
    input("an Arrow array must have a known layout")
}

fn read_strings(format: &str, piece: &Piece<'_>) -> Result<SharedStrings, Error> {
    Ok(match format {
        "b" => {
            piece.pointer::<u8>(1)?;
            let empty = || SharedBits {
                bytes: Shared::from_vec(Vec::new()),
                offset: 0,
            };
            SharedStrings::Bool(piece.bits(1).unwrap_or_else(empty), piece.len)
        }
        "u" => {
            let (offsets, data) = piece.strings()?;
            SharedStrings::Small(offsets, data)
        }
        "U" => {
            let (offsets, data) = piece.strings()?;
            SharedStrings::Large(offsets, data)
        }
        _ => SharedStrings::Views(piece.shared(1)?, read_view_buffers(piece)?),
    })
}

/// The buffers that views point into: all but validity and views, and the last, which holds one 64-bit length for each.
fn read_view_buffers(piece: &Piece<'_>) -> Result<Vec<Shared<u8>>, Error> {
    let buffers = usize::try_from(piece.array.n_buffers)
        .unwrap_or(0)
        .saturating_sub(3);
    let lengths = piece.array.buffer::<i64>(buffers + 2);
    if buffers > 0 && lengths.is_null() {
        return Err(input(
            "an Arrow array of string views must have the lengths of its buffers; got none",
        ));
    }
    // SAFETY: the layout promises one length for each of the buffers.
    let lengths: Shared<i64> = unsafe { Shared::new(lengths, buffers, piece.owner.clone()) };
    let lengths = lengths.slice().iter().enumerate();
    lengths
        .map(|(index, &len)| piece.data(index + 2, len))
        .collect()
}

fn unit_name(code: u8) -> Option<&'static str> {
    match code {
        b's' => Some("s"),
        b'm' => Some("ms"),
        b'u' => Some("us"),
        b'n' => Some("ns"),
        _ => None,
    }
}

/// The name of an Arrow type, for errors and for comparing types.
fn dtype_name(schema: &ArrowSchema) -> Result<String, Error> {
    if schema.dictionary()?.is_some() {
        return Ok("nested".into());
    }
    let format = schema.format();
    let bytes = format.as_bytes();
    let unit = bytes.get(2).and_then(|&code| unit_name(code));
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
        [b't', kind @ (b't' | b's' | b'D'), ..] if unit.is_some() => {
            let kind = match kind {
                b't' => "time",
                b's' => "datetime",
                _ => "duration",
            };
            let unit = unit.unwrap_or_default();
            // Whatever the zone, its instants are counted in UTC.
            let zone = if kind == "datetime" && bytes.len() > 4 {
                ", UTC"
            } else {
                ""
            };
            return Ok(format!("{kind}[{unit}{zone}]"));
        }
        [b'd', ..] => "decimal",
        [b'z' | b'Z' | b'w', ..] | b"vz" => "binary",
        [b'+', ..] => "nested",
        _ => return Ok(format!("Arrow format {format:?}")),
    };
    Ok(known.to_string())
}

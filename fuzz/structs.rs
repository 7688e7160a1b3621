//! Arrow's C structs rolled from the fuzzer's bytes: within the interface's promises, and otherwise as hostile as can be.

use crate::arrow::{ArrowArray, ArrowArrayStream, ArrowSchema};
use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;

/// The fuzzer's bytes, taken from the front; zeros once they are used up.
///
/// The first two say which kinds of lies may be told, so that an input can tell one alone and get far with it.
pub struct Dice<'a> {
    bytes: &'a [u8],
    lies: u16,
}

/// A kind of lie, by its bit.
#[derive(Clone, Copy)]
enum Lie {
    ShortChild,
    NoDictionary,
    Spoilt,
    NoText,
    Length,
    NoBuffers,
    NoBuffer,
    Offsets,
    Views,
    Lengths,
    Count,
    NoChildren,
    Numbers,
    Stream,
    Format,
    Links,
}

impl<'a> Dice<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        let mut dice = Self {
            bytes: data,
            lies: 0,
        };
        dice.lies = u16::from_le_bytes([dice.byte(), dice.byte()]);
        dice
    }

    fn lie(&mut self, kind: Lie, most: usize) -> bool {
        self.lies >> kind as u32 & 1 == 1 && self.one_in(most)
    }

    fn byte(&mut self) -> u8 {
        let (first, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        self.bytes = rest;
        *first
    }

    pub fn below(&mut self, most: usize) -> usize {
        usize::from(self.byte()) % most
    }

    pub fn one_in(&mut self, most: usize) -> bool {
        self.below(most) == most - 1
    }

    /// Bytes as given, with now and then a number at which something may overflow.
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..len).map(|_| self.byte()).collect();
        if len >= 8 && self.lie(Lie::Numbers, 4) {
            let at = self.below(len / 8) * 8;
            bytes[at..at + 8].copy_from_slice(&self.number().to_le_bytes());
        }
        bytes
    }

    fn number(&mut self) -> i64 {
        const EDGES: [i64; 10] = [
            -1,
            0,
            1,
            -2,
            i64::MIN,
            i64::MAX,
            1 << 31,
            (1 << 48) - 1,
            1 << 48,
            1 << 62,
        ];
        EDGES[self.below(EDGES.len())]
    }
}

const FORMATS: [&str; 39] = [
    "g", "f", "e", "c", "C", "s", "S", "i", "I", "l", "L", "tdD", "tdm", "tts", "ttm", "ttu",
    "ttn", "tDs", "tDn", "tsu:", "tss:UTC", "n", "b", "u", "U", "vu", "u", "vu", "+s", "+l",
    "d:5,2", "z", "vz", "w:4", "tiM", "ts?:", "tD", "", "+ud:0,1",
];

/// What schema and arrays have in common: buffers are laid out by the schema's formats.
pub struct Plan {
    format: CString,
    children: Vec<Plan>,
    dictionary: Option<Box<Plan>>,
}

impl Plan {
    pub fn roll(dice: &mut Dice<'_>, table: bool) -> Self {
        if table && !dice.one_in(16) {
            return Self {
                format: c"+s".into(),
                children: (0..dice.below(4)).map(|_| Self::column(dice)).collect(),
                dictionary: None,
            };
        }
        Self::column(dice)
    }

    fn column(dice: &mut Dice<'_>) -> Self {
        let mut plan = Self::plain(dice);
        // Chains of one, of two, and of very many.
        let links = if dice.one_in(3) {
            if dice.lie(Lie::Links, 2) {
                [2, 200][dice.below(2)]
            } else {
                1
            }
        } else {
            0
        };
        for _ in 0..links {
            let mut codes = Self::plain(dice);
            codes.dictionary = Some(Box::new(plan));
            plan = codes;
        }
        plan
    }

    fn plain(dice: &mut Dice<'_>) -> Self {
        let format = if dice.lie(Lie::Format, 4) {
            let raw: Vec<u8> = dice
                .bytes(4)
                .into_iter()
                .filter(|&byte| byte != 0)
                .collect();
            CString::new(raw).unwrap_or_default()
        } else {
            CString::new(FORMATS[dice.below(FORMATS.len())]).unwrap_or_default()
        };
        Self {
            format,
            children: Vec::new(),
            dictionary: None,
        }
    }

    pub fn schema(&self, dice: &mut Dice<'_>) -> ArrowSchema {
        let mut holder = Box::new(SchemaHolder {
            format: self.format.clone(),
            name: CString::new(
                dice.bytes(1)
                    .into_iter()
                    .filter(|&byte| byte != 0)
                    .collect::<Vec<_>>(),
            )
            .unwrap_or_default(),
            children: self
                .children
                .iter()
                .map(|child| boxed(child.schema(dice)))
                .collect(),
            dictionary: self
                .dictionary
                .as_ref()
                .map(|words| boxed(words.schema(dice))),
        });
        spoil(&mut holder.children, dice, |schema| schema.release = None);
        let mut schema = ArrowSchema::empty();
        schema.format = if dice.lie(Lie::NoText, 8) {
            ptr::null()
        } else {
            holder.format.as_ptr()
        };
        schema.name = if dice.lie(Lie::NoText, 8) {
            ptr::null()
        } else {
            holder.name.as_ptr()
        };
        schema.flags = dice.number();
        schema.n_children = count(holder.children.len(), dice);
        schema.children = pointers(&mut holder.children, dice);
        schema.dictionary = holder
            .dictionary
            .as_ref()
            .map_or(ptr::null_mut(), |&words| words);
        schema.release = Some(release_schema);
        schema.private_data = Box::into_raw(holder).cast();
        schema
    }

    pub fn array(&self, dice: &mut Dice<'_>) -> ArrowArray {
        let len = dice.below(24);
        self.array_of(len, dice)
    }

    fn array_of(&self, len: usize, dice: &mut Dice<'_>) -> ArrowArray {
        let offset = if dice.one_in(3) { dice.below(10) } else { 0 };
        let mut holder = Box::new(ArrayHolder {
            buffers: self.buffers(offset + len, dice),
            pointers: Vec::new(),
            // Children are as long as they must be, or shorter.
            children: self
                .children
                .iter()
                .map(|child| {
                    let len = if dice.lie(Lie::ShortChild, 2) {
                        dice.below(len + 1)
                    } else {
                        offset + len
                    };
                    boxed(child.array_of(len, dice))
                })
                .collect(),
            dictionary: match &self.dictionary {
                Some(words) if !dice.lie(Lie::NoDictionary, 4) => {
                    let len = dice.below(8);
                    Some(boxed(words.array_of(len, dice)))
                }
                _ => None,
            },
        });
        spoil(&mut holder.children, dice, |array| array.release = None);
        holder.pointers = holder.buffers.iter().map(Buffer::pointer).collect();
        let mut array = ArrowArray::empty();
        let is_bare = holder
            .buffers
            .iter()
            .all(|buffer| buffer.pointer().is_null());
        // Without buffers nothing is promised of the length.
        let lie = |true_one: usize, dice: &mut Dice<'_>| {
            if is_bare && dice.lie(Lie::Length, 2) {
                dice.number()
            } else {
                true_one as i64
            }
        };
        array.length = lie(len, dice);
        array.offset = lie(offset, dice);
        array.null_count = if dice.one_in(2) { -1 } else { dice.number() };
        let claimed = count(holder.pointers.len(), dice);
        // With views the last buffer counted holds a length for each before it: another one in its place would be too short.
        let is_short = self.format.as_bytes().starts_with(b"v")
            && (4..holder.pointers.len() as i64).contains(&claimed);
        array.n_buffers = if is_short { 3 } else { claimed };
        array.buffers = if dice.lie(Lie::NoBuffers, 4) {
            ptr::null_mut()
        } else {
            holder.pointers.as_mut_ptr()
        };
        array.n_children = count(holder.children.len(), dice);
        array.children = pointers(&mut holder.children, dice);
        array.dictionary = holder
            .dictionary
            .as_ref()
            .map_or(ptr::null_mut(), |&words| words);
        array.release = Some(release_array);
        array.private_data = Box::into_raw(holder).cast();
        array
    }

    fn buffers(&self, rows: usize, dice: &mut Dice<'_>) -> Vec<Buffer> {
        let bits = rows.div_ceil(8);
        let width = match self.format.as_bytes() {
            b"n" => return Vec::new(),
            b"b" => return vec![Buffer::roll(bits, dice), Buffer::roll(bits, dice)],
            b"u" => return with_offsets::<4>(rows, dice),
            b"U" => return with_offsets::<8>(rows, dice),
            b"vu" | b"vz" => return views(rows, dice),
            b"c" | b"C" => 1,
            b"e" | b"s" | b"S" => 2,
            b"f" | b"i" | b"I" | b"tdD" | b"tts" | b"ttm" => 4,
            _ => 8,
        };
        vec![Buffer::roll(bits, dice), Buffer::roll(rows * width, dice)]
    }

    pub fn stream(&self, dice: &mut Dice<'_>) -> ArrowArrayStream {
        let arrays = (0..dice.below(4)).map(|_| self.array(dice)).collect();
        let schema = if dice.lie(Lie::Stream, 8) {
            ArrowSchema::empty()
        } else {
            self.schema(dice)
        };
        let holder = StreamHolder {
            schema,
            arrays,
            fails: dice.lie(Lie::Stream, 4),
        };
        ArrowArrayStream {
            get_schema: (!dice.lie(Lie::Stream, 8)).then_some(get_schema),
            get_next: (!dice.lie(Lie::Stream, 8)).then_some(get_next),
            get_last_error: dice.one_in(2).then_some(get_last_error),
            release: Some(release_stream),
            private_data: Box::into_raw(Box::new(holder)).cast(),
        }
    }
}

/// A heap block of exactly the promised size, or NULL; now and then not aligned.
enum Buffer {
    Null,
    Bytes(Box<[u8]>, usize),
}

impl Buffer {
    fn roll(len: usize, dice: &mut Dice<'_>) -> Self {
        if dice.lie(Lie::NoBuffer, 6) {
            return Self::Null;
        }
        let bytes = dice.bytes(len);
        Self::new(bytes, dice)
    }

    fn new(bytes: Vec<u8>, dice: &mut Dice<'_>) -> Self {
        let shift = if dice.one_in(4) { 1 } else { 0 };
        let mut shifted = vec![0; shift];
        shifted.extend(bytes);
        Self::Bytes(shifted.into(), shift)
    }

    fn pointer(&self) -> *const c_void {
        match self {
            Self::Null => ptr::null(),
            Self::Bytes(bytes, shift) => bytes[*shift..].as_ptr().cast(),
        }
    }
}

/// Validity, offsets of any value but for the last, which says how large the data are, and the data.
fn with_offsets<const WIDTH: usize>(rows: usize, dice: &mut Dice<'_>) -> Vec<Buffer> {
    let size = dice.below(64);
    let mut offsets = Vec::new();
    for row in 0..=rows {
        let at = if dice.lie(Lie::Offsets, 4) {
            dice.number()
        } else {
            (size * row / rows.max(1)) as i64
        };
        offsets.extend_from_slice(&at.to_le_bytes()[..WIDTH]);
    }
    // The only promise is on the last one.
    let last = if dice.lie(Lie::Lengths, 4) {
        -1
    } else {
        size as i64
    };
    let end = offsets.len() - WIDTH;
    offsets[end..].copy_from_slice(&last.to_le_bytes()[..WIDTH]);
    let validity = Buffer::roll((rows + 1).div_ceil(8), dice);
    let offsets = if dice.lie(Lie::NoBuffer, 8) {
        Buffer::Null
    } else {
        Buffer::new(offsets, dice)
    };
    vec![validity, offsets, Buffer::roll(size, dice)]
}

/// Validity, views, up to two data buffers and their lengths.
fn views(rows: usize, dice: &mut Dice<'_>) -> Vec<Buffer> {
    let sizes: Vec<usize> = (0..dice.below(3)).map(|_| dice.below(64)).collect();
    let mut views = Vec::new();
    for _ in 0..rows {
        let mut view = [0u8; 16];
        view.copy_from_slice(&dice.bytes(16));
        if !dice.lie(Lie::Views, 4) {
            let len = dice.below(32) as u32;
            view[..4].copy_from_slice(&len.to_le_bytes());
        }
        if !dice.lie(Lie::Views, 4) {
            view[9..12].fill(0);
            view[13..].fill(0);
        }
        views.extend_from_slice(&view);
    }
    let mut lengths = Vec::new();
    for &size in &sizes {
        let stated = if dice.lie(Lie::Lengths, 4) {
            -1
        } else {
            size as i64
        };
        lengths.extend_from_slice(&stated.to_le_bytes());
    }
    let mut buffers = vec![Buffer::roll(rows.div_ceil(8), dice)];
    buffers.push(if dice.lie(Lie::NoBuffer, 8) {
        Buffer::Null
    } else {
        Buffer::new(views, dice)
    });
    buffers.extend(sizes.iter().map(|&size| Buffer::roll(size, dice)));
    buffers.push(if dice.lie(Lie::NoBuffer, 8) {
        Buffer::Null
    } else {
        Buffer::new(lengths, dice)
    });
    buffers
}

/// How many the struct says it has: all, fewer, or nonsense that no reader may follow.
fn count(len: usize, dice: &mut Dice<'_>) -> i64 {
    if !dice.lie(Lie::Count, 4) {
        return len as i64;
    }
    match dice.below(3) {
        0 => -1,
        1 => i64::MIN,
        _ => dice.below(len + 1) as i64,
    }
}

fn boxed<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

fn pointers<T>(children: &mut [*mut T], dice: &mut Dice<'_>) -> *mut *mut T {
    if dice.lie(Lie::NoChildren, 4) {
        ptr::null_mut()
    } else {
        children.as_mut_ptr()
    }
}

/// Release a child before its time, or take it away.
fn spoil<T>(children: &mut [*mut T], dice: &mut Dice<'_>, mark: impl Fn(&mut T)) {
    if children.is_empty() || !dice.lie(Lie::Spoilt, 2) {
        return;
    }
    let index = dice.below(children.len());
    // SAFETY: the pointer comes from `boxed` and was not freed yet.
    let mut child = unsafe { Box::from_raw(children[index]) };
    let is_taken = dice.one_in(2);
    if !is_taken {
        // A copy that is moved from: what it pointed to is freed with the original.
        // SAFETY: the copy is marked as released, so that it is never released twice.
        let mut moved = unsafe { ptr::read(&*child) };
        mark(&mut moved);
        drop(child);
        child = Box::new(moved);
        children[index] = Box::into_raw(child);
    } else {
        children[index] = ptr::null_mut();
    }
}

struct SchemaHolder {
    format: CString,
    name: CString,
    children: Vec<*mut ArrowSchema>,
    dictionary: Option<*mut ArrowSchema>,
}

struct ArrayHolder {
    buffers: Vec<Buffer>,
    pointers: Vec<*const c_void>,
    children: Vec<*mut ArrowArray>,
    dictionary: Option<*mut ArrowArray>,
}

struct StreamHolder {
    schema: ArrowSchema,
    arrays: Vec<ArrowArray>,
    fails: bool,
}

fn free<T>(children: impl IntoIterator<Item = *mut T>) {
    for child in children {
        if !child.is_null() {
            // SAFETY: the pointer comes from `boxed`; dropping the struct releases it unless it was marked as released.
            drop(unsafe { Box::from_raw(child) });
        }
    }
}

unsafe extern "C" fn release_schema(schema: *mut ArrowSchema) {
    // SAFETY: called once with a schema of ours.
    let holder = unsafe {
        (*schema).release = None;
        Box::from_raw((*schema).private_data.cast::<SchemaHolder>())
    };
    free(holder.children);
    free(holder.dictionary);
}

unsafe extern "C" fn release_array(array: *mut ArrowArray) {
    // SAFETY: called once with an array of ours.
    let holder = unsafe {
        (*array).release = None;
        Box::from_raw((*array).private_data.cast::<ArrayHolder>())
    };
    free(holder.children);
    free(holder.dictionary);
}

unsafe extern "C" fn release_stream(stream: *mut ArrowArrayStream) {
    // SAFETY: called once with a stream of ours.
    unsafe {
        (*stream).release = None;
        drop(Box::from_raw((*stream).private_data.cast::<StreamHolder>()));
    }
}

unsafe extern "C" fn get_schema(stream: *mut ArrowArrayStream, out: *mut ArrowSchema) -> c_int {
    // SAFETY: both are live, and the target is empty.
    unsafe {
        let holder = &mut *(*stream).private_data.cast::<StreamHolder>();
        ptr::swap(&mut holder.schema, out);
    }
    0
}

unsafe extern "C" fn get_next(stream: *mut ArrowArrayStream, out: *mut ArrowArray) -> c_int {
    // SAFETY: both are live, and the target is empty.
    unsafe {
        let holder = &mut *(*stream).private_data.cast::<StreamHolder>();
        match holder.arrays.pop() {
            Some(array) => ptr::write(out, array),
            None if holder.fails => return 5,
            None => {}
        }
    }
    0
}

unsafe extern "C" fn get_last_error(_: *mut ArrowArrayStream) -> *const c_char {
    ptr::null()
}

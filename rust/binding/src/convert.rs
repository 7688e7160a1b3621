//! Columns made of other columns: times in another unit, numbers as names, names as numbers. Nothing here knows Python.

use crate::contents::{Contents, NumberChunk, SharedStrings, TextChunk};
use crate::memory::{Shared, SharedBits, SharedValues};
use crate::written;
use std::collections::HashMap;
use tidewheel_core::categories::StringColumn;
use tidewheel_core::column::{Values, half_to_f64};

/// Floats hold every whole number up to here.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A number as it stands in a column. Whole floats are whole numbers, so that 3.0 and 3 have one name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Number {
    /// A whole number.
    Whole(i128),
    /// The bits of any other float.
    Float(u64),
}

impl Number {
    fn of(value: f64) -> Self {
        if value.fract() == 0.0 && value.abs() <= EXACT {
            Number::Whole(value as i128)
        } else {
            Number::Float(value.to_bits())
        }
    }

    /// The number as a float; whole numbers beyond 2^53 are rounded.
    pub fn to_f64(self) -> f64 {
        match self {
            Number::Whole(value) => value as f64,
            Number::Float(bits) => f64::from_bits(bits),
        }
    }
}

/// The number in a row of the values, which has to be there.
pub fn number(values: Values<'_>, row: usize) -> Number {
    match values {
        Values::F64(v) => Number::of(v[row]),
        Values::F32(v) => Number::of(v[row].into()),
        Values::F16(v) => Number::of(half_to_f64(v[row])),
        Values::I64(v) => Number::Whole(v[row].into()),
        Values::I32(v) => Number::Whole(v[row].into()),
        Values::I16(v) => Number::Whole(v[row].into()),
        Values::I8(v) => Number::Whole(v[row].into()),
        Values::U64(v) => Number::Whole(v[row].into()),
        Values::U32(v) => Number::Whole(v[row].into()),
        Values::U16(v) => Number::Whole(v[row].into()),
        Values::U8(v) => Number::Whole(v[row].into()),
        Values::Bool(v, _) => Number::Whole(v.get(row).into()),
    }
}

/// Call `work` with each row: its number, or `None` where it is missing. False if the column holds no numbers.
pub fn each_number(contents: &Contents, mut work: impl FnMut(Option<Number>) -> bool) -> bool {
    let Contents::Numbers(chunks) = contents else {
        return false;
    };
    for chunk in chunks.iter().map(NumberChunk::borrow) {
        for row in 0..chunk.values.len() {
            let there = chunk.validity.is_none_or(|bits| bits.get(row));
            if !work(there.then(|| number(chunk.values, row))) {
                return true;
            }
        }
    }
    true
}

/// Rows that are missing.
pub fn count_missing(contents: &Contents) -> usize {
    match contents {
        Contents::Numbers(chunks) => chunks
            .iter()
            .map(|chunk| match chunk.values {
                // No buffer says how many these are: their number must cost nothing.
                SharedValues::Missing(len) => len,
                _ => count_unset(chunk.validity.as_ref(), chunk.values.values().len()),
            })
            .sum(),
        Contents::Text(chunks) => chunks
            .iter()
            .map(TextChunk::borrow)
            .map(|chunk| {
                (0..chunk.len())
                    .filter(|&row| chunk.get(row).is_none())
                    .count()
            })
            .sum(),
        Contents::Unsupported(_, missing) => *missing,
    }
}

fn count_unset(bits: Option<&SharedBits>, len: usize) -> usize {
    bits.map_or(0, |bits| {
        let bits = bits.bits();
        (0..len).filter(|&row| !bits.get(row)).count()
    })
}

/// True if there is a row with a value. Cost: up to the first such row.
pub fn has_values(contents: &Contents) -> bool {
    match contents {
        Contents::Numbers(chunks) => chunks.iter().any(|chunk| {
            if matches!(chunk.values, SharedValues::Missing(_)) {
                return false;
            }
            let len = chunk.values.values().len();
            let bits = chunk.validity.as_ref().map(SharedBits::bits);
            bits.map_or(len > 0, |bits| (0..len).any(|row| bits.get(row)))
        }),
        Contents::Text(chunks) => chunks
            .iter()
            .map(TextChunk::borrow)
            .any(|chunk| (0..chunk.len()).any(|row| chunk.get(row).is_some())),
        Contents::Unsupported(rows, missing) => missing < rows,
    }
}

/// Multiply whole numbers, or divide them by a negative factor's size, rounding down.
///
/// A product beyond 64 bits becomes the end of their range, which keeps the order.
pub fn scale(contents: &Contents, factor: i64) -> Option<Contents> {
    let times = |value: i64| match factor {
        ..0 => value.div_euclid(-factor),
        _ => value.saturating_mul(factor),
    };
    let Contents::Numbers(chunks) = contents else {
        return None;
    };
    let scaled = chunks.iter().map(|chunk| {
        let values = match &chunk.values {
            SharedValues::I64(v) => v.slice().iter().map(|&x| times(x)).collect(),
            SharedValues::I32(v) => v.slice().iter().map(|&x| times(x.into())).collect(),
            SharedValues::Missing(len) => vec![0; *len],
            _ => return None,
        };
        Some(NumberChunk {
            values: SharedValues::I64(Shared::from_vec(values)),
            validity: chunk.validity.as_ref().map(copy_bits(chunk)),
        })
    });
    scaled.collect::<Option<_>>().map(Contents::Numbers)
}

fn copy_bits(chunk: &NumberChunk) -> impl Fn(&SharedBits) -> SharedBits {
    let len = chunk.values.values().len();
    move |bits| {
        let bits = bits.bits();
        pack(len, |row| bits.get(row))
    }
}

fn pack(len: usize, there: impl Fn(usize) -> bool) -> SharedBits {
    let mut bytes = vec![0u8; len.div_ceil(8)];
    for row in (0..len).filter(|&row| there(row)) {
        bytes[row / 8] |= 1 << (row % 8);
    }
    SharedBits {
        bytes: Shared::from_vec(bytes),
        offset: 0,
    }
}

/// Numbers as names: 3 and 3.0 are "3", times are written as in ISO 8601. `dtype` is the column's type.
///
/// Missing rows stay missing. Cost: a look into a table of the distinct numbers per row.
pub fn name_numbers(contents: &Contents, dtype: &str) -> Option<Contents> {
    let mut codes: Vec<u32> = Vec::with_capacity(contents.rows());
    let mut missing = Vec::new();
    let mut known: HashMap<Number, u32> = HashMap::new();
    let (mut offsets, mut text) = (vec![0i64], Vec::new());
    let is_numbers = each_number(contents, |number| {
        let Some(number) = number else {
            missing.push(codes.len());
            codes.push(0);
            return true;
        };
        let next = known.len() as u32;
        let code = *known.entry(number).or_insert_with(|| {
            text.extend_from_slice(written::name(number, dtype).as_bytes());
            offsets.push(text.len() as i64);
            next
        });
        codes.push(code);
        true
    });
    if !is_numbers {
        return None;
    }
    let words = TextChunk {
        strings: SharedStrings::Large(Shared::from_vec(offsets), Shared::from_vec(text)),
        validity: None,
    };
    let validity = (!missing.is_empty()).then(|| {
        let mut bytes = vec![u8::MAX; codes.len().div_ceil(8)];
        for row in missing {
            bytes[row / 8] &= !(1 << (row % 8));
        }
        SharedBits {
            bytes: Shared::from_vec(bytes),
            offset: 0,
        }
    });
    let codes = SharedValues::U32(Shared::from_vec(codes));
    Some(Contents::Text(vec![TextChunk {
        strings: SharedStrings::Dictionary(codes, Box::new(words)),
        validity,
    }]))
}

/// Names as numbers, booleans as 0 and 1; `Err` has rows that are no number and how many there are.
///
/// Whole numbers of 64 bits stay whole if all are; what stands around a number (spaces, commas between thousands) is known.
pub fn number_names(strings: &StringColumn<'_>) -> Result<Contents, (Vec<String>, usize)> {
    let (mut floats, mut wholes) = (Vec::new(), Some(Vec::new()));
    let mut there = Vec::new();
    let mut rest = Rest::default();
    strings.rows(|_, text| {
        there.push(text.is_some());
        let found = match text {
            None => Some(0.0),
            Some(b"true") => Some(1.0),
            Some(b"false") => Some(0.0),
            Some(text) => written::parse(text),
        };
        if found.is_none() {
            rest.add(text.unwrap_or_default());
        }
        let value = found.unwrap_or(0.0);
        floats.push(value);
        wholes = wholes.take().and_then(|mut wholes: Vec<i64>| {
            let whole = text.and_then(|text| std::str::from_utf8(text).ok()?.trim().parse().ok());
            let small = (value.fract() == 0.0 && value.abs() <= EXACT).then_some(value as i64);
            wholes.push(whole.or(small)?);
            Some(wholes)
        });
    });
    if rest.rows > 0 {
        return Err((rest.examples, rest.rows));
    }
    let values = match wholes {
        Some(wholes) => SharedValues::I64(Shared::from_vec(wholes)),
        None => SharedValues::F64(Shared::from_vec(floats)),
    };
    let validity = pack(there.len(), |row| there[row]);
    Ok(Contents::Numbers(vec![NumberChunk {
        values,
        validity: Some(validity),
    }]))
}

/// The type of the numbers that [`number_names`] gives.
pub fn width(contents: &Contents) -> &'static str {
    match contents {
        Contents::Numbers(chunks) if matches!(chunks[0].values, SharedValues::I64(_)) => "int64",
        _ => "float64",
    }
}

/// Rows that do not fit, and the first of their texts.
#[derive(Default)]
struct Rest {
    examples: Vec<String>,
    rows: usize,
}

impl Rest {
    const MOST: usize = 3;

    fn add(&mut self, text: &[u8]) {
        self.rows += 1;
        if self.examples.len() < Self::MOST {
            let text = String::from_utf8_lossy(text).into_owned();
            if !self.examples.contains(&text) {
                self.examples.push(text);
            }
        }
    }
}

/// Rows per distinct number, in increasing order; `None` with more than `most` of them, NaN, or no numbers.
pub fn count_few(contents: &Contents, most: usize) -> Option<Vec<(f64, u64)>> {
    let mut few = Few::new(most);
    let mut fits = true;
    let is_numbers = each_number(contents, |number| {
        if let Some(number) = number {
            fits = few.add(number.to_f64());
        }
        fits
    });
    (is_numbers && fits).then(|| few.sorted())
}

/// A small table of floats with open addressing; whole columns pass through it, so it hashes by one multiplication.
struct Few {
    most: usize,
    filled: usize,
    slots: Vec<(f64, u64)>,
}

impl Few {
    fn new(most: usize) -> Self {
        let slots = vec![(0.0, 0); (most * 4).next_power_of_two()];
        Self {
            most,
            filled: 0,
            slots,
        }
    }

    fn add(&mut self, value: f64) -> bool {
        if value.is_nan() {
            return false;
        }
        let shift = 64 - self.slots.len().trailing_zeros();
        let mut at = (value.to_bits().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> shift) as usize;
        loop {
            let slot = &mut self.slots[at];
            if slot.1 > 0 && slot.0 == value {
                slot.1 += 1;
                return true;
            }
            if slot.1 == 0 {
                *slot = (value, 1);
                self.filled += 1;
                return self.filled <= self.most;
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    fn sorted(self) -> Vec<(f64, u64)> {
        let mut found: Vec<_> = self.slots.into_iter().filter(|slot| slot.1 > 0).collect();
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        found
    }
}

/// What the strings of a column look like.
#[derive(Default)]
pub struct Looks {
    /// Rows with a string.
    pub rows: usize,
    /// Rows that are a number, with a sign of currency or the like around it too.
    pub numbers: usize,
    /// Rows that are a date or a time.
    pub times: usize,
    /// Rows that stand for a missing value, such as "NULL".
    pub marks: usize,
    /// Up to three different strings that are no plain number, or no time where most are times.
    pub examples: Vec<String>,
}

/// Rows looked at first; most columns of strings end there.
const SAMPLED: usize = 64;

/// Look whether nearly all strings of a column are numbers or times; `None` if not, or if they are a dictionary's words.
pub fn look(contents: &Contents) -> Option<Looks> {
    let Contents::Text(chunks) = contents else {
        return None;
    };
    let is_plain = |chunk: &TextChunk| {
        !matches!(
            chunk.strings,
            SharedStrings::Dictionary(..) | SharedStrings::Bool(..)
        )
    };
    if !chunks.iter().all(is_plain) {
        return None;
    }
    for chunk in chunks.iter().map(TextChunk::borrow) {
        let step = chunk.len().div_ceil(SAMPLED).max(1);
        let sample = (0..chunk.len())
            .step_by(step)
            .filter_map(|row| chunk.get(row));
        if sum_up(sample, false).rate() < 0.5 {
            return None;
        }
    }
    let rows = || {
        let chunks = chunks.iter().map(TextChunk::borrow);
        chunks.flat_map(|chunk| (0..chunk.len()).filter_map(move |row| chunk.get(row)))
    };
    let found = sum_up(rows(), false);
    if found.rate() < NEARLY_ALL {
        return None;
    }
    let by_times = found.times > found.numbers;
    Some(sum_up(rows(), by_times))
}

/// The share of a column's strings, marks of missing values aside, that have to be numbers or times.
const NEARLY_ALL: f64 = 0.9;

impl Looks {
    fn rate(&self) -> f64 {
        let others = self.rows - self.marks;
        if others == 0 {
            return 0.0;
        }
        self.numbers.max(self.times) as f64 / others as f64
    }
}

fn sum_up<'a>(rows: impl Iterator<Item = &'a [u8]>, by_times: bool) -> Looks {
    let mut found = Looks::default();
    let mut rest = Rest::default();
    for text in rows {
        found.rows += 1;
        let fits = if written::is_time(text) {
            found.times += 1;
            by_times
        } else if written::is_number(text) {
            found.numbers += 1;
            !by_times
        } else {
            found.numbers += usize::from(written::is_decorated(text));
            found.marks += usize::from(written::is_mark(text));
            false
        };
        if !fits {
            rest.add(text);
        }
    }
    found.examples = rest.examples;
    found
}

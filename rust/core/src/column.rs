//! Borrowed columns: chunks of values, each with an optional validity bitmap, read in blocks.
//!
//! A block is copied into a small buffer before a kernel sees it, unless it holds the domain's own type and nothing but finite
//! values. So every source type meets the kernels as one domain type, and missing values and NaN are gone by then (and
//! counted). A column that another thread overwrites meanwhile can give a wrong count but nothing worse: what is found out
//! about a value is never trusted as an index, every table is asked with a check.

use crate::cells::Span;
use crate::dispatch;
use crate::domain::{Common, Domain};

/// Values per block: a block of `f64` is 16 KiB, half of a first-level cache.
pub const BLOCK: usize = 2048;

/// Rows of one task. Fixed, so that work is cut the same way whatever the number of threads.
pub const TASK_ROWS: usize = 1 << 18;

/// A packed bitmap, least significant bit first, as Arrow stores it.
#[derive(Debug, Clone, Copy)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Bits<'a> {
    /// Borrow a bitmap whose first value is bit `offset`. Bits past the end of `bytes` read as zero.
    pub fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    /// Read bit `index`.
    #[inline(always)]
    pub fn get(&self, index: usize) -> bool {
        let at = self.offset + index;
        self.bytes
            .get(at >> 3)
            .is_some_and(|byte| (byte >> (at & 7)) & 1 == 1)
    }
}

impl Bits<'_> {
    /// Say whether the bits `start..start + len` are all set.
    pub fn all(&self, start: usize, len: usize) -> bool {
        let (first, end) = (self.offset + start, self.offset + start + len);
        let (head, tail) = (first.next_multiple_of(8).min(end), end / 8 * 8);
        if tail <= head {
            return (start..start + len).all(|index| self.get(index));
        }
        let ends = (first..head).chain(tail..end);
        let whole = self.bytes.get(head / 8..tail / 8);
        whole.is_some_and(|bytes| bytes.iter().fold(u8::MAX, |all, byte| all & byte) == u8::MAX)
            && ends.into_iter().all(|at| self.get(at - self.offset))
    }
}

/// The values of a chunk in the type in which they were stored.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub enum Values<'a> {
    F64(&'a [f64]),
    F32(&'a [f32]),
    /// Half floats as their bits.
    F16(&'a [u16]),
    I64(&'a [i64]),
    I32(&'a [i32]),
    I16(&'a [i16]),
    I8(&'a [i8]),
    U64(&'a [u64]),
    U32(&'a [u32]),
    U16(&'a [u16]),
    U8(&'a [u8]),
    /// Packed booleans and their number.
    Bool(Bits<'a>, usize),
}

impl Values<'_> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Values::F64(v) => v.len(),
            Values::F32(v) => v.len(),
            Values::F16(v) => v.len(),
            Values::I64(v) => v.len(),
            Values::I32(v) => v.len(),
            Values::I16(v) => v.len(),
            Values::I8(v) => v.len(),
            Values::U64(v) => v.len(),
            Values::U32(v) => v.len(),
            Values::U16(v) => v.len(),
            Values::U8(v) => v.len(),
            Values::Bool(_, n) => *n,
        }
    }

    /// True without values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Convert the values from `start` on into `out`; say whether all are finite.
    #[inline(always)]
    pub(crate) fn load<K: Domain>(&self, start: usize, out: &mut [K]) -> bool {
        match self {
            Values::F64(v) => convert(v, start, out, K::from_f64),
            Values::F32(v) => convert(v, start, out, |x| K::from_f64(f64::from(x))),
            Values::F16(v) => convert(v, start, out, |x| K::from_f64(half_to_f64(x))),
            Values::I64(v) => convert(v, start, out, K::from_i64),
            Values::I32(v) => convert(v, start, out, |x| K::from_i64(i64::from(x))),
            Values::I16(v) => convert(v, start, out, |x| K::from_i64(i64::from(x))),
            Values::I8(v) => convert(v, start, out, |x| K::from_i64(i64::from(x))),
            Values::U64(v) => convert(v, start, out, K::from_u64),
            Values::U32(v) => convert(v, start, out, |x| K::from_i64(i64::from(x))),
            Values::U16(v) => convert(v, start, out, |x| K::from_i64(i64::from(x))),
            Values::U8(v) => convert(v, start, out, |x| K::from_i64(i64::from(x))),
            Values::Bool(bits, _) => {
                for (i, target) in out.iter_mut().enumerate() {
                    *target = K::from_i64(i64::from(bits.get(start + i)));
                }
                true
            }
        }
    }

    /// Where the values lie in memory, and how many bytes from one to the next.
    fn place(&self) -> (*const u8, usize) {
        match self {
            Values::F64(v) => (v.as_ptr().cast(), 8),
            Values::F32(v) => (v.as_ptr().cast(), 4),
            Values::F16(v) => (v.as_ptr().cast(), 2),
            Values::I64(v) => (v.as_ptr().cast(), 8),
            Values::I32(v) => (v.as_ptr().cast(), 4),
            Values::I16(v) => (v.as_ptr().cast(), 2),
            Values::I8(v) => (v.as_ptr().cast(), 1),
            Values::U64(v) => (v.as_ptr().cast(), 8),
            Values::U32(v) => (v.as_ptr().cast(), 4),
            Values::U16(v) => (v.as_ptr().cast(), 2),
            Values::U8(v) => (v.as_ptr().cast(), 1),
            Values::Bool(bits, _) => (bits.bytes.as_ptr(), 0),
        }
    }

    /// No values of this type.
    pub fn none(&self) -> Values<'static> {
        match self {
            Values::F64(_) => Values::F64(&[]),
            Values::F32(_) => Values::F32(&[]),
            Values::F16(_) => Values::F16(&[]),
            Values::I64(_) => Values::I64(&[]),
            Values::I32(_) => Values::I32(&[]),
            Values::I16(_) => Values::I16(&[]),
            Values::I8(_) => Values::I8(&[]),
            Values::U64(_) => Values::U64(&[]),
            Values::U32(_) => Values::U32(&[]),
            Values::U16(_) => Values::U16(&[]),
            Values::U8(_) => Values::U8(&[]),
            Values::Bool(..) => Values::Bool(Bits::new(&[], 0), 0),
        }
    }

    /// The domain that holds this type exactly.
    pub fn domain(&self) -> Common {
        match self {
            Values::I64(_) => Common::Signed,
            Values::U64(_) => Common::Unsigned,
            _ => Common::Float,
        }
    }

    fn is_float(&self) -> bool {
        matches!(self, Values::F64(_) | Values::F32(_) | Values::F16(_))
    }

    fn is_signed(&self) -> bool {
        matches!(
            self,
            Values::I64(_) | Values::I32(_) | Values::I16(_) | Values::I8(_)
        )
    }
}

/// A run of values with the bitmap that says which of them are there.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// The values; those at missing places mean nothing.
    pub values: Values<'a>,
    /// Bit 1 where the value is there; `None` when all are.
    pub validity: Option<Bits<'a>>,
}

impl Chunk<'_> {
    /// True where nothing says that any value is there: then nobody has memory for them, however many they are.
    fn is_void(&self) -> bool {
        self.validity.is_some_and(|bits| bits.bytes.is_empty())
    }

    /// The number in a row that lies in the chunk, as a float; `None` when it is missing.
    pub(crate) fn get(&self, row: usize) -> Option<f64> {
        let mut one = [0.0];
        self.values.load(row, &mut one);
        self.validity
            .is_none_or(|bits| bits.get(row))
            .then_some(one[0])
    }
}

/// What a pass met beside ordinary numbers, each counted apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parts {
    /// Rows in all.
    pub rows: u64,
    /// Missing (null).
    pub missing: u64,
    /// Not a number.
    pub nan: u64,
    /// Plus infinity.
    pub infinite_above: u64,
    /// Minus infinity.
    pub infinite_below: u64,
}

impl Parts {
    /// Rows that are neither missing nor NaN.
    pub fn numbers(&self) -> u64 {
        self.rows.saturating_sub(self.missing + self.nan)
    }

    /// Rows that hold a finite number.
    pub fn finite(&self) -> u64 {
        self.numbers()
            .saturating_sub(self.infinite_above + self.infinite_below)
    }

    /// Add the counts of another pass over other rows.
    pub fn add(&mut self, other: &Parts) {
        self.rows += other.rows;
        self.missing += other.missing;
        self.nan += other.nan;
        self.infinite_above += other.infinite_above;
        self.infinite_below += other.infinite_below;
    }
}

/// Whether infinities reach the kernel. Either way they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Infinities {
    /// As ordinary values at the ends: ranks, as in Kolmogorov-Smirnov.
    Keep,
    /// Counted only: bins.
    Leave,
}

/// Which numbers of a column a pass reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading<K> {
    /// All of them.
    All(Infinities),
    /// Those that a span holds, but not those that a gap in it holds. What is left out costs next to nothing, and is not counted.
    Within(Span<K>, Option<Span<K>>),
}

/// A piece of a column that one task reads.
#[derive(Debug, Clone, Copy)]
pub struct Task {
    chunk: usize,
    start: usize,
    len: usize,
    /// Row of the column at which the task starts.
    pub first_row: usize,
}

impl Task {
    /// The tasks of several columns, each with the place of its column.
    pub(crate) fn of(columns: &[&Column<'_>]) -> Vec<(usize, Self)> {
        let numbered = columns.iter().enumerate();
        numbered
            .flat_map(|(place, column)| column.tasks().into_iter().map(move |task| (place, task)))
            .collect()
    }
}

/// The rows that follow a block, for a kernel to ask for while it works: memory answers late, and a kernel that waits for
/// each block in turn spends half its time so (bench: benches/drift/test_psi.py).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ahead {
    next: *const u8,
    bytes: usize,
}

impl Default for Ahead {
    /// Nothing to ask for: one byte again and again, since asking for what is no memory takes time too.
    fn default() -> Self {
        static NOTHING: u8 = 0;
        Self {
            next: &raw const NOTHING,
            bytes: 0,
        }
    }
}

impl Ahead {
    /// Ask for the memory of a row of the next block; a cache line holds eight floats.
    #[inline(always)]
    pub(crate) fn fetch(&self, row: usize) {
        dispatch::prefetch(self.next.wrapping_add(row * self.bytes));
    }
}

/// A column as a sequence of chunks.
///
/// ```
/// use tidewheel_core::column::{Bits, Chunk, Column, Values};
/// let (first, second) = ([1.0f32, 2.0], [3.0f32, 4.0, 5.0]);
/// let there = [0b0000_0101];
/// let column = Column::new(vec![
///     Chunk { values: Values::F32(&first), validity: None },
///     // The second of these three is missing.
///     Chunk { values: Values::F32(&second), validity: Some(Bits::new(&there, 0)) },
/// ]);
/// assert_eq!(column.len(), 5);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Column<'a> {
    chunks: Vec<Chunk<'a>>,
}

impl<'a> Column<'a> {
    /// Put chunks together; all should hold the same type.
    pub fn new(chunks: Vec<Chunk<'a>>) -> Self {
        Self { chunks }
    }

    /// The chunks in order.
    pub(crate) fn chunks(&self) -> &[Chunk<'a>] {
        &self.chunks
    }

    /// Rows, missing ones included.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.values.len()).sum()
    }

    /// Rows that may hold a value: for how many memory may be taken, since the column takes as much.
    pub(crate) fn most_values(&self) -> usize {
        let there = self.chunks.iter().filter(|chunk| !chunk.is_void());
        there.map(|chunk| chunk.values.len()).sum()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// No values of the type that the column holds.
    pub fn kind(&self) -> Values<'static> {
        self.chunks
            .first()
            .map_or(Values::F64(&[]), |chunk| chunk.values.none())
    }

    /// Cut the column into tasks of at most [`TASK_ROWS`] rows; a chunk without any value is one task.
    pub fn tasks(&self) -> Vec<Task> {
        let mut tasks = Vec::new();
        let mut first_row = 0;
        for (place, chunk) in self.chunks.iter().enumerate() {
            let values = chunk.values;
            let most = if chunk.is_void() {
                usize::MAX
            } else {
                TASK_ROWS
            };
            let mut start = 0;
            while start < values.len() {
                let len = most.min(values.len() - start);
                tasks.push(Task {
                    chunk: place,
                    start,
                    len,
                    first_row: first_row + start,
                });
                start += len;
            }
            first_row += values.len();
        }
        tasks
    }

    /// Hand the numbers of a task to `work`, block by block, in the domain `K`.
    pub fn blocks<K: Domain>(
        &self,
        task: Task,
        infinities: Infinities,
        parts: &mut Parts,
        mut work: impl FnMut(&[K]),
    ) {
        self.blocks_ahead(task, infinities, parts, |block, _| work(block));
    }

    /// Hand the numbers of a task that are to be read to `work`, block by block, with the rows to ask for meanwhile.
    pub(crate) fn read<K: Domain>(
        &self,
        task: Task,
        reading: &Reading<K>,
        parts: &mut Parts,
        mut work: impl FnMut(&[K], Ahead),
    ) {
        match reading {
            Reading::All(infinities) => self.blocks_ahead(task, *infinities, parts, work),
            // The search for what is within asks already.
            Reading::Within(span, gap) => self.blocks_within(task, span, gap.as_ref(), |block| {
                work(block, Ahead::default());
            }),
        }
    }

    /// The same as [`Self::blocks`] for a kernel that asks for the rows after its block.
    pub(crate) fn blocks_ahead<K: Domain>(
        &self,
        task: Task,
        infinities: Infinities,
        parts: &mut Parts,
        mut work: impl FnMut(&[K], Ahead),
    ) {
        self.blocks_tried(task, infinities, parts, |block, ahead, is_raw| {
            let is_ready = !is_raw || dispatch::all_finite(block);
            if is_ready {
                work(block, ahead);
            }
            is_ready
        });
    }

    /// The same for a kernel that finds out itself whether a block is ready for it: it is tried on raw blocks, which may hold NaN
    /// and infinities, and says whether it did its work; where it did not, it gets the block again without them.
    pub(crate) fn blocks_tried<K: Domain>(
        &self,
        task: Task,
        infinities: Infinities,
        parts: &mut Parts,
        mut work: impl FnMut(&[K], Ahead, bool) -> bool,
    ) {
        let Some(chunk) = self.chunks.get(task.chunk) else {
            return;
        };
        let mut start = task.start;
        let end = (task.start + task.len).min(chunk.values.len());
        if chunk.is_void() {
            let rows = end.saturating_sub(start) as u64;
            (parts.rows, parts.missing) = (parts.rows + rows, parts.missing + rows);
            return;
        }
        let (first, bytes) = chunk.values.place();
        let mut buffer = [K::default(); BLOCK];
        while start < end {
            let len = BLOCK.min(end - start);
            parts.rows += len as u64;
            let next = first.wrapping_add((start + BLOCK) * bytes);
            let ahead = Ahead { next, bytes };
            let missing = chunk.validity.filter(|bits| !bits.all(start, len));
            let block = K::borrow(chunk.values).and_then(|own| own.get(start..start + len));
            if let (Some(block), None) = (block, missing)
                && work(block, ahead, true)
            {
                start += len;
                continue;
            }
            let buffer = &mut buffer[..len];
            let all_finite = dispatch::load(chunk.values, start, buffer);
            let mut kept = len;
            if let Some(validity) = missing {
                kept = drop_missing(buffer, validity, start);
                parts.missing += (len - kept) as u64;
            }
            if !all_finite {
                kept = drop_special(&mut buffer[..kept], infinities, parts);
            }
            work(&buffer[..kept], ahead, false);
            start += len;
        }
    }

    /// Hand the values of a task that a span holds, and a gap does not, to `work`, block by block.
    fn blocks_within<K: Domain>(
        &self,
        task: Task,
        span: &Span<K>,
        gap: Option<&Span<K>>,
        mut work: impl FnMut(&[K]),
    ) {
        let Some(chunk) = self.chunks.get(task.chunk) else {
            return;
        };
        if chunk.is_void() {
            return;
        }
        let (first, bytes) = chunk.values.place();
        let (mut buffer, mut found) = ([K::default(); BLOCK], [K::default(); BLOCK]);
        let end = (task.start + task.len).min(chunk.values.len());
        for start in (task.start..end).step_by(BLOCK) {
            let len = BLOCK.min(end - start);
            let next = first.wrapping_add((start + BLOCK) * bytes);
            let ahead = Ahead { next, bytes };
            let missing = chunk.validity.filter(|bits| !bits.all(start, len));
            let own = K::borrow(chunk.values).and_then(|own| own.get(start..start + len));
            let block = match (own, missing) {
                (Some(own), None) => own,
                _ => {
                    dispatch::load(chunk.values, start, &mut buffer[..len]);
                    let kept = missing.map_or(len, |validity| {
                        drop_missing(&mut buffer[..len], validity, start)
                    });
                    &buffer[..kept]
                }
            };
            let count = dispatch::within(block, span, gap, ahead, &mut found);
            work(&found[..count.min(BLOCK)]);
        }
    }

    /// Hand each row of a task to `work` as `Some` number or `None` (missing or NaN), with its row in the column.
    pub fn rows<K: Domain>(&self, task: Task, mut work: impl FnMut(usize, Option<K>)) {
        let Some(chunk) = self.chunks.get(task.chunk) else {
            return;
        };
        let mut buffer = [K::default(); BLOCK];
        let mut done = 0;
        while done < task.len {
            let len = BLOCK.min(task.len - done);
            dispatch::load(chunk.values, task.start + done, &mut buffer[..len]);
            for (i, &value) in buffer[..len].iter().enumerate() {
                let there = chunk
                    .validity
                    .is_none_or(|bits| bits.get(task.start + done + i));
                work(
                    task.first_row + done + i,
                    (there && !value.is_nan()).then_some(value),
                );
            }
            done += len;
        }
    }

    /// Up to `count` numbers at even distances over the rows, sorted.
    pub fn sample<K: Domain>(&self, count: usize, infinities: Infinities) -> Vec<K> {
        let keys = self.sample_keys::<K>(count, infinities).into_iter();
        keys.map(K::of_key).collect()
    }

    /// The keys of [`Self::sample`]: integers are sorted several times faster than values are.
    pub(crate) fn sample_keys<K: Domain>(&self, count: usize, infinities: Infinities) -> Vec<u64> {
        let total = self.len();
        let step = total.div_ceil(count.max(1)).max(1);
        let mut taken = Vec::with_capacity(count.min(total));
        let (mut row, mut chunk_start) = (0, 0);
        for chunk in &self.chunks {
            let len = chunk.values.len();
            while row < chunk_start + len {
                let at = row - chunk_start;
                let mut one = [K::default()];
                chunk.values.load(at, &mut one);
                let usable =
                    one[0].is_finite() || (infinities == Infinities::Keep && !one[0].is_nan());
                if usable && chunk.validity.is_none_or(|bits| bits.get(at)) {
                    taken.push(one[0].key());
                }
                row += step;
            }
            chunk_start += len;
        }
        taken.sort_unstable();
        taken
    }

    /// The domain in which this column and `other` can both be compared.
    pub fn common(&self, other: &Column<'_>) -> Common {
        let all = || {
            self.chunks
                .iter()
                .chain(&other.chunks)
                .map(|chunk| chunk.values)
        };
        let has = |domain| all().any(|values| values.domain() == domain);
        if all().any(|values| values.is_float()) {
            return Common::Float;
        }
        match (has(Common::Signed), has(Common::Unsigned)) {
            (true, false) => Common::Signed,
            (false, true) if !all().any(|values| values.is_signed()) => Common::Unsigned,
            _ => Common::Float,
        }
    }
}

impl<'a> From<Values<'a>> for Column<'a> {
    /// A column of one chunk in which nothing is missing.
    fn from(values: Values<'a>) -> Self {
        Self::new(vec![Chunk {
            values,
            validity: None,
        }])
    }
}

#[inline(always)]
fn convert<S: Copy, K: Domain>(
    source: &[S],
    start: usize,
    out: &mut [K],
    convert: impl Fn(S) -> K,
) -> bool {
    let mut special = 0;
    for (target, &value) in out.iter_mut().zip(&source[start..]) {
        let value = convert(value);
        // Gathering bits instead of stopping early lets the loop use whole vectors.
        special |= value.special();
        *target = value;
    }
    special >> 63 == 0
}

/// The value of a half float given as bits (IEEE 754 binary16).
pub fn half_to_f64(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    sign * magnitude
}

fn drop_missing<K: Domain>(buffer: &mut [K], validity: Bits<'_>, start: usize) -> usize {
    let mut kept = 0;
    for i in 0..buffer.len() {
        buffer[kept] = buffer[i];
        kept += usize::from(validity.get(start + i));
    }
    kept
}

fn drop_special<K: Domain>(buffer: &mut [K], infinities: Infinities, parts: &mut Parts) -> usize {
    let mut kept = 0;
    for i in 0..buffer.len() {
        let value = buffer[i];
        if value.is_nan() {
            parts.nan += 1;
            continue;
        }
        if !value.is_finite() {
            let above = value.to_f64() > 0.0;
            parts.infinite_above += u64::from(above);
            parts.infinite_below += u64::from(!above);
            if infinities == Infinities::Leave {
                continue;
            }
        }
        buffer[kept] = value;
        kept += 1;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_floats_have_their_values() {
        let cases = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x0001, 2f64.powi(-24)),
            (0x7bff, 65504.0),
            (0x7c00, f64::INFINITY),
        ];
        for (bits, value) in cases {
            assert_eq!(half_to_f64(bits), value);
        }
        assert!(half_to_f64(0x7e00).is_nan());
    }

    #[test]
    fn parts_are_counted_apart() {
        let values = [1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5.0, 6.0];
        let validity = [0b0001_1111u8];
        let column = Column::new(vec![Chunk {
            values: Values::F64(&values),
            validity: Some(Bits::new(&validity, 0)),
        }]);
        let mut parts = Parts::default();
        let mut seen = Vec::new();
        for task in column.tasks() {
            column.blocks::<f64>(task, Infinities::Leave, &mut parts, |block| {
                seen.extend_from_slice(block)
            });
        }
        assert_eq!(seen, [1.0, 5.0]);
        let expected = Parts {
            rows: 6,
            missing: 1,
            nan: 1,
            infinite_above: 1,
            infinite_below: 1,
        };
        assert_eq!(parts, expected);
        assert_eq!(parts.finite(), 2);
    }

    #[test]
    fn mixed_integers_share_a_domain() {
        let (signed, unsigned, small) = ([1i64], [1u64], [1i32]);
        let column = |values| {
            Column::new(vec![Chunk {
                values,
                validity: None,
            }])
        };
        let (s, u, i) = (
            column(Values::I64(&signed)),
            column(Values::U64(&unsigned)),
            column(Values::I32(&small)),
        );
        assert_eq!(s.common(&i), Common::Signed);
        assert_eq!(u.common(&u), Common::Unsigned);
        assert_eq!(s.common(&u), Common::Float);
        assert_eq!(u.common(&i), Common::Float);
    }
}

//! Counting strings by hashing, with every key compared in full, so that no two are ever mistaken for each other.

use crate::column::{Bits, Parts, TASK_ROWS, Values};
use crate::error::Error;
use crate::histogram::Counted;
use crate::parallel;
pub use crate::texts::FoldHasher;
use crate::texts::{SHORT, TextTable, fold, is_equal, short_key, text_hash};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Buckets that share out all strings by their hash.
pub const BUCKETS: usize = 256;

/// Strings in one of Arrow's layouts.
#[derive(Debug, Clone)]
pub enum Strings<'a> {
    /// Offsets of 32 bits into one buffer.
    Small(&'a [i32], &'a [u8]),
    /// Offsets of 64 bits into one buffer.
    Large(&'a [i64], &'a [u8]),
    /// Views of 16 bytes: length, then the string itself (up to 12 bytes) or its prefix, buffer and offset.
    Views(&'a [[u8; 16]], Vec<&'a [u8]>),
    /// Codes into a dictionary of strings.
    Dictionary(Values<'a>, Box<StringChunk<'a>>),
    /// Packed booleans and their number, read as "true" and "false".
    Bool(Bits<'a>, usize),
}

/// A run of strings with the bitmap that says which of them are there.
#[derive(Debug, Clone)]
pub struct StringChunk<'a> {
    /// The strings.
    pub strings: Strings<'a>,
    /// Bit 1 where the string is there; `None` when all are.
    pub validity: Option<Bits<'a>>,
}

impl<'a> StringChunk<'a> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match &self.strings {
            Strings::Small(offsets, _) => offsets.len().saturating_sub(1),
            Strings::Large(offsets, _) => offsets.len().saturating_sub(1),
            Strings::Views(views, _) => views.len(),
            Strings::Dictionary(codes, _) => codes.len(),
            Strings::Bool(_, len) => *len,
        }
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of a row; `None` when it is missing (or lies outside its buffer).
    #[inline]
    pub fn get(&self, row: usize) -> Option<&'a [u8]> {
        if !self.validity.is_none_or(|bits| bits.get(row)) {
            return None;
        }
        match &self.strings {
            Strings::Small(offsets, data) => {
                data.get(*offsets.get(row)? as usize..*offsets.get(row + 1)? as usize)
            }
            Strings::Large(offsets, data) => {
                data.get(*offsets.get(row)? as usize..*offsets.get(row + 1)? as usize)
            }
            Strings::Views(views, buffers) => view(views.get(row)?, buffers),
            Strings::Dictionary(codes, dictionary) => dictionary.get(code(*codes, row)?),
            Strings::Bool(bits, _) => Some(if bits.get(row) { b"true" } else { b"false" }),
        }
    }
}

impl StringChunk<'_> {
    /// A number that only equal strings of the chunk share: a string of up to 12 bytes itself, or the view of a longer one.
    ///
    /// Its low 32 bits are the length. `None` for other layouts, long strings without a view, and what lies outside.
    #[inline(always)]
    fn identity(&self, row: usize) -> Option<u128> {
        let ends =
            |from: i64, to: i64| Some((usize::try_from(from).ok()?, usize::try_from(to).ok()?));
        let (data, (start, end)) = match &self.strings {
            Strings::Views(views, _) => return Some(u128::from_le_bytes(*views.get(row)?)),
            Strings::Small(offsets, data) => (
                data,
                ends((*offsets.get(row)?).into(), (*offsets.get(row + 1)?).into())?,
            ),
            Strings::Large(offsets, data) => {
                (data, ends(*offsets.get(row)?, *offsets.get(row + 1)?)?)
            }
            Strings::Dictionary(..) | Strings::Bool(..) => return None,
        };
        short_key(data, start, end)
    }
}

fn view<'a>(view: &'a [u8; 16], buffers: &[&'a [u8]]) -> Option<&'a [u8]> {
    let word = |at: usize| {
        u32::from_le_bytes([view[at], view[at + 1], view[at + 2], view[at + 3]]) as usize
    };
    let len = word(0);
    if len <= 12 {
        return view.get(4..4 + len);
    }
    let start = word(12);
    buffers.get(word(8))?.get(start..start.checked_add(len)?)
}

/// The code of a row; `None` when it is negative or not an integer.
pub fn code(codes: Values<'_>, row: usize) -> Option<usize> {
    match codes {
        Values::I8(v) => usize::try_from(*v.get(row)?).ok(),
        Values::I16(v) => usize::try_from(*v.get(row)?).ok(),
        Values::I32(v) => usize::try_from(*v.get(row)?).ok(),
        Values::I64(v) => usize::try_from(*v.get(row)?).ok(),
        Values::U8(v) => Some(usize::from(*v.get(row)?)),
        Values::U16(v) => Some(usize::from(*v.get(row)?)),
        Values::U32(v) => usize::try_from(*v.get(row)?).ok(),
        Values::U64(v) => usize::try_from(*v.get(row)?).ok(),
        _ => None,
    }
}

/// A column of strings as a sequence of chunks.
#[derive(Debug, Clone, Default)]
pub struct StringColumn<'a> {
    /// The chunks in order.
    pub chunks: Vec<StringChunk<'a>>,
}

impl<'a> StringColumn<'a> {
    /// Rows, missing ones included.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(StringChunk::len).sum()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn tasks(&self) -> Vec<(usize, usize, usize)> {
        let mut tasks = Vec::new();
        for (chunk, len) in self.chunks.iter().map(StringChunk::len).enumerate() {
            for start in (0..len).step_by(TASK_ROWS) {
                tasks.push((chunk, start, (start + TASK_ROWS).min(len)));
            }
        }
        tasks
    }

    /// Hand each row to `work`, in order.
    pub fn rows(&self, mut work: impl FnMut(usize, Option<&'a [u8]>)) {
        let mut first = 0;
        for chunk in &self.chunks {
            for row in 0..chunk.len() {
                work(first + row, chunk.get(row));
            }
            first += chunk.len();
        }
    }
}

/// A map with [`FoldHasher`].
pub type FoldMap<K, V> = HashMap<K, V, BuildHasherDefault<FoldHasher>>;

/// Rows per distinct string, with the missing ones apart.
#[derive(Debug, Default)]
pub struct Tally<'a> {
    /// Rows of each string.
    pub counts: FoldMap<&'a [u8], u64>,
    /// Rows in all.
    pub rows: u64,
    /// Missing rows.
    pub missing: u64,
}

impl<'a> Tally<'a> {
    fn add(&mut self, key: Option<&'a [u8]>, count: u64) {
        match key {
            Some(key) => *self.counts.entry(key).or_default() += count,
            None => self.missing += count,
        }
    }
}

/// Count the strings of a column.
pub fn count<'a>(column: &StringColumn<'a>, threads: Option<usize>) -> Tally<'a> {
    let tasks = column.tasks();
    let threads = parallel::threads_for(threads, column.len());
    let states = parallel::fold(tasks.len(), threads, Tally::default, |tally, task| {
        let (chunk, start, end) = tasks[task];
        tally.rows += (end - start) as u64;
        count_rows(&column.chunks[chunk], start, end, |key, count| {
            tally.add(key, count);
        });
    });
    let mut states = states.into_iter();
    let mut total = states.next().unwrap_or_default();
    for state in states {
        total.rows += state.rows;
        total.missing += state.missing;
        for (key, count) in state.counts {
            total.add(Some(key), count);
        }
    }
    total
}

/// Hand the strings of some rows to `add`, with how many of the rows have them.
fn count_rows<'a>(
    chunk: &StringChunk<'a>,
    start: usize,
    end: usize,
    mut add: impl FnMut(Option<&'a [u8]>, u64),
) {
    let Strings::Dictionary(codes, dictionary) = &chunk.strings else {
        return count_texts(chunk, start, end, add);
    };
    // Codes are counted first and looked up once each; one more place takes codes outside the dictionary.
    let mut counts = vec![0u64; dictionary.len() + 1];
    let last = dictionary.len();
    match chunk.validity.filter(|bits| !bits.all(start, end - start)) {
        None => each_code(*codes, start, end, |code| counts[code.min(last)] += 1),
        Some(bits) => {
            for row in start..end {
                let code = if bits.get(row) {
                    code(*codes, row)
                } else {
                    None
                };
                counts[code.unwrap_or(usize::MAX).min(last)] += 1;
            }
        }
    }
    for (code, count) in counts
        .into_iter()
        .enumerate()
        .filter(|(_, count)| *count > 0)
    {
        add(dictionary.get(code), count);
    }
}

/// Hand the codes of some rows to `work`; `usize::MAX` for those that are none.
fn each_code(codes: Values<'_>, start: usize, end: usize, mut work: impl FnMut(usize)) {
    macro_rules! each {
        ($codes:expr) => {
            for code in $codes.get(start..end).unwrap_or_default() {
                work(usize::try_from(*code).unwrap_or(usize::MAX));
            }
        };
    }
    match codes {
        Values::I8(codes) => each!(codes),
        Values::I16(codes) => each!(codes),
        Values::I32(codes) => each!(codes),
        Values::I64(codes) => each!(codes),
        Values::U8(codes) => each!(codes),
        Values::U16(codes) => each!(codes),
        Values::U32(codes) => each!(codes),
        Values::U64(codes) => each!(codes),
        _ => (start..end).for_each(|_| work(usize::MAX)),
    }
}

/// Hand the strings of some rows to `add`, most equal ones together.
///
/// First by what they are ([`StringChunk::identity`]); long strings of which each row has a copy of its own, then by
/// what they say. What neither table takes is handed on row by row.
fn count_texts<'a>(
    chunk: &StringChunk<'a>,
    start: usize,
    end: usize,
    mut add: impl FnMut(Option<&'a [u8]>, u64),
) {
    let (mut identical, mut equal) = (TextTable::new(end - start), None);
    let validity = chunk.validity.filter(|bits| !bits.all(start, end - start));
    for row in start..end {
        if validity.is_some_and(|bits| !bits.get(row)) {
            add(None, 1);
            continue;
        }
        let identity = chunk
            .identity(row)
            .filter(|key| *key as u32 <= SHORT as u32 || !identical.is_full());
        let text = || chunk.get(row);
        if identity.is_some_and(|key| identical.count(key, fold(key), |_| true, text)) {
            continue;
        }
        let text = chunk.get(row);
        let counts = |text: &&'a [u8]| {
            let table = equal.get_or_insert_with(|| TextTable::new(end - start));
            let hash = text_hash(text);
            table.count(
                hash.into(),
                hash,
                |held| is_equal(held, text),
                || Some(*text),
            )
        };
        if !text
            .filter(|text| text.len() > SHORT)
            .as_ref()
            .is_some_and(counts)
        {
            add(text, 1);
        }
    }
    for (text, count) in identical
        .counted()
        .chain(equal.iter().flat_map(TextTable::counted))
    {
        add(Some(text), count);
    }
}

/// Most frequent first; equal counts in the order of their bytes.
fn by_frequency(a: &(&[u8], u64), b: &(&[u8], u64)) -> std::cmp::Ordering {
    b.1.cmp(&a.1).then(a.0.cmp(b.0))
}

/// Count the strings of a column, most frequent first; equal counts in the order of their bytes.
pub fn ranked<'a>(
    column: &StringColumn<'a>,
    threads: Option<usize>,
) -> (Vec<(&'a [u8], u64)>, Parts) {
    let tally = count(column, threads);
    let mut ranked: Vec<(&[u8], u64)> = tally.counts.into_iter().collect();
    ranked.sort_unstable_by(by_frequency);
    let parts = Parts {
        rows: tally.rows,
        missing: tally.missing,
        ..Parts::default()
    };
    (ranked, parts)
}

/// The bucket of a string, below [`BUCKETS`]: the same on every machine and in every version, since states keep its counts.
pub fn bucket(text: &[u8]) -> u8 {
    let mut hasher = FoldHasher::default();
    hasher.write(text);
    (hasher.finish() >> 56) as u8
}

/// The strings of a reference, each counted apart; all others are counted by [`bucket`].
///
/// ```
/// use tidewheel_core::categories::{StringChunk, StringColumn, Strings, Vocabulary, bucket};
/// fn column<'a>(offsets: &'a [i32], text: &'a [u8]) -> StringColumn<'a> {
///     StringColumn {
///         chunks: vec![StringChunk { strings: Strings::Small(offsets, text), validity: None }],
///     }
/// }
///
/// let known = Vocabulary::new(&column(&[0, 1, 2], b"ab"))?;
/// let counts = known.count(&column(&[0, 1, 2, 3], b"aaz"), None).counts;
/// // Rows of "a", of "b", and of strings never seen, by their bucket.
/// assert_eq!((counts[0], counts[1], counts[2 + usize::from(bucket(b"z"))]), (2, 0, 1));
/// # Ok::<(), tidewheel_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    places: FoldMap<Box<[u8]>, u32>,
    buckets: Vec<u8>,
}

impl Vocabulary {
    /// Learn strings.
    ///
    /// # Errors
    /// [`Error::Input`] for a missing string or one that comes twice, or for more than four billion of them.
    pub fn new(names: &StringColumn<'_>) -> Result<Self, Error> {
        if u32::try_from(names.len()).is_err() {
            return Err(Error::Input(format!(
                "a vocabulary must hold fewer than 2^32 strings; got {}",
                names.len()
            )));
        }
        let mut places = FoldMap::default();
        let mut buckets = Vec::with_capacity(names.len());
        let mut refused = None;
        names.rows(|row, name| {
            let is_new = name.is_some_and(|name| places.insert(name.into(), row as u32).is_none());
            buckets.push(name.map_or(0, bucket));
            if !is_new && refused.is_none() {
                refused = Some(row);
            }
        });
        if let Some(row) = refused {
            return Err(Error::Input(format!(
                "a vocabulary must name each string once; got a missing or second one at index {row}"
            )));
        }
        Ok(Self { places, buckets })
    }

    /// The bucket of each string, in their order.
    pub fn buckets(&self) -> &[u8] {
        &self.buckets
    }

    /// Count the rows of a column per known string; [`BUCKETS`] more places take the unseen ones.
    pub fn count(&self, column: &StringColumn<'_>, threads: Option<usize>) -> Counted {
        let tasks = column.tasks();
        let threads = parallel::threads_for(threads, column.len());
        let known = self.buckets.len();
        let len = known + BUCKETS;
        let start = || Counted::new(len);
        let states = parallel::fold(tasks.len(), threads, start, |counted, task| {
            let (chunk, start, end) = tasks[task];
            counted.parts.rows += (end - start) as u64;
            count_rows(&column.chunks[chunk], start, end, |key, count| {
                let Some(key) = key else {
                    counted.parts.missing += count;
                    return;
                };
                let place = match self.places.get(key) {
                    Some(place) => *place as usize,
                    None => known + usize::from(bucket(key)),
                };
                counted.counts[place] += count;
            });
        });
        Counted::sum(states, len)
    }
}

/// Two columns of strings over one vocabulary: the reference's most frequent, then all others together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Categories {
    /// The vocabulary, most frequent first; equal counts in the order of their bytes.
    pub names: Vec<Vec<u8>>,
    /// Reference rows per name; the last entry is "other".
    pub reference: Vec<u64>,
    /// Current rows per name; the last entry is "other".
    pub current: Vec<u64>,
    /// Reference rows in all, and missing ones.
    pub reference_rows: [u64; 2],
    /// Current rows in all, and missing ones.
    pub current_rows: [u64; 2],
    /// Current rows whose string the reference never has.
    pub unseen: u64,
    /// Distinct strings of the reference and of the current column.
    pub distinct: [u64; 2],
    /// Reference strings seen once, and twice.
    pub rare: [u64; 2],
    /// Of each string of the reference, in no order: its reference rows and current rows, and its [`bucket`].
    pub known: (Vec<u64>, Vec<u64>, Vec<u8>),
    /// Current rows per [`bucket`] of the strings that the reference never has.
    pub unseen_buckets: Vec<u64>,
    /// The strings of the reference beyond the names that the current column has most, with both sides' rows.
    pub risen: Vec<(Vec<u8>, u64, u64)>,
}

/// Count both columns over the `most` frequent strings of the reference.
///
/// ```
/// use tidewheel_core::categories::{StringChunk, StringColumn, Strings, compare};
/// fn column<'a>(offsets: &'a [i32], text: &'a [u8]) -> StringColumn<'a> {
///     StringColumn {
///         chunks: vec![StringChunk { strings: Strings::Small(offsets, text), validity: None }],
///     }
/// }
///
/// let found = compare(&column(&[0, 1, 2, 3], b"aab"), &column(&[0, 1, 2, 3, 4], b"abbc"), 50, None);
/// assert_eq!(found.names, [b"a", b"b"]);
/// assert_eq!((found.reference, found.current), (vec![2, 1, 0], vec![1, 2, 1]));
/// assert_eq!(found.unseen, 1);
/// ```
pub fn compare(
    reference: &StringColumn<'_>,
    current: &StringColumn<'_>,
    most: usize,
    threads: Option<usize>,
) -> Categories {
    let (r, c) = (count(reference, threads), count(current, threads));
    let mut ranked: Vec<(&[u8], u64)> =
        r.counts.iter().map(|(key, count)| (*key, *count)).collect();
    if ranked.len() > most {
        ranked.select_nth_unstable_by(most, by_frequency);
    }
    let seen = |times| r.counts.values().filter(|count| **count == times).count() as u64;
    ranked.truncate(most);
    ranked.sort_unstable_by(by_frequency);
    let current_of = |name: &[u8]| c.counts.get(name).copied().unwrap_or(0);
    let mut reference: Vec<u64> = ranked.iter().map(|(_, count)| *count).collect();
    let mut current: Vec<u64> = ranked.iter().map(|(name, _)| current_of(name)).collect();
    reference.push(r.counts.values().sum::<u64>() - reference.iter().sum::<u64>());
    current.push(c.counts.values().sum::<u64>() - current.iter().sum::<u64>());
    // One look-up a string each way: with a million strings each is a miss of the cache.
    let mut known: (Vec<u64>, Vec<u64>, Vec<u8>) = Default::default();
    let mut risen = Leading::new(&ranked);
    for (name, rows) in &r.counts {
        let others = current_of(name);
        known.0.push(*rows);
        known.1.push(others);
        known.2.push(bucket(name));
        risen.take((name, others, *rows));
    }
    let mut unseen_buckets = vec![0; BUCKETS];
    for (name, count) in &c.counts {
        if !r.counts.contains_key(name) {
            unseen_buckets[usize::from(bucket(name))] += count;
        }
    }
    Categories {
        risen: risen.finish(),
        known,
        names: ranked.iter().map(|(name, _)| name.to_vec()).collect(),
        reference,
        current,
        reference_rows: [r.rows, r.missing],
        current_rows: [c.rows, c.missing],
        unseen: unseen_buckets.iter().sum(),
        unseen_buckets,
        distinct: [r.counts.len() as u64, c.counts.len() as u64],
        rare: [seen(1), seen(2)],
    }
}

/// Strings that [`compare`] names beside the vocabulary, at most.
const RISEN: usize = 5;

/// A string with its current rows and its reference rows.
type Risen<'a> = (&'a [u8], u64, u64);

/// As a profile ranks them: by current rows, then as the reference has them.
fn by_current(a: &Risen<'_>, b: &Risen<'_>) -> std::cmp::Ordering {
    b.1.cmp(&a.1).then(by_frequency(&(a.0, a.2), &(b.0, b.2)))
}

/// The first few strings by [`by_current`] that are not among the names, which are ranked by [`by_frequency`].
struct Leading<'a, 'n> {
    names: &'n [(&'a [u8], u64)],
    found: Vec<Risen<'a>>,
}

impl<'a, 'n> Leading<'a, 'n> {
    fn new(names: &'n [(&'a [u8], u64)]) -> Self {
        let found = Vec::with_capacity(RISEN + 1);
        Self { names, found }
    }

    fn take(&mut self, one: Risen<'a>) {
        let is_behind = |last: &Risen<'_>| by_current(last, &one).is_lt();
        if self.found.len() == RISEN && self.found.last().is_some_and(is_behind) {
            return;
        }
        let place = (one.0, one.2);
        if self
            .names
            .binary_search_by(|name| by_frequency(name, &place))
            .is_err()
        {
            let at = self.found.partition_point(is_behind);
            self.found.insert(at, one);
            self.found.truncate(RISEN);
        }
    }

    fn finish(self) -> Vec<(Vec<u8>, u64, u64)> {
        let found = self.found.iter();
        found
            .map(|(name, current, reference)| (name.to_vec(), *reference, *current))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::hash::{BuildHasher, Hasher};

    fn chunk<'a>(offsets: &'a [i32], data: &'a [u8]) -> StringColumn<'a> {
        StringColumn {
            chunks: vec![StringChunk {
                strings: Strings::Small(offsets, data),
                validity: None,
            }],
        }
    }

    fn pack(words: &[String]) -> (Vec<i32>, Vec<u8>) {
        let mut offsets = vec![0];
        let mut data = Vec::new();
        for word in words {
            data.extend_from_slice(word.as_bytes());
            offsets.push(data.len() as i32);
        }
        (offsets, data)
    }

    /// Views of words: each with its own copy of a long one, or all of a word with one.
    fn views(words: &[String], shared: bool) -> (Vec<[u8; 16]>, Vec<u8>) {
        let (mut data, mut copies) = (Vec::new(), BTreeMap::new());
        let mut view = |word: &String| {
            let (bytes, mut view) = (word.as_bytes(), [0; 16]);
            view[..4].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
            if bytes.len() <= SHORT {
                view[4..4 + bytes.len()].copy_from_slice(bytes);
                return view;
            }
            let known = copies.get(word).copied().filter(|_| shared);
            let offset = known.unwrap_or(data.len() as u32);
            if known.is_none() {
                copies.insert(word.clone(), offset);
                data.extend_from_slice(bytes);
            }
            view[4..8].copy_from_slice(&bytes[..4]);
            view[12..].copy_from_slice(&offset.to_le_bytes());
            view
        };
        (words.iter().map(&mut view).collect(), data)
    }

    /// Count words in each layout, beside a tree.
    fn check_counts(words: &[String]) {
        let mut expected: BTreeMap<&[u8], u64> = BTreeMap::new();
        for word in words {
            *expected.entry(word.as_bytes()).or_default() += 1;
        }
        let (offsets, data) = pack(words);
        let wide: Vec<i64> = offsets.iter().map(|offset| i64::from(*offset)).collect();
        let (own, own_data) = views(words, false);
        let (shared, shared_data) = views(words, true);
        let layouts = [
            Strings::Small(&offsets, &data),
            Strings::Large(&wide, &data),
            Strings::Views(&own, vec![&own_data]),
            Strings::Views(&shared, vec![&shared_data]),
        ];
        for strings in layouts {
            let column = StringColumn {
                chunks: vec![StringChunk {
                    strings,
                    validity: None,
                }],
            };
            let found: BTreeMap<_, _> = count(&column, None).counts.into_iter().collect();
            assert_eq!(found, expected);
        }
    }

    proptest! {
        #[test]
        fn strings_are_counted_as_a_tree_counts(words in prop::collection::vec("[ab\u{0}é]{0,12}|[ab]{11,36}", 0..300)) {
            check_counts(&words);
        }
    }

    #[test]
    fn more_long_strings_than_the_tables_take() {
        let word = |i: u64| format!("a word of many letters, number {}", (i * i) % 9_973);
        check_counts(&(0..30_000).map(word).collect::<Vec<_>>());
    }

    #[test]
    fn long_strings_with_one_hash_are_told_apart() {
        // A first word that makes the product 0 hides the second.
        let zero = 0x9e37_79b9_7f4a_7c15u64.to_le_bytes();
        let word = |last: u8| [&zero[..], &[last; 8]].concat();
        let (one, other) = (word(1), word(2));
        assert_eq!(text_hash(&one), text_hash(&other));
        let data = [&one[..], &other, &other].concat();
        let tally = count(&chunk(&[0, 16, 32, 48], &data), None);
        assert_eq!(tally.counts.get(&one[..]), Some(&1));
        assert_eq!(tally.counts.get(&other[..]), Some(&2));
    }

    #[test]
    fn long_strings_outside_their_buffers_are_missing() {
        let word = "a string of more than twelve bytes".to_string();
        let (mut views, data) = views(&[word.clone(), word.clone(), word], true);
        views[1][12] = 200;
        let strings = Strings::Views(&views, vec![&data]);
        let tally = count(
            &StringColumn {
                chunks: vec![StringChunk {
                    strings,
                    validity: None,
                }],
            },
            None,
        );
        assert_eq!((tally.missing, tally.counts.get(&data[..])), (1, Some(&2)));
    }

    #[test]
    fn more_strings_than_the_table_of_short_ones_takes() {
        let words: Vec<String> = (0..30_000)
            .map(|i| format!("{}", (i * i) % 9_973))
            .collect();
        let (offsets, data) = pack(&words);
        let tally = count(&chunk(&offsets, &data), None);
        let mut expected: BTreeMap<&[u8], u64> = BTreeMap::new();
        words
            .iter()
            .for_each(|word| *expected.entry(word.as_bytes()).or_default() += 1);
        assert_eq!(
            tally.counts.into_iter().collect::<BTreeMap<_, _>>(),
            expected
        );
    }

    #[test]
    fn views_with_anything_behind_their_strings_are_equal() {
        let mut views = [[0u8; 16]; 3];
        for (filler, view) in views.iter_mut().enumerate() {
            view[0] = 2;
            view[4..6].copy_from_slice(b"hi");
            view[6..].fill(filler as u8);
        }
        let strings = Strings::Views(&views, Vec::new());
        let column = StringColumn {
            chunks: vec![StringChunk {
                strings,
                validity: None,
            }],
        };
        assert_eq!(count(&column, None).counts.get(&b"hi"[..]), Some(&3));
    }

    #[test]
    fn views_are_read_inline_and_from_buffers() {
        let long = b"a string of more than twelve bytes";
        let mut inline = [0u8; 16];
        inline[0] = 2;
        inline[4..6].copy_from_slice(b"hi");
        let mut outside = [0u8; 16];
        outside[0] = long.len() as u8;
        let mut wrong = outside;
        wrong[12] = 200;
        // Twelve bytes is the most that fits inline.
        let mut full = [0u8; 16];
        full[0] = 12;
        full[4..].copy_from_slice(b"exactly here");
        let views = [inline, outside, wrong, full];
        let chunk = StringChunk {
            strings: Strings::Views(&views, vec![long]),
            validity: None,
        };
        assert_eq!(chunk.get(0), Some(&b"hi"[..]));
        assert_eq!(chunk.get(1), Some(&long[..]));
        assert_eq!(chunk.get(2), None);
        assert_eq!(chunk.get(3), Some(&b"exactly here"[..]));
    }

    #[test]
    fn a_dictionary_with_duplicates_nulls_and_unused_entries() {
        let (offsets, data) = pack(&[
            "x".into(),
            "y".into(),
            "x".into(),
            "unused".into(),
            "null".into(),
        ]);
        let dictionary = StringChunk {
            strings: Strings::Small(&offsets, &data),
            validity: Some(Bits::new(&[0b01111], 0)),
        };
        let codes = [0i8, 1, 2, 4, 0, -1];
        let strings = Strings::Dictionary(Values::I8(&codes), Box::new(dictionary));
        let column = StringColumn {
            chunks: vec![StringChunk {
                strings,
                validity: Some(Bits::new(&[0b101111], 0)),
            }],
        };
        let tally = count(&column, None);
        assert_eq!(tally.counts.get(&b"x"[..]), Some(&2));
        assert_eq!(tally.counts.get(&b"y"[..]), Some(&1));
        assert_eq!((tally.counts.len(), tally.missing, tally.rows), (2, 3, 6));
    }

    #[test]
    fn a_vocabulary_tells_known_and_unseen_apart() {
        let words = |text: &str| pack(&text.split(' ').map(str::to_string).collect::<Vec<_>>());
        let (names, c) = (words("b a d c"), words("a z c b z a d"));
        let vocabulary = Vocabulary::new(&chunk(&names.0, &names.1)).unwrap();
        let counted = vocabulary.count(&chunk(&c.0, &c.1), None);
        let mut expected = vec![0; 4 + BUCKETS];
        expected[..4].copy_from_slice(&[1, 2, 1, 1]);
        expected[4 + usize::from(bucket(b"z"))] = 2;
        assert_eq!((counted.counts, counted.parts.rows), (expected, 7));
        assert_eq!(
            vocabulary.buckets(),
            [b"b", b"a", b"d", b"c"].map(|name| bucket(name))
        );
        let twice = words("a b a");
        let error = Vocabulary::new(&chunk(&twice.0, &twice.1)).unwrap_err();
        assert!(error.to_string().contains("at index 2"));
        let (found, parts) = ranked(&chunk(&c.0, &c.1), None);
        assert_eq!(
            (found[0], found[2], parts.rows),
            ((&b"a"[..], 2), (&b"b"[..], 1), 7)
        );
    }

    #[test]
    fn the_vocabulary_is_the_references_most_frequent() {
        let words = |text: &str| pack(&text.split(' ').map(str::to_string).collect::<Vec<_>>());
        let (r, c) = (words("b b b a a c d"), words("a z c b"));
        let found = compare(&chunk(&r.0, &r.1), &chunk(&c.0, &c.1), 2, None);
        assert_eq!(found.names, [b"b".to_vec(), b"a".to_vec()]);
        assert_eq!(
            (found.reference, found.current),
            (vec![3, 2, 2], vec![1, 1, 2])
        );
        assert_eq!(
            (found.unseen, found.distinct, found.rare),
            (1, [4, 4], [2, 1])
        );
        let (r, c, buckets) = found.known;
        let mut known: Vec<_> = r.into_iter().zip(c).zip(buckets).collect();
        known.sort_unstable();
        let mut expected = [(3, 1, b"b"), (2, 1, b"a"), (1, 1, b"c"), (1, 0, b"d")]
            .map(|(r, c, name)| ((r, c), bucket(name)));
        expected.sort_unstable();
        assert_eq!(known, expected);
        assert_eq!(found.unseen_buckets[usize::from(bucket(b"z"))], 1);
    }

    #[test]
    fn the_current_columns_frequent_strings_are_named_too() {
        let words = |text: &str| pack(&text.split(' ').map(str::to_string).collect::<Vec<_>>());
        let (r, c) = (words("b b b a a c c d e"), words("z e z z e d a b c y x"));
        let found = compare(&chunk(&r.0, &r.1), &chunk(&c.0, &c.1), 2, None);
        let expected: Vec<(Vec<u8>, u64, u64)> = [("e", 1, 2), ("c", 2, 1), ("d", 1, 1)]
            .map(|(name, r, c)| (name.into(), r, c))
            .into();
        assert_eq!(found.risen, expected);
    }

    #[test]
    fn buckets_stay_as_they_are() {
        // States keep counts by bucket: another hash needs another version of their format.
        let found = [
            "",
            "UNKNOWN",
            "a",
            "000001",
            "a string of more than twelve bytes",
        ]
        .map(|text| bucket(text.as_bytes()));
        assert_eq!(found, [201, 65, 37, 33, 243]);
    }

    /// Two strings of 15 bytes with one hash: their first words are folded, and their tails make up for the difference.
    fn colliding() -> [[u8; 15]; 2] {
        let state = |word: u64| {
            let mut hasher = FoldHasher::default();
            // A map hashes the length of a slice before its bytes.
            hasher.write_usize(15);
            hasher.write_u64(word);
            hasher.finish()
        };
        // The top byte of the last word is the length, so the states must agree there.
        let other = (1..u64::MAX)
            .find(|word| (state(*word) ^ state(0)) >> 56 == 0)
            .unwrap();
        [0, other].map(|word| {
            let tail = (state(word) ^ state(0)).to_le_bytes();
            let mut bytes = [0; 15];
            bytes[..8].copy_from_slice(&word.to_le_bytes());
            bytes[8..].copy_from_slice(&tail[..7]);
            bytes
        })
    }

    #[test]
    fn strings_with_one_hash_are_told_apart() {
        let words = colliding();
        let hash = |bytes: &[u8]| BuildHasherDefault::<FoldHasher>::default().hash_one(bytes);
        assert_eq!(hash(&words[0]), hash(&words[1]));
        assert_ne!(words[0], words[1]);
        let data = [words[0], words[1], words[1]].concat();
        let tally = count(&chunk(&[0, 15, 30, 45], &data), None);
        assert_eq!(tally.counts.get(&words[0][..]), Some(&1));
        assert_eq!(tally.counts.get(&words[1][..]), Some(&2));
    }
}

//! Exact bins: the number of thresholds at or below a value.
//!
//! Bins are `[e_i, e_(i+1))`. A bin number is first guessed by a monotone cell and a guide table, then settled by
//! comparisons with the true edges, so it is exact whatever the rounding of the map. Up to [`FEW`] thresholds need no
//! guess: every value is compared with each of them and only counts come out. Thresholds at even distances need no table:
//! arithmetic finds the bin of all values but those next to a threshold ([`Even`]).

use crate::cells::CellMap;
use crate::domain::Domain;
use crate::error::Error;
use crate::halves::Halves;

/// Up to this many thresholds comparing with all of them is faster than finding an index (bench: benches/drift).
pub const FEW: usize = 16;

/// Guide cells per threshold: with even data three of four cells then hold no edge at all.
const CELLS_PER_THRESHOLD: usize = 4;

/// Strictly increasing thresholds `t_1 < ... < t_T`, cutting the line into `T + 1` slots; slot `i` is `[t_i, t_(i+1))`.
#[derive(Debug, Clone)]
pub struct Thresholds<K> {
    values: Vec<K>,
    search: Search<K>,
}

/// How the slot of a value is found.
#[derive(Debug, Clone)]
pub enum Search<K> {
    /// By comparing with every threshold, or with the upper halves of some of them.
    Few(Option<Halves>),
    /// By arithmetic.
    Even(Even),
    /// By a table over cells.
    Guide(Guide<K>),
}

/// A table over cells that narrows the search for a slot to the thresholds of one cell.
#[derive(Debug, Clone)]
pub struct Guide<K> {
    /// The map whose cells the table describes.
    pub map: CellMap,
    entries: Vec<Entry<K>>,
    most: u32,
}

/// What is known of a value from its cell.
#[derive(Debug, Clone, Copy)]
struct Entry<K> {
    /// The first threshold in this cell or a later one: a value of this cell may reach it.
    next: K,
    /// Thresholds in earlier cells.
    before: u32,
    /// Thresholds up to the end of this cell.
    after: u32,
}

impl<K: Domain> Thresholds<K> {
    /// Check that thresholds increase strictly, and build the guide if there are many.
    ///
    /// # Errors
    /// [`Error::Input`] for NaN or a threshold that is not above the one before it.
    pub fn new(values: Vec<K>) -> Result<Self, Error> {
        for (index, pair) in values.windows(2).enumerate() {
            if pair[0].partial_cmp(&pair[1]) != Some(std::cmp::Ordering::Less) {
                let (before, after) = (pair[0], pair[1]);
                let place = index + 1;
                return Err(Error::Input(format!(
                    "`edges` must increase strictly; got {after:?} after {before:?} at index {place}"
                )));
            }
        }
        if let Some(index) = values.iter().position(|value| value.is_nan()) {
            return Err(Error::Input(format!(
                "`edges` must be numbers; got NaN at index {index}"
            )));
        }
        let search = if values.len() <= FEW {
            Search::Few(Halves::new(&values))
        } else {
            Even::new(&values).map_or_else(|| Search::Guide(Guide::new(&values)), Search::Even)
        };
        Ok(Self { values, search })
    }

    /// The thresholds.
    pub fn values(&self) -> &[K] {
        &self.values
    }

    /// Number of slots.
    pub fn slots(&self) -> usize {
        self.values.len() + 1
    }

    /// How slots are found.
    pub fn search(&self) -> &Search<K> {
        &self.search
    }

    /// The slot of a value, by bisection.
    pub fn slot(&self, value: K) -> usize {
        self.values.partition_point(|threshold| *threshold <= value)
    }

    /// Turn the guide cells of a block into slots.
    ///
    /// With few thresholds in every cell a slot is settled by as many comparisons as the fullest cell has, and no branch:
    /// thresholds of later cells lie above the value, so comparing with some of them too changes nothing.
    #[inline(always)]
    pub fn settle(&self, guide: &Guide<K>, block: &[K], cells: &mut [u32]) {
        match guide.most {
            0 | 1 => self.settle_next(guide, block, cells),
            2 => self.settle_few::<2>(guide, block, cells),
            3 | 4 => self.settle_few::<4>(guide, block, cells),
            5..=8 => self.settle_few::<8>(guide, block, cells),
            _ => self.settle_many(guide, block, cells),
        }
    }

    #[inline(always)]
    fn settle_next(&self, guide: &Guide<K>, block: &[K], cells: &mut [u32]) {
        let last = self.values.len() as u32;
        for (cell, value) in cells.iter_mut().zip(block) {
            if let Some(entry) = guide.entries.get(*cell as usize) {
                // Past the last threshold `next` repeats it, and the slot must not count it twice.
                *cell = (entry.before + u32::from(entry.next <= *value)).min(last);
            }
        }
    }

    #[inline(always)]
    fn settle_few<const MOST: usize>(&self, guide: &Guide<K>, block: &[K], cells: &mut [u32]) {
        let last = self.values.len();
        for (cell, value) in cells.iter_mut().zip(block) {
            let Some(entry) = guide.entries.get(*cell as usize) else {
                continue;
            };
            let before = entry.before as usize;
            // Near the end the window is moved down: thresholds below it are counted as reached, which they are.
            let start = before.min(last.saturating_sub(MOST));
            let Some(window) = self.values.get(start..start + MOST) else {
                continue;
            };
            let reached = window.iter().filter(|threshold| **threshold <= *value);
            *cell = (start + reached.count()) as u32;
        }
    }

    #[inline(always)]
    fn settle_many(&self, guide: &Guide<K>, block: &[K], cells: &mut [u32]) {
        for (cell, value) in cells.iter_mut().zip(block) {
            let Some(entry) = guide.entries.get(*cell as usize) else {
                continue;
            };
            let within = self
                .values
                .get(entry.before as usize..entry.after as usize)
                .unwrap_or(&[]);
            *cell = entry.before + within.partition_point(|threshold| *threshold <= *value) as u32;
        }
    }
}

/// Thresholds at even distances: where a value lies among them follows from arithmetic.
///
/// What is clever: a value gets a place, a fixed-point number, by steps that never reverse an order (subtract, multiply by a
/// positive number, clamp, round). The place of threshold `i` is looked up when this is made, and must lie in
/// `[i + 1, i + 1 + DOUBT)`. So a place `s + DOUBT <= p < s + 1` is above that of threshold `s - 1` and below that of
/// threshold `s`, hence so is the value, exactly, whatever was rounded. Only for places in `[s, s + DOUBT)` must the value be
/// compared with threshold `s - 1` itself. Bench: benches/drift/test_psi.py; tests: here and tests/drift/test_tiers.py.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Even {
    pub(crate) low: f64,
    pub(crate) scale: f64,
    pub(crate) highest: f64,
}

/// Adding this to a float between 0 and 2^32 leaves it in the low 52 bits, in units of 2^-20.
pub(crate) const FIXED_POINT: f64 = 4_294_967_296.0;
/// Bits of a place after its point.
pub(crate) const PLACE_BITS: u32 = 20;
/// Width of the doubtful range above each whole place, in units: 2^-16.
pub(crate) const DOUBT: u64 = 16;
/// More thresholds than this do not fit a first-level cache, and arithmetic would gain little.
const MOST_EVEN: usize = 1 << 14;
/// Places found together: few enough that one doubtful value among them costs little.
const TOGETHER: usize = 64;

impl Even {
    pub(crate) fn new<K: Domain>(values: &[K]) -> Option<Self> {
        let (first, last) = (values.first()?.to_f64(), values.last()?.to_f64());
        let scale = (values.len() as f64 - 1.0) / (last - first);
        let middle = 0.5 * DOUBT as f64 / f64::from(1u32 << PLACE_BITS);
        let even = Self {
            low: first - (1.0 + middle) / scale,
            scale,
            highest: values.len() as f64 + 0.5,
        };
        let is_usable = values.len() <= MOST_EVEN && scale.is_normal() && even.low.is_finite();
        let is_even = |(index, value): (usize, &K)| {
            let place = even.place(value.to_f64());
            Even::slot(place) as usize == index + 1 && Even::doubt(place) >> 63 == 1
        };
        (is_usable && values.iter().enumerate().all(is_even)).then_some(even)
    }

    /// The place of a value, in the low 52 bits.
    #[inline(always)]
    fn place(&self, value: f64) -> u64 {
        let place = (value - self.low) * self.scale;
        // Written as choices, each of these is one instruction. Half-way values are never doubtful.
        let place = if place > 0.5 { place } else { 0.5 };
        let place = if place < self.highest {
            place
        } else {
            self.highest
        };
        (place + FIXED_POINT).to_bits()
    }

    #[inline(always)]
    fn slot(place: u64) -> u32 {
        (place >> PLACE_BITS) as u32
    }

    /// A number whose top bit is set for doubtful places.
    #[inline(always)]
    fn doubt(place: u64) -> u64 {
        (place & ((1 << PLACE_BITS) - 1)).wrapping_sub(DOUBT)
    }

    /// Find the slots of a block.
    #[inline(always)]
    pub(crate) fn find<K: Domain>(&self, thresholds: &[K], block: &[K], slots: &mut [u32]) {
        let (whole, rest) = block.as_chunks::<TOGETHER>();
        let (whole_slots, rest_slots) = slots.as_chunks_mut::<TOGETHER>();
        for (values, slots) in whole.iter().zip(whole_slots) {
            self.find_together(thresholds, values, slots);
        }
        self.find_together(thresholds, rest, rest_slots);
    }

    #[inline(always)]
    fn find_together<K: Domain>(&self, thresholds: &[K], values: &[K], slots: &mut [u32]) {
        let mut doubt = 0;
        for (slot, value) in slots.iter_mut().zip(values) {
            let place = self.place(value.to_f64());
            *slot = Even::slot(place);
            doubt |= Even::doubt(place);
        }
        if doubt >> 63 == 0 {
            return;
        }
        for (slot, value) in slots.iter_mut().zip(values) {
            // A value without doubt reaches the threshold that its place says it reaches.
            if let Some(threshold) = thresholds.get((*slot as usize).wrapping_sub(1)) {
                *slot -= u32::from(*value < *threshold);
            }
        }
    }
}

impl<K: Domain> Guide<K> {
    fn new(values: &[K]) -> Self {
        let map = CellMap::choose(values, values.len() * CELLS_PER_THRESHOLD);
        let mut within = vec![0u32; map.len()];
        for value in values {
            within[map.cell(*value) as usize] += 1;
        }
        let most = within.iter().copied().max().unwrap_or(0);
        let mut before = 0;
        let entry = |count: u32| {
            let first = before;
            before += count;
            let next = values
                .get(first as usize)
                .or(values.last())
                .copied()
                .unwrap_or_default();
            Entry {
                next,
                before: first,
                after: before,
            }
        };
        Self {
            map,
            entries: within.into_iter().map(entry).collect(),
            most,
        }
    }
}

/// Edges of a closed histogram: `[e_0, e_1) ... [e_(B-1), e_B]`, the last bin closed, as NumPy has them.
///
/// As thresholds the last edge becomes the least value above it, so that `e_B` itself stays inside.
///
/// # Errors
/// [`Error::Input`] for fewer than two edges, or edges that do not increase strictly.
///
/// ```
/// use tidewheel_core::bins;
/// let edges = bins::closed(vec![0.0, 1.0, 2.0])?;
/// // Slot 0 lies below the bins, slot 3 above them; the last edge belongs to the last bin.
/// assert_eq!([-1.0, 0.0, 1.0, 2.0, 2.1].map(|x| edges.slot(x)), [0, 1, 2, 2, 3]);
/// # Ok::<(), tidewheel_core::Error>(())
/// ```
pub fn closed<K: Domain>(mut edges: Vec<K>) -> Result<Thresholds<K>, Error> {
    if edges.len() < 2 {
        return Err(Error::Input(format!(
            "`edges` must hold at least 2 values; got {}",
            edges.len()
        )));
    }
    Thresholds::new(edges.clone())?;
    if let Some(last) = edges.pop() {
        edges.extend(last.next_up());
    }
    Thresholds::new(edges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn guide_and_bisection_agree(mut edges in prop::collection::vec(-1e3f64..1e3, 17..200),
                                     values in prop::collection::vec(-2e3f64..2e3, 1..200)) {
            edges.sort_by(f64::total_cmp);
            edges.dedup();
            let thresholds = Thresholds::new(edges.clone()).unwrap();
            let Search::Guide(guide) = thresholds.search() else { return Ok(()) };
            let borders = edges.iter().flat_map(|edge| [*edge, edge.next_down(), edge.next_up()]);
            let all: Vec<f64> = values.into_iter().chain(borders).collect();
            let mut slots: Vec<u32> = all.iter().map(|value| guide.map.cell(*value)).collect();
            thresholds.settle(guide, &all, &mut slots);
            for (slot, value) in slots.into_iter().zip(all) {
                prop_assert_eq!(slot as usize, edges.iter().filter(|edge| **edge <= value).count());
            }
        }
    }

    proptest! {
        #[test]
        fn arithmetic_and_bisection_agree(low in -1e6f64..1e6, width in 1e-3f64..1e6, bins in 16usize..3_000,
                                          values in prop::collection::vec(-0.2f64..1.2, 1..200)) {
            let edge = |i: usize| low + width * i as f64 / bins as f64;
            let edges: Vec<f64> = (0..=bins).map(edge).collect();
            let thresholds = closed(edges.clone()).unwrap();
            let Search::Even(even) = thresholds.search() else { return Ok(()) };
            let borders = thresholds.values().iter().flat_map(|edge| [*edge, edge.next_down(), edge.next_up()]);
            let ends = [f64::MIN, f64::MAX, 0.0, -0.0, f64::MIN_POSITIVE / 4.0];
            let all: Vec<f64> = values.into_iter().map(|v| low + v * width).chain(borders).chain(ends).collect();
            let mut slots = vec![0; all.len()];
            even.find(thresholds.values(), &all, &mut slots);
            for (slot, value) in slots.into_iter().zip(all) {
                prop_assert_eq!(slot as usize, thresholds.slot(value), "{}", value);
            }
        }
    }

    #[test]
    fn even_thresholds_are_known_as_such() {
        let thresholds = |edges: Vec<f64>| Thresholds::new(edges).unwrap();
        let is_even = |edges| matches!(thresholds(edges).search(), Search::Even(_));
        let even: Vec<f64> = (0..100).map(|i| 0.1 * f64::from(i) - 3.0).collect();
        let shifted = |by: f64| even.iter().map(|edge| edge + by).collect::<Vec<f64>>();
        let mut bent = even.clone();
        bent[50] += 1e-5;
        assert!(is_even(even.clone()) && is_even(shifted(1e6)));
        // So far from zero the edges themselves are rounded unevenly.
        assert!(!is_even(bent) && !is_even(shifted(1e12)));
    }

    #[test]
    fn cells_however_full_are_settled() {
        let mut fullest = Vec::new();
        for crowd in 1..12 {
            let near = |i: usize| (0..crowd).map(move |k| i as f64 * 100.0 + f64::from(k) * 1e-3);
            let edges: Vec<f64> = (0..40).flat_map(near).collect();
            let thresholds = Thresholds::new(edges.clone()).unwrap();
            let guide = &Guide::new(&edges);
            fullest.push(guide.most);
            let around = |edge: &f64| [edge.next_down(), *edge, edge.next_up(), edge + 50.0];
            let all: Vec<f64> = edges.iter().flat_map(around).chain([-1e9, 1e9]).collect();
            let mut slots: Vec<u32> = all.iter().map(|value| guide.map.cell(*value)).collect();
            thresholds.settle(guide, &all, &mut slots);
            for (slot, value) in slots.into_iter().zip(all) {
                assert_eq!(slot as usize, thresholds.slot(value), "{crowd} {value}");
            }
        }
        assert_eq!((fullest.first(), fullest.last()), (Some(&1), Some(&11)));
    }

    #[test]
    fn edges_are_refused_with_their_place() {
        let cases: [(Vec<f64>, &str); 3] = [
            (vec![1.0, 2.0, 2.0], "got 2.0 after 2.0 at index 2"),
            (vec![1.0, f64::NAN], "got NaN after 1.0 at index 1"),
            (vec![f64::NAN], "got NaN at index 0"),
        ];
        for (edges, text) in cases {
            let error = Thresholds::new(edges).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
        assert!(
            closed(vec![1.0])
                .unwrap_err()
                .to_string()
                .contains("at least 2 values; got 1")
        );
    }

    #[test]
    fn the_last_bin_is_closed() {
        let thresholds = closed(vec![0.0, 1.0, 2.0]).unwrap();
        let slots: Vec<usize> = [-0.1, 0.0, 1.0, 2.0, 2.1]
            .iter()
            .map(|value| thresholds.slot(*value))
            .collect();
        assert_eq!(slots, [0, 1, 2, 2, 3]);
        let top = closed(vec![0, i64::MAX]).unwrap();
        assert_eq!(top.slot(i64::MAX), 1);
    }
}

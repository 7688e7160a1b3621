//! Monotone maps from values to small cell numbers, the same function for building tables and for asking them.
//!
//! A map never reverses an order: `a <= b` gives `cell(a) <= cell(b)`, whatever the rounding, because each step of it
//! (subtract, multiply by a positive number, clamp, round) is monotone. Exactness comes later, from comparisons with
//! true edges ([`crate::bins`]) or from refinement ([`crate::ks`]); cells only have to be even enough to be fast.

use crate::column::{BLOCK, Infinities};
use crate::dispatch;
use crate::domain::Domain;

/// Adding this to a float below 2^51 leaves its nearest integer in the low bits: a conversion that vectorises everywhere.
const INTEGER_IN_LOW_BITS: f64 = 4_503_599_627_370_496.0;

/// Places of a sample from which narrower cells are tried.
const WINDOWS: usize = 64;

/// A monotone map onto the cells `0..=last`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CellMap {
    /// Even cells between two values; what lies outside falls into the outer cells.
    Linear {
        /// Value at the middle of cell 0.
        low: f64,
        /// Cells per unit; positive and finite.
        scale: f64,
        /// Number of the last cell, as a float.
        last: f64,
    },
    /// Even cells of the order-preserving integer key, that is, about even in the logarithm of a float.
    Key {
        /// Key at which cell 0 starts.
        low: u64,
        /// Bits dropped from the distance to `low`.
        shift: u32,
        /// Number of the last cell.
        last: u64,
    },
}

/// The values from `low` to `high`, both of them included.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub struct Span<K> {
    pub low: K,
    pub high: K,
}

impl<K: Domain> Span<K> {
    /// All values.
    pub fn all(infinities: Infinities) -> Self {
        let (low, high) = match infinities {
            Infinities::Keep => K::ENDS,
            Infinities::Leave => K::FINITE_ENDS,
        };
        Self { low, high }
    }

    /// The values that both spans hold.
    pub fn and(self, other: Self) -> Self {
        let low = if other.low > self.low {
            other.low
        } else {
            self.low
        };
        let high = if other.high < self.high {
            other.high
        } else {
            self.high
        };
        Self { low, high }
    }

    /// True for a value inside; never for NaN.
    #[inline(always)]
    pub fn holds(&self, value: K) -> bool {
        (value >= self.low) & (value <= self.high)
    }
}

impl CellMap {
    /// Cell by linear map.
    #[inline(always)]
    pub fn linear(value: f64, low: f64, scale: f64, last: f64) -> u32 {
        let cell = (value - low) * scale;
        // Written as choices, each of these is one instruction; `max` and `min` would look for NaN, which is not here.
        let cell = if cell > 0.0 { cell } else { 0.0 };
        let cell = if cell < last { cell } else { last };
        (cell + INTEGER_IN_LOW_BITS).to_bits() as u32
    }

    /// Cell by key.
    #[inline(always)]
    pub fn keyed(key: u64, low: u64, shift: u32, last: u64) -> u32 {
        ((key.max(low) - low) >> shift).min(last) as u32
    }

    /// The cell of one value.
    pub fn cell<K: Domain>(&self, value: K) -> u32 {
        match *self {
            CellMap::Linear { low, scale, last } => Self::linear(value.to_f64(), low, scale, last),
            CellMap::Key { low, shift, last } => Self::keyed(value.key(), low, shift, last),
        }
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        match *self {
            CellMap::Linear { last, .. } => last as usize + 1,
            CellMap::Key { last, .. } => last as usize + 1,
        }
    }

    /// Never: a map has at least one cell.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The least value that the map, with its roundings, puts into `cell` or above; the least of all for cell 0.
    ///
    /// It is looked for by wider and wider steps from a guess, which is seldom more than a value away, then by bisection.
    pub fn start<K: Domain>(&self, cell: usize) -> K {
        let (least, most) = (K::ENDS.0.key(), K::ENDS.1.key());
        let guess = match *self {
            _ if cell == 0 => return K::ENDS.0,
            CellMap::Linear { low, scale, .. } => {
                let guess = K::from_f64(low + (cell as f64 - 0.5) / scale);
                guess.key().clamp(least, most)
            }
            CellMap::Key { low, shift, .. } => {
                return K::of_key(low.saturating_add((cell as u64) << shift).min(most));
            }
        };
        let is_reached = |key: u64| self.cell(K::of_key(key)) as usize >= cell;
        let (mut below, mut reached, mut step) = (guess, guess, 1);
        if is_reached(reached) {
            // The least of all values is in cell 0.
            while below > least && is_reached(below) {
                (reached, step) = (below, 2 * step);
                below = below.saturating_sub(step).max(least);
            }
        } else {
            while reached < most && !is_reached(reached) {
                (below, step) = (reached, 2 * step);
                reached = reached.saturating_add(step).min(most);
            }
        }
        while reached - below > 1 {
            let middle = below + (reached - below) / 2;
            if is_reached(middle) {
                reached = middle;
            } else {
                below = middle;
            }
        }
        K::of_key(reached)
    }

    /// The values of the cells from `first` to `last`, both of them included.
    pub fn span<K: Domain>(&self, first: usize, last: usize) -> Span<K> {
        let (low, mut high) = (self.start(first), K::ENDS.1);
        if last + 1 < self.len() {
            high = K::of_key(self.start::<K>(last + 1).key().saturating_sub(1));
        }
        Span { low, high }
    }

    /// Lay up to `cells` even cells between two values, if the distance can be divided so.
    pub fn between<K: Domain>(low: K, high: K, cells: usize) -> Option<Self> {
        let (low, high) = (low.to_f64(), high.to_f64());
        let last = cells.max(1) as f64 - 1.0;
        let scale = last / (high - low);
        // An infinite or subnormal distance leaves a scale that is zero, infinite or NaN.
        (scale.is_normal() && low.is_finite()).then_some(CellMap::Linear { low, scale, last })
    }

    /// Lay up to `cells` cells over the keys of two values.
    pub fn between_keys<K: Domain>(low: K, high: K, cells: usize) -> Self {
        let (low, high) = (low.key(), high.key().max(low.key()));
        let mut shift = 0;
        while shift < 63 && (high - low) >> shift >= cells.max(2) as u64 {
            shift += 1;
        }
        CellMap::Key {
            low,
            shift,
            last: (high - low) >> shift,
        }
    }

    /// Lay cells over keys half as wide as [`Self::between_keys`] makes them, where most of a sorted sample lies.
    fn narrower_keys<K: Domain>(low: K, high: K, cells: usize, sample: &[K]) -> Option<Self> {
        let CellMap::Key { shift, .. } = Self::between_keys(low, high, cells) else {
            return None;
        };
        let (shift, last) = (shift.checked_sub(1)?, cells.max(2) as u64 - 1);
        let width = (last << shift) | ((1 << shift) - 1);
        let held = |first: usize| {
            let end = sample[first].key().saturating_add(width);
            sample[first..].partition_point(|value| value.key() <= end)
        };
        // More than a sixteenth is no tail.
        let most = sample.len().div_ceil(16);
        let firsts = (0..most).step_by(most.div_ceil(WINDOWS));
        let low = sample[firsts.max_by_key(|first| held(*first))?].key();
        Some(CellMap::Key { low, shift, last })
    }

    /// Choose the map that spreads a sorted sample most evenly over about `cells` cells.
    ///
    /// Candidates: linear over the whole sample, linear between its 0.2 % and 99.8 % quantiles (for long tails), and
    /// by key (for values over many orders of magnitude), where cells of half the width may leave out longer tails. The least
    /// sum of squared cell counts wins.
    pub fn choose<K: Domain>(sample: &[K], cells: usize) -> Self {
        let (Some(&first), Some(&last)) = (sample.first(), sample.last()) else {
            return CellMap::Key {
                low: 0,
                shift: 63,
                last: 1,
            };
        };
        let tail = sample.len() / 500;
        let (inner_first, inner_last) = (sample[tail], sample[sample.len() - 1 - tail]);
        let candidates = [
            CellMap::between(first, last, cells),
            CellMap::between(inner_first, inner_last, cells),
            Some(CellMap::between_keys(first, last, cells)),
            Some(CellMap::between_keys(inner_first, inner_last, cells)),
            CellMap::narrower_keys(inner_first, inner_last, cells, sample),
        ];
        let keyed = CellMap::between_keys(first, last, cells);
        candidates
            .into_iter()
            .flatten()
            .min_by_key(|map| map.unevenness(sample))
            .unwrap_or(keyed)
    }

    /// Choose as [`Self::choose`] does, but let cells reach both ends of the sample where that makes them little less even.
    ///
    /// For what lies beyond falls into the outer cells: they hold many rows even where a sample has few of these.
    pub fn choose_to_ends<K: Domain>(sample: &[K], cells: usize) -> Self {
        let best = Self::choose(sample, cells);
        let (Some(&first), Some(&last)) = (sample.first(), sample.last()) else {
            return best;
        };
        let most = best.unevenness(sample) * 5 / 4;
        let keyed = CellMap::between_keys(first, last, cells);
        let to_ends = CellMap::between(first, last, cells).into_iter();
        let to_ends = to_ends
            .chain([keyed])
            .map(|map| (map.unevenness(sample), map));
        let even = to_ends.min_by_key(|(unevenness, _)| *unevenness);
        even.filter(|(unevenness, _)| *unevenness <= most)
            .map_or(best, |(_, map)| map)
    }

    fn unevenness<K: Domain>(&self, sorted: &[K]) -> u64 {
        let (mut squares, mut run, mut before) = (0, 0, u32::MAX);
        let mut cells = [0; BLOCK];
        for block in sorted.chunks(BLOCK) {
            let cells = &mut cells[..block.len()];
            dispatch::map_cells(self, block, cells);
            for &mut cell in cells {
                if cell != before {
                    squares += run * run;
                    (run, before) = (0, cell);
                }
                run += 1;
            }
        }
        squares + run * run
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn maps(low: f64, high: f64, cells: usize) -> Vec<CellMap> {
        let mut maps = vec![CellMap::between_keys(low, high, cells)];
        maps.extend(CellMap::between(low, high, cells));
        maps
    }

    proptest! {
        #[test]
        fn maps_never_reverse_an_order(a in any::<f64>(), b in any::<f64>(), low in any::<f64>(), high in any::<f64>(),
                                       cells in 1usize..20_000) {
            prop_assume!(!a.is_nan() && !b.is_nan() && low.is_finite() && high.is_finite() && low < high && a <= b);
            for map in maps(low, high, cells) {
                prop_assert!(map.cell(a) <= map.cell(b));
                prop_assert!((map.cell(b) as usize) < map.len());
                prop_assert!(map.len() <= cells.max(2));
            }
        }
    }

    proptest! {
        #[test]
        fn spans_hold_the_values_of_their_cells(low in -1e9f64..1e9, width in 1e-6f64..1e9, cells in 1usize..300, ends in (0usize..300, 0usize..300),
                                                values in prop::collection::vec(-0.2f64..1.2, 1..50)) {
            let (low, high) = (low, low + width);
            let specials = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.0, -0.0, f64::MAX, f64::MIN];
            for map in maps(low, high, cells) {
                let (first, last) = (ends.0.min(ends.1) % map.len(), ends.0.max(ends.1) % map.len());
                let span = map.span::<f64>(first, last);
                let near = [map.start::<f64>(first), map.start::<f64>(last)];
                let near = near.iter().flat_map(|value| [value.next_down(), *value, value.next_up()]);
                for value in values.iter().map(|share| low + share * width).chain(near).chain(specials) {
                    let cell = map.cell(value) as usize;
                    prop_assert_eq!(span.holds(value), !value.is_nan() && (first..=last).contains(&cell), "{} {:?}", value, span);
                }
                let whole = map.span::<i64>(first, last);
                for value in values.iter().map(|share| (low + share * width) as i64).chain([i64::MIN, i64::MAX]) {
                    prop_assert_eq!(whole.holds(value), (first..=last).contains(&(map.cell(value) as usize)));
                }
            }
        }
    }

    #[test]
    fn longer_tails_are_left_out_for_narrower_keys() {
        // Between 2^-4.3 and 2^4.3, a little more than eight binades, most near 1: cells of half the width hold all but the tails.
        let sample: Vec<f64> = (-1_000..=1_000)
            .map(|i| (4.3 * (f64::from(i) / 1_000.0).powi(3)).exp2())
            .collect();
        let shift_of = |map| match map {
            CellMap::Key { shift, .. } => shift,
            CellMap::Linear { .. } => 0,
        };
        let inner = CellMap::between_keys(sample[4], sample[1_996], 64);
        let chosen = CellMap::choose(&sample, 64);
        assert_eq!(shift_of(chosen) + 1, shift_of(inner));
        assert_eq!(chosen.len(), 64);
        assert!(chosen.unevenness(&sample) < inner.unevenness(&sample));
        let [first, last] = [0, 2_000].map(|at| chosen.cell(sample[at]));
        assert_eq!((first, last), (0, 63));
    }

    #[test]
    fn cells_reach_both_ends_where_they_stay_even() {
        // Fewer towards the ends: leaving out a five-hundredth on each side narrows all cells by a tenth.
        let tent = |u: f64| (1.0 - (1.0 - u.abs()).sqrt()).copysign(u);
        let mut even: Vec<f64> = (-500..=500).map(|i| tent(f64::from(i) / 500.0)).collect();
        let beyond = |map: CellMap, sample: &[f64]| {
            let last = map.len() as u32 - 1;
            let cells = sample.iter().map(|value| map.cell(*value));
            cells.filter(|cell| [0, last].contains(cell)).count()
        };
        assert!(beyond(CellMap::choose(&even, 512), &even) > 2);
        assert_eq!(beyond(CellMap::choose_to_ends(&even, 512), &even), 2);
        // Two values far away would leave few cells to all others.
        (even[0], even[1_000]) = (-1e30, 1e30);
        let chosen = CellMap::choose(&even, 512);
        assert_eq!(CellMap::choose_to_ends(&even, 512), chosen);
    }

    #[test]
    fn distances_that_overflow_or_vanish_fall_back_to_keys() {
        assert!(CellMap::between(-f64::MAX, f64::MAX, 100).is_none());
        assert!(CellMap::between(0.0, f64::from_bits(1), 100).is_none());
        assert!(CellMap::between(1.0, 1.0, 100).is_none());
        let sample = [-f64::MAX, -1.0, 0.0, 1.0, f64::MAX];
        assert!(matches!(CellMap::choose(&sample, 64), CellMap::Key { .. }));
    }
}

//! Cells with whole-number offsets: where a float lies, and how far inside, so that sums over a cell are exact.
//!
//! A sum of floats depends on its order, hence on threads and chunks. Here a value becomes a cell and an offset from a
//! point of that cell, in units that are a power of two; offsets are integers, and integers add up to the same whatever
//! the order. The unit is at most 2^-42 of a cell. The cells are those of a [`CellMap`], so gathering by the map
//! finds the same rows.

use crate::cells::CellMap;
use crate::domain::Domain;

/// A linear cell is less than 2^48 units wide, and offsets are measured from its middle.
const LINEAR_BITS: i32 = 48;
/// A cell by key is at most 2^43 units wide.
const KEY_BITS: u32 = 43;
/// Adding this leaves the nearest integer of a float between -2^51 and 2^51 in the low bits of the sum.
const INTEGER_IN_LOW_BITS: f64 = 6_755_399_441_055_744.0;
/// Adding this rounds a float below 2^51 to an integer; subtracting it again leaves that integer as a float.
const ROUND: f64 = 4_503_599_627_370_496.0;
/// Bits of a float's fraction: keys that differ in these alone are evenly spaced.
const FRACTION_BITS: u32 = 52;

/// How offsets are measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// From the middle of a linear cell.
    Linear {
        /// Distance from one middle to the next.
        width: f64,
        /// Units per distance: a power of two.
        per_unit: f64,
    },
    /// From the middle key of a cell: inside a binade keys are evenly spaced.
    Key {
        /// Low bits of the distance in keys that are dropped.
        drop: u32,
    },
}

/// Cells and the measure of offsets inside them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// The map whose cells these are.
    pub map: CellMap,
    /// How offsets are measured.
    pub measure: Measure,
    /// The unit of offsets.
    pub scale: Scale,
}

/// The unit of offsets: one and the same in linear cells, another in each binade in cells by key. Offsets of binades that lie
/// close together are told in the unit of the least of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The unit of the first group.
    unit: f64,
    /// The exponent of the least binade, as the bits of a float have it; 0 if the unit is the same everywhere.
    pub(crate) least: u64,
    /// Groups of binades.
    pub groups: usize,
}

impl Scale {
    /// Binades in a group.
    pub const GROUP: u64 = 16;

    pub(crate) fn even(unit: f64) -> Self {
        let (least, groups) = (0, 1);
        Self {
            unit,
            least,
            groups,
        }
    }

    /// The scale of offsets in units of `2^drop` keys, between two values.
    pub(crate) fn by_key(low: f64, high: f64, drop: u32) -> Self {
        let [a, b] = [low, high].map(biased_exponent);
        let crosses_zero = low.is_sign_negative() != high.is_sign_negative();
        let (least, most) = (if crosses_zero { 1 } else { a.min(b) }, a.max(b));
        let unit = f64::from_bits(least << FRACTION_BITS) * f64::EPSILON * f64::from(1u32 << drop);
        let groups = ((most - least) / Self::GROUP) as usize + 1;
        Self {
            unit,
            least,
            groups,
        }
    }

    /// True if the unit is the same everywhere.
    #[inline(always)]
    pub fn is_even(&self) -> bool {
        self.least == 0
    }

    /// How many binades above the least a value lies. Means nothing for values of the open outer cells.
    #[inline(always)]
    pub fn binades(&self, value: f64) -> u64 {
        biased_exponent(value).wrapping_sub(self.least)
    }

    /// The unit of a group.
    pub fn unit(&self, group: usize) -> f64 {
        (0..group).fold(self.unit, |unit, _| unit * f64::from(1u32 << Self::GROUP))
    }
}

/// The exponent of a value as its bits have it; values below the least normal ones have its.
#[inline(always)]
fn biased_exponent(value: f64) -> u64 {
    ((value.to_bits() >> FRACTION_BITS) & 0x7ff).max(1)
}

impl Grid {
    /// Measure offsets in the cells of a map; `None` when cells span binades or widths leave the range of floats.
    ///
    /// A map by keys comes back with cells that do not straddle a power of two.
    pub fn new(map: CellMap) -> Option<Self> {
        match map {
            CellMap::Linear { low, scale, last } => {
                let width = 1.0 / scale;
                let exponent = LINEAR_BITS - exponent(width);
                let per_unit = power_of_two(exponent)?;
                power_of_two(-exponent)?;
                // Borders are looked for between floats around `low + last width`: both ends must be finite.
                (low.is_finite() && (low + (last + 1.0) * width).is_finite()).then_some(Self {
                    map,
                    measure: Measure::Linear { width, per_unit },
                    scale: Scale::even(1.0 / per_unit),
                })
            }
            CellMap::Key { low, shift, last } if shift <= FRACTION_BITS => {
                let low = low >> shift << shift;
                let last = last + 1;
                let map = CellMap::Key { low, shift, last };
                // In the outer cells, which are open, offsets mean nothing.
                let [first, end] = [1, last as usize].map(|cell| map.start::<f64>(cell));
                let drop = shift.saturating_sub(KEY_BITS);
                Some(Self {
                    map,
                    measure: Measure::Key { drop },
                    scale: Scale::by_key(first, end, drop),
                })
            }
            CellMap::Key { .. } => None,
        }
    }

    /// Write cell and offset of each value. In the first and last cell, which are open, offsets mean nothing.
    #[inline(always)]
    pub fn locate(&self, block: &[f64], cells: &mut [u32], offsets: &mut [i64]) {
        let places = cells.iter_mut().zip(offsets).zip(block);
        match (self.map, self.measure) {
            (CellMap::Linear { low, scale, last }, Measure::Linear { width, per_unit }) => {
                for ((cell, offset), value) in places {
                    let place = (value - low) * scale;
                    let place = if place > 0.0 { place } else { 0.0 };
                    let rounded = if place < last { place } else { last } + ROUND;
                    *cell = rounded.to_bits() as u32;
                    let inside = value - (low + (rounded - ROUND) * width);
                    let bits = (inside * per_unit + INTEGER_IN_LOW_BITS).to_bits();
                    *offset = bits.wrapping_sub(INTEGER_IN_LOW_BITS.to_bits()) as i64;
                }
            }
            (CellMap::Key { low, shift, last }, Measure::Key { drop }) => {
                let (mask, middle) = ((1 << shift) - 1, (1i64 << shift) >> 1);
                for ((cell, offset), value) in places {
                    let key = value.key();
                    *cell = CellMap::keyed(key, low, shift, last);
                    *offset = ((key & mask) as i64 - middle) >> drop;
                }
            }
            _ => {}
        }
    }

    /// The point from which offsets in a cell are measured.
    #[inline(always)]
    pub fn origin(&self, cell: usize) -> f64 {
        match (self.map, self.measure) {
            (CellMap::Linear { low, .. }, Measure::Linear { width, .. }) => {
                low + cell as f64 * width
            }
            (CellMap::Key { low, shift, .. }, _) => {
                f64::of_key(low + ((cell as u64) << shift) + ((1 << shift) >> 1))
            }
            _ => 0.0,
        }
    }
}

/// The least whole `e` with `2^e > |value|`, for normal values.
fn exponent(value: f64) -> i32 {
    ((value.to_bits() >> FRACTION_BITS) & 0x7ff) as i32 - 1022
}

fn power_of_two(exponent: i32) -> Option<f64> {
    (-1022..=1023)
        .contains(&exponent)
        .then(|| f64::from_bits(((exponent + 1023) as u64) << FRACTION_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grids(low: f64, high: f64, cells: usize) -> Vec<Grid> {
        let maps = [
            CellMap::between(low, high, cells),
            Some(CellMap::between_keys(low, high, cells)),
        ];
        maps.into_iter().flatten().filter_map(Grid::new).collect()
    }

    fn locate(grid: &Grid, value: f64) -> (usize, i64) {
        let (mut cell, mut offset) = ([0], [0]);
        grid.locate(&[value], &mut cell, &mut offset);
        (cell[0] as usize, offset[0])
    }

    proptest! {
        #[test]
        fn origin_and_offset_give_the_value(a in -1e9f64..1e9, b in -1e9f64..1e9, share in 0.0f64..1.0, tiny in any::<bool>()) {
            let scale = if tiny { 1e-290 } else { 1.0 };
            let (low, high) = (a.min(b) * scale, a.max(b) * scale);
            prop_assume!(low < high);
            let value = low + share * (high - low);
            for grid in grids(low, high, 5_000) {
                let (cell, offset) = locate(&grid, value);
                prop_assert_eq!(cell, grid.map.cell(value) as usize);
                if cell == 0 || cell + 1 == grid.map.len() {
                    continue;
                }
                prop_assert!(offset.unsigned_abs() < 1 << (LINEAR_BITS - 1));
                let origin = grid.origin(cell);
                let binades = if grid.scale.is_even() { 0 } else { grid.scale.binades(value) };
                let group = binades / Scale::GROUP;
                prop_assert!((group as usize) < grid.scale.groups);
                let unit = grid.scale.unit(group as usize) * 2f64.powi((binades % Scale::GROUP) as i32);
                let (start, end) = (grid.map.start::<f64>(cell), grid.map.start::<f64>(cell + 1));
                prop_assert!(start <= value && value < end);
                prop_assert!(((value - origin) - offset as f64 * unit).abs() <= unit);
                prop_assert!(unit <= (end - start) * 2f64.powi(-42) || unit <= value.abs() * f64::EPSILON);
            }
        }

        #[test]
        fn starts_are_the_least_values_of_their_cells(low in -1e3f64..1e3, width in 1e-9f64..1e3, cell in 1usize..4_000) {
            for grid in grids(low, low + width, 4_096) {
                let cell = cell.min(grid.map.len() - 1);
                let start = grid.map.start::<f64>(cell);
                prop_assert!(grid.map.cell(start) as usize >= cell);
                prop_assert!((grid.map.cell(start.next_down()) as usize) < cell);
            }
        }
    }

    #[test]
    fn starts_are_found_at_the_ends_of_the_floats() {
        for (low, high) in [
            (-8e307, 8e307),
            (1e307, 1.7e308),
            (-1.7e308, -1e300),
            (0.0, 1e-280),
        ] {
            for grid in grids(low, high, 4_096) {
                for cell in [1, 2, 2_000, grid.map.len() - 2, grid.map.len() - 1] {
                    let cell = cell.clamp(1, grid.map.len() - 1);
                    let start = grid.map.start::<f64>(cell);
                    assert!(grid.map.cell(start) as usize >= cell, "{grid:?} {cell}");
                    assert!(
                        (grid.map.cell(start.next_down()) as usize) < cell,
                        "{grid:?} {cell}"
                    );
                }
            }
        }
    }

    #[test]
    fn extreme_widths_are_left_to_keys() {
        let tiny = CellMap::between(0.0, 1e-300, 4_096).and_then(Grid::new);
        assert!(tiny.is_none());
        assert!(Grid::new(CellMap::between_keys(-f64::MAX, f64::MAX, 4_096)).is_some());
        assert!(Grid::new(CellMap::between_keys(-f64::MAX, f64::MAX, 16)).is_none());
    }
}

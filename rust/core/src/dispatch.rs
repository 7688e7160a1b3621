//! The vector kernels, compiled for each tier: as the target allows, for AVX2, and for AVX-512.
//!
//! One inlined body serves all, without fused multiply-add, so all give the same bits; [`crate::tier`] says which is used. A few
//! kernels are written out for AVX-512 (`dispatch/avx512.rs`). This is the crate's one module with `unsafe`.
#![allow(unsafe_code)]

use crate::bins::Even;
use crate::cells::{CellMap, Span};
use crate::column::{Ahead, BLOCK, Values};
use crate::domain::Domain;
use crate::halves::Halves;
use crate::offsets::{Grid, Scale};
use crate::signed_sums::{self, Rows, Signs};
use crate::tally::PAIR_BITS;
use crate::tier::Tier;

#[cfg(target_arch = "x86_64")]
mod avx512;

macro_rules! tiers {
    ($(#[$doc:meta])* $name:ident, $avx2:ident, $avx512:ident, $body:ident, $instructions:literal,
     <$($generic:ident: $bound:ident)?>($($arg:ident: $kind:ty),*) -> $out:ty) => {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2")]
        fn $avx2<$($generic: $bound)?>($($arg: $kind),*) -> $out {
            $body($($arg),*)
        }

        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = $instructions)]
        fn $avx512<$($generic: $bound)?>($($arg: $kind),*) -> $out {
            $body($($arg),*)
        }

        $(#[$doc])*
        pub fn $name<$($generic: $bound)?>($($arg: $kind),*) -> $out {
            match Tier::used() {
                // SAFETY: the tier in use is at most the one detected, so the processor has the instructions.
                #[cfg(target_arch = "x86_64")]
                Tier::Avx512 => unsafe { $avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Tier::Avx2 => unsafe { $avx2($($arg),*) },
                _ => $body($($arg),*),
            }
        }
    };
}

tiers!(
    /// Convert the values of a chunk from `start` on into `out`; say whether all are finite.
    load, load_avx2, load_avx512, load_body, "avx512f,avx512bw,avx512dq,avx512vl",
    <K: Domain>(values: Values<'_>, start: usize, out: &mut [K]) -> bool
);
tiers!(
    all_finite_by_bits, all_finite_avx2, all_finite_avx512, all_finite_body, "avx512f,avx512bw,avx512dq,avx512vl", <K: Domain>(block: &[K]) -> bool
);

/// Say whether all values are finite.
pub fn all_finite<K: Domain>(block: &[K]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if let (Some(floats), Tier::Avx512) = (K::as_floats(block), Tier::used()) {
        // SAFETY: the tier in use is at most the one detected, so the processor has the instructions.
        return unsafe { avx512::all_finite(floats) };
    }
    all_finite_by_bits(block)
}

tiers!(
    /// Add to `counts[i]` the number of values at or above `thresholds[i]`.
    ///
    /// With AVX-512 this would be slower: its comparisons give masks, which must become numbers again to be summed.
    compare_all, compare_all_avx2, compare_all_avx512, compare_all_body, "avx2",
    <K: Domain>(block: &[K], thresholds: &[K], ahead: Ahead, counts: &mut [u64]) -> ()
);

/// Add to `counts[i]` the number of values at or above `thresholds[i]`; `halves` are those of the thresholds, if they have any.
///
/// Nothing is added and false returned if a value is infinite or no number.
pub fn count_reached<K: Domain>(
    block: &[K],
    thresholds: &[K],
    halves: Option<&Halves>,
    ahead: Ahead,
    counts: &mut [u64],
) -> bool {
    #[cfg(target_arch = "x86_64")]
    if let (Some(halves), Some(floats), Tier::Avx512) = (halves, K::as_floats(block), Tier::used())
    {
        let (groups, rest) = floats.as_chunks::<16>();
        // SAFETY: the tier in use is at most the one detected, so the processor has the instructions.
        let slots = unsafe { avx512::count_by_halves(groups, halves, ahead) };
        let (Some(slots), true) = (slots, rest.iter().all(|value| value.is_finite())) else {
            return false;
        };
        let mut reached = 0;
        for (count, slot) in counts.iter_mut().zip(&slots[1..]).rev() {
            reached += slot;
            *count += reached;
        }
        let rest = &block[block.len() - rest.len()..];
        compare_all(rest, thresholds, Ahead::default(), counts);
        return true;
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = halves;
    let all_finite = all_finite(block);
    if all_finite {
        compare_all(block, thresholds, ahead, counts);
    }
    all_finite
}

tiers!(
    /// Write the cell of each value into `cells`.
    map_cells, map_cells_avx2, map_cells_avx512, map_cells_body, "avx512f,avx512bw,avx512dq,avx512vl",
    <K: Domain>(map: &CellMap, block: &[K], cells: &mut [u32]) -> ()
);
tiers!(
    /// Add `len` to the cell of each value that is not the usual one of its cell.
    set_apart, set_apart_avx2, set_apart_avx512, set_apart_body, "avx512f,avx512bw,avx512dq,avx512vl",
    <K: Domain>(usual: &[K], block: &[K], len: u32, cells: &mut [u32]) -> ()
);
tiers!(
    /// Write the slot of each value into `slots`; see [`Even`].
    find_slots, find_slots_avx2, find_slots_avx512, find_slots_body, "avx512f,avx512bw,avx512dq,avx512vl",
    <K: Domain>(even: &Even, thresholds: &[K], block: &[K], slots: &mut [u32]) -> ()
);
tiers!(
    /// Write the number of each pair: `one`, and above its bits `other`.
    pair, pair_avx2, pair_avx512, pair_body, "avx512f,avx512bw,avx512dq,avx512vl",
    <>(ones: &[u32], others: &[u32], pairs: &mut [u16]) -> ()
);

tiers!(
    /// Add counts of bytes to totals.
    add_bytes, add_bytes_avx2, add_bytes_avx512, add_bytes_body, "avx512f,avx512bw,avx512dq,avx512vl",
    <>(bytes: &[u8], totals: &mut [u64]) -> ()
);

/// Write the pairs of the slots of values, each of `ones` with its neighbour of `others`; false if a value is infinite or no
/// number. See [`Even`] and [`pair`].
pub fn find_pairs<K: Domain>(
    even: &Even,
    thresholds: &[K],
    [ones, others]: [&[K]; 2],
    pairs: &mut [u16],
) -> bool {
    #[cfg(target_arch = "x86_64")]
    if let (Some(ones), Some(others), Some(thresholds), Tier::Avx512) = (
        K::as_floats(ones),
        K::as_floats(others),
        K::as_floats(thresholds),
        Tier::used(),
    ) {
        // SAFETY: the tier in use is at most the one detected, so the processor has the instructions.
        return unsafe { avx512::find_pairs(even, thresholds, [ones, others], pairs) };
    }
    let mut slots = [[0; BLOCK / 2]; 2];
    for (values, slots) in [ones, others].into_iter().zip(&mut slots) {
        find_slots(even, thresholds, values, &mut slots[..values.len()]);
    }
    pair(&slots[0], &slots[1], pairs);
    all_finite(ones) && all_finite(others)
}

/// List the rows whose cells are chosen (bit `cell` of `chosen` is set) and say how many they are.
pub fn pick(chosen: &[u32], cells: &[u32], ahead: Ahead, rows: &mut [u32; BLOCK]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if Tier::used() == Tier::Avx512 {
        // SAFETY: the tier in use is at most the one detected, so the processor has the instructions.
        return unsafe { avx512::pick(chosen, cells, ahead, rows) };
    }
    pick_body(chosen, cells, 0, 0, ahead, rows)
}

/// Copy the values of a block that a span holds, and a gap does not, in their order, and say how many they are.
pub fn within<K: Domain>(
    block: &[K],
    span: &Span<K>,
    gap: Option<&Span<K>>,
    ahead: Ahead,
    found: &mut [K; BLOCK],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    if Tier::used() == Tier::Avx512 {
        // SAFETY: the tier in use is at most the one detected, so the processor has the instructions.
        return unsafe { avx512::within(block, span, gap, ahead, found) };
    }
    within_body(block, span, gap, ahead, found, 0)
}

tiers!(
    /// Write cell and offset of each value; see [`Grid::locate`].
    locate, locate_avx2, locate_avx512, locate_body, "avx512f,avx512bw,avx512dq,avx512vl",
    <>(grid: &Grid, block: &[f64], cells: &mut [u32], offsets: &mut [i64]) -> ()
);

/// Add the offsets of some rows to the sums of a scale's groups, each with the sign of its cell, and list the rows of open cells
/// after the `count` that are listed already; say how many are listed then. See [`signed_sums`].
pub(crate) fn add_signed(
    signs: &Signs,
    scale: &Scale,
    rows: &Rows<'_>,
    sums: &mut [i128],
    listed: &mut [u32; BLOCK],
    count: usize,
) -> usize {
    #[cfg(target_arch = "x86_64")]
    match (Tier::used(), sums) {
        // SAFETY: the tier in use is at most the one detected, so the processor has the instructions.
        (Tier::Avx512, [sum]) => unsafe {
            avx512::add_signed(signs, scale, rows, sum, listed, count)
        },
        // SAFETY: as above.
        (Tier::Avx2, sums) => unsafe { add_signed_avx2(signs, scale, rows, sums, listed, count) },
        (_, sums) => signed_sums::add_signed(signs, scale, rows, sums, listed, count),
    }
    #[cfg(not(target_arch = "x86_64"))]
    signed_sums::add_signed(signs, scale, rows, sums, listed, count)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn add_signed_avx2(
    signs: &Signs,
    scale: &Scale,
    rows: &Rows<'_>,
    sums: &mut [i128],
    listed: &mut [u32; BLOCK],
    count: usize,
) -> usize {
    signed_sums::add_signed(signs, scale, rows, sums, listed, count)
}

/// Ask for the memory at an address, which need not be one.
#[inline(always)]
pub fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: nothing is read; an address without memory behind it is ignored.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[inline(always)]
fn pair_body(ones: &[u32], others: &[u32], pairs: &mut [u16]) {
    for (pair, (one, other)) in pairs.iter_mut().zip(ones.iter().zip(others)) {
        *pair = (*one | (*other << PAIR_BITS)) as u16;
    }
}

#[inline(always)]
fn add_bytes_body(bytes: &[u8], totals: &mut [u64]) {
    for (total, byte) in totals.iter_mut().zip(bytes) {
        *total += u64::from(*byte);
    }
}

/// List the rows from `first` on, after the `count` that are listed. Without a branch: which rows they are cannot be foretold.
fn pick_body(
    chosen: &[u32],
    cells: &[u32],
    first: usize,
    mut count: usize,
    ahead: Ahead,
    rows: &mut [u32; BLOCK],
) -> usize {
    for (start, few) in (first..).step_by(8).zip(cells[first..].chunks(8)) {
        ahead.fetch(start);
        for (row, &cell) in (start as u32..).zip(few) {
            rows[count % BLOCK] = row;
            let bits = chosen.get(cell as usize / 32).copied().unwrap_or(0);
            count += (bits >> (cell % 32)) as usize & 1;
        }
    }
    count
}

/// Copy the values after the `count` that are found already. Without a branch, as in [`pick_body`].
fn within_body<K: Domain>(
    block: &[K],
    span: &Span<K>,
    gap: Option<&Span<K>>,
    ahead: Ahead,
    found: &mut [K; BLOCK],
    mut count: usize,
) -> usize {
    for (row, few) in (0..).step_by(8).zip(block.chunks(8)) {
        ahead.fetch(row);
        for &value in few {
            found[count % BLOCK] = value;
            let is_left_out = gap.is_some_and(|gap| gap.holds(value));
            count += usize::from(span.holds(value) & !is_left_out);
        }
    }
    count
}

#[inline(always)]
fn load_body<K: Domain>(values: Values<'_>, start: usize, out: &mut [K]) -> bool {
    values.load(start, out)
}

#[inline(always)]
fn all_finite_body<K: Domain>(block: &[K]) -> bool {
    // Gathering bits instead of stopping early lets the loop use whole vectors.
    block
        .iter()
        .fold(0, |special, value| special | value.special())
        >> 63
        == 0
}

#[inline(always)]
fn find_slots_body<K: Domain>(even: &Even, thresholds: &[K], block: &[K], slots: &mut [u32]) {
    even.find(thresholds, block, slots);
}

#[inline(always)]
fn locate_body(grid: &Grid, block: &[f64], cells: &mut [u32], offsets: &mut [i64]) {
    grid.locate(block, cells, offsets);
}

#[inline(always)]
fn compare_all_body<K: Domain>(block: &[K], thresholds: &[K], ahead: Ahead, counts: &mut [u64]) {
    let (groups, rest) = thresholds.as_chunks::<3>();
    let (count_groups, count_rest) = counts.as_chunks_mut::<3>();
    // Each pass over the block asks for its share of the next one.
    let passes = groups.len() + rest.len();
    let mut row = 0;
    let mut fetch = |pass: usize| {
        while row * passes < block.len() * (pass + 1) {
            ahead.fetch(row);
            row += 8;
        }
    };
    for (pass, (group, counts)) in groups.iter().zip(count_groups).enumerate() {
        fetch(pass);
        let reached = count_group(block, *group);
        for (total, one) in counts.iter_mut().zip(reached) {
            *total += one;
        }
    }
    for (pass, (threshold, total)) in (groups.len()..).zip(rest.iter().zip(count_rest)) {
        fetch(pass);
        *total += count_group(block, [*threshold])[0];
    }
}

#[inline(always)]
fn count_group<K: Domain, const N: usize>(block: &[K], thresholds: [K; N]) -> [u64; N] {
    let mut reached = [0u64; N];
    for value in block {
        for i in 0..N {
            reached[i] += u64::from(*value >= thresholds[i]);
        }
    }
    reached
}

#[inline(always)]
fn map_cells_body<K: Domain>(map: &CellMap, block: &[K], cells: &mut [u32]) {
    match *map {
        CellMap::Linear { low, scale, last } => {
            for (cell, value) in cells.iter_mut().zip(block) {
                *cell = CellMap::linear(value.to_f64(), low, scale, last);
            }
        }
        CellMap::Key { low, shift, last } => {
            for (cell, value) in cells.iter_mut().zip(block) {
                *cell = CellMap::keyed(value.key(), low, shift, last);
            }
        }
    }
}

#[inline(always)]
fn set_apart_body<K: Domain>(usual: &[K], block: &[K], len: u32, cells: &mut [u32]) {
    for (cell, value) in cells.iter_mut().zip(block) {
        let is_usual = usual
            .get(*cell as usize)
            .is_some_and(|usual| usual == value);
        *cell += u32::from(!is_usual) * len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bins;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn halves_count_what_comparing_counts(eighths in prop::collection::btree_set(-50i32..50, 4..16),
                                              values in prop::collection::vec((-60i32..60, 0usize..5), 0..400)) {
            // Neighbours in the last bit share a half with a threshold; zeros of both signs are equal.
            let near = |(eighths, which): (i32, usize)| {
                let value = f64::from(eighths) / 8.0;
                [value, value.next_up(), value.next_down(), value * 1e-310, -0.0][which]
            };
            let thresholds: Vec<f64> = eighths.into_iter().map(|eighths| near((eighths, 0))).collect();
            let values: Vec<f64> = values.into_iter().map(near).collect();
            let halves = Halves::new(&thresholds);
            prop_assert!(halves.is_some());
            let (mut counts, mut expected) = (vec![7; thresholds.len()], vec![7; thresholds.len()]);
            let nothing = Ahead::default();
            prop_assert!(count_reached(&values, &thresholds, halves.as_ref(), nothing, &mut counts));
            compare_all(&values, &thresholds, nothing, &mut expected);
            prop_assert_eq!(&counts, &expected);
            // One special value anywhere, and nothing is counted.
            for special in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for place in [0, values.len() / 2, values.len()] {
                    let mut values = values.clone();
                    values.insert(place, special);
                    prop_assert!(!count_reached(&values, &thresholds, halves.as_ref(), nothing, &mut counts));
                    prop_assert!(!all_finite(&values) && !all_finite_by_bits(&values));
                }
            }
            prop_assert_eq!(&counts, &expected);
            let ends = [f64::MAX, f64::MIN, 0.0, -0.0, 5e-324];
            prop_assert!(all_finite(&values) && all_finite(&ends) && all_finite_by_bits(&ends));
            prop_assert!(count_reached(&ends, &thresholds, halves.as_ref(), nothing, &mut counts));
            prop_assert!(count_reached(&[f64::MAX; 16], &thresholds, halves.as_ref(), nothing, &mut counts));
            prop_assert!(count_reached(&[f64::MIN; 16], &thresholds, halves.as_ref(), nothing, &mut counts));
        }

        #[test]
        fn chosen_rows_are_listed_in_order(cells in prop::collection::vec(0u32..1_000, 0..200),
                                           chosen in prop::collection::vec(any::<u32>(), 32)) {
            let (mut rows, mut plain) = ([0; BLOCK], [0; BLOCK]);
            let nothing = Ahead::default();
            let count = pick(&chosen, &cells, nothing, &mut rows);
            prop_assert_eq!(count, pick_body(&chosen, &cells, 0, 0, nothing, &mut plain));
            let is_chosen = |cell: u32| (chosen[cell as usize / 32] >> (cell % 32)) & 1 == 1;
            let expected: Vec<u32> = (0..).zip(&cells).filter(|(_, cell)| is_chosen(**cell)).map(|(row, _)| row).collect();
            prop_assert_eq!(&rows[..count], &expected);
            prop_assert_eq!(&plain[..count], &expected);
        }
    }

    proptest! {
        #[test]
        fn values_within_a_span_are_copied_in_order(eighths in prop::collection::vec(-20i64..20, 0..200), ends in (-20i64..20, -20i64..20)) {
            fn check<K: Domain>(block: &[K], low: K, high: K, gap: Option<Span<K>>) -> Result<(), TestCaseError> {
                let (span, gap) = (&Span { low, high }, gap.as_ref());
                let (mut found, mut plain) = ([K::default(); BLOCK], [K::default(); BLOCK]);
                let count = within(block, span, gap, Ahead::default(), &mut found);
                prop_assert_eq!(count, within_body(block, span, gap, Ahead::default(), &mut plain, 0));
                let expected: Vec<u64> = block.iter().filter(|value| {
                    let in_gap = gap.is_some_and(|gap| **value >= gap.low && **value <= gap.high);
                    **value >= low && **value <= high && !in_gap
                }).map(|value| value.bits()).collect();
                let bits = |found: &[K]| found[..count].iter().map(|value| value.bits()).collect::<Vec<u64>>();
                prop_assert_eq!(&bits(&found), &expected);
                prop_assert_eq!(&bits(&plain), &expected);
                Ok(())
            }
            let special = |eighths: i64| [f64::NAN, -0.0, f64::INFINITY, f64::NEG_INFINITY][eighths.rem_euclid(4) as usize];
            let float = |eighths: i64| if eighths % 5 == 0 { special(eighths) } else { eighths as f64 / 8.0 };
            let floats: Vec<f64> = eighths.iter().map(|eighths| float(*eighths)).collect();
            let (low, high) = (ends.0 as f64 / 8.0, ends.1 as f64 / 8.0);
            let unsigned: Vec<u64> = eighths.iter().map(|eighths| *eighths as u64).collect();
            check(&floats, low, high, None)?;
            check(&floats, f64::NEG_INFINITY, high, Some(Span { low, high: 0.5 }))?;
            check(&floats, f64::NEG_INFINITY, f64::INFINITY, Some(Span { low, high }))?;
            check(&eighths, ends.0, ends.1, None)?;
            check(&eighths, i64::MIN, i64::MAX, Some(Span { low: ends.0, high: ends.1 }))?;
            check(&unsigned, ends.0 as u64, ends.1 as u64, None)?;
            check(&unsigned, 0, u64::MAX, Some(Span { low: ends.0 as u64, high: ends.1 as u64 }))?;
        }
    }

    proptest! {
        #[test]
        fn pairs_are_those_of_slots(low in -100i32..100, bins in 2usize..127, values in prop::collection::vec((-20i32..150, -1i32..=1), 0..300),
                                    special in prop::option::of(0usize..300)) {
            // On edges, and one float beside them.
            let edge = |i: i32| f64::from(low + i) / 4.0;
            let edges: Vec<f64> = (0..=bins as i32).map(edge).collect();
            let thresholds = bins::closed(edges).unwrap();
            let even = Even::new(thresholds.values()).unwrap();
            let near = |(i, beside): (i32, i32)| match beside {
                -1 => edge(i).next_down(),
                0 => edge(i),
                _ => edge(i).next_up(),
            };
            let mut values: Vec<f64> = values.into_iter().map(near).collect();
            let half = values.len() / 2;
            let check = |values: &[f64]| {
                let (ones, others) = (&values[..half], &values[half..2 * half]);
                let mut pairs = [0; BLOCK / 2];
                let is_finite = find_pairs(&even, thresholds.values(), [ones, others], &mut pairs[..half]);
                (is_finite, pairs)
            };
            let (is_finite, pairs) = check(&values);
            let slot = |value: f64| thresholds.slot(value) as u16;
            let expected: Vec<u16> = (0..half).map(|i| slot(values[i]) | (slot(values[half + i]) << PAIR_BITS)).collect();
            prop_assert!(is_finite);
            prop_assert_eq!(&pairs[..half], &expected);
            if let Some(place) = special.filter(|place| *place < 2 * half) {
                values[place] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY][place % 3];
                prop_assert!(!check(&values).0);
            }
        }
    }

    #[test]
    fn counters_of_few_bits_are_emptied_in_time() {
        let thresholds: Vec<f64> = (0..15).map(f64::from).collect();
        let halves = Halves::new(&thresholds);
        for value in [-1.0, 0.0, 7.5, 20.0] {
            let mut counts = vec![0; 15];
            let nothing = Ahead::default();
            let values = [value; 3 * BLOCK];
            assert!(count_reached(
                &values,
                &thresholds,
                halves.as_ref(),
                nothing,
                &mut counts
            ));
            let reached = thresholds
                .iter()
                .filter(|threshold| **threshold <= value)
                .count();
            let expected: Vec<u64> = (0..15)
                .map(|i| if i < reached { 3 * BLOCK as u64 } else { 0 })
                .collect();
            assert_eq!(counts, expected);
        }
    }
}

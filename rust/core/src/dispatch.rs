//! The vector kernels, compiled for each tier: as the target allows, for AVX2, and for AVX-512.
//!
//! One inlined body serves all, without fused multiply-add, so all give the same bits; [`crate::tier`] says which is used. Three
//! kernels are written out for AVX-512, whose instructions no compiler finds: a search in a register, and rows or values pressed
//! together.
//! This is the crate's one module with `unsafe`.
#![allow(unsafe_code)]

use crate::bins::Even;
use crate::cells::{CellMap, Span};
use crate::column::{Ahead, BLOCK, Values};
use crate::domain::{Common, Domain};
use crate::halves::Halves;
use crate::offsets::Grid;
use crate::tier::Tier;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

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
    /// Say whether all values are finite.
    all_finite, all_finite_avx2, all_finite_avx512, all_finite_body, "avx512f,avx512bw,avx512dq,avx512vl", <K: Domain>(block: &[K]) -> bool
);
tiers!(
    /// Add to `counts[i]` the number of values at or above `thresholds[i]`.
    ///
    /// With AVX-512 this would be slower: its comparisons give masks, which must become numbers again to be summed.
    compare_all, compare_all_avx2, compare_all_avx512, compare_all_body, "avx2",
    <K: Domain>(block: &[K], thresholds: &[K], ahead: Ahead, counts: &mut [u64]) -> ()
);

/// Add to `counts[i]` the number of values at or above `thresholds[i]`; `halves` are those of the thresholds, if they have any.
pub fn count_reached<K: Domain>(
    block: &[K],
    thresholds: &[K],
    halves: Option<&Halves>,
    ahead: Ahead,
    counts: &mut [u64],
) {
    #[cfg(target_arch = "x86_64")]
    if let (Some(halves), Some(floats), Tier::Avx512) = (halves, K::as_floats(block), Tier::used())
    {
        let (groups, rest) = floats.as_chunks::<16>();
        // SAFETY: the tier in use is at most the one detected, so the processor has the instructions.
        let slots = unsafe { count_by_halves_avx512(groups, halves, ahead) };
        let mut reached = 0;
        for (count, slot) in counts.iter_mut().zip(&slots[1..]).rev() {
            reached += slot;
            *count += reached;
        }
        return compare_all(
            &block[block.len() - rest.len()..],
            thresholds,
            ahead,
            counts,
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = halves;
    compare_all(block, thresholds, ahead, counts);
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
    /// Write the number `one + other * len` of each pair.
    pair, pair_avx2, pair_avx512, pair_body, "avx512f,avx512bw,avx512dq,avx512vl",
    <>(ones: &[u32], others: &[u32], len: u16, pairs: &mut [u16]) -> ()
);
/// List the rows whose cells are chosen (bit `cell` of `chosen` is set) and say how many they are.
pub fn pick(chosen: &[u32], cells: &[u32], ahead: Ahead, rows: &mut [u32; BLOCK]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if Tier::used() == Tier::Avx512 {
        // SAFETY: the tier in use is at most the one detected, so the processor has the instructions.
        return unsafe { pick_avx512(chosen, cells, ahead, rows) };
    }
    pick_body(chosen, cells, 0, 0, ahead, rows)
}

/// Copy the values of a block that a span holds, in their order, and say how many they are.
pub fn within<K: Domain>(
    block: &[K],
    span: &Span<K>,
    ahead: Ahead,
    found: &mut [K; BLOCK],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    if Tier::used() == Tier::Avx512 {
        // SAFETY: the tier in use is at most the one detected, so the processor has the instructions.
        return unsafe { within_avx512(block, span, ahead, found) };
    }
    within_body(block, span, ahead, found, 0)
}

tiers!(
    /// Write cell and offset of each value; see [`Grid::locate`].
    locate, locate_avx2, locate_avx512, locate_body, "avx512f,avx512bw,avx512dq,avx512vl",
    <>(grid: &Grid, block: &[f64], cells: &mut [u32], offsets: &mut [i64]) -> ()
);

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
fn pair_body(ones: &[u32], others: &[u32], len: u16, pairs: &mut [u16]) {
    for (pair, (one, other)) in pairs.iter_mut().zip(ones.iter().zip(others)) {
        *pair = (*one as u16).wrapping_add((*other as u16).wrapping_mul(len));
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

/// Sixteen at a time: their bits are gathered, and their rows pressed together by one instruction.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn pick_avx512(chosen: &[u32], cells: &[u32], ahead: Ahead, rows: &mut [u32; BLOCK]) -> usize {
    let cells = &cells[..cells.len().min(BLOCK)];
    let (groups, rest) = cells.as_chunks::<16>();
    let Some(last) = chosen.len().checked_sub(1) else {
        return 0;
    };
    let (last, one, low_bits) = (
        _mm512_set1_epi32(last as i32),
        _mm512_set1_epi32(1),
        _mm512_set1_epi32(31),
    );
    let mut here = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let mut count = 0;
    for (start, group) in (0..).step_by(16).zip(groups) {
        ahead.fetch(start);
        ahead.fetch(start + 8);
        // SAFETY: a group holds sixteen cells; words are asked for at most at the last place; and `count` rows are listed of
        // `start` seen, so sixteen more end within `rows`.
        unsafe {
            let cells = _mm512_loadu_epi32(group.as_ptr().cast());
            let place = _mm512_min_epu32(_mm512_srli_epi32::<5>(cells), last);
            let words = _mm512_i32gather_epi32::<4>(place, chosen.as_ptr().cast());
            let bits = _mm512_srlv_epi32(words, _mm512_and_epi32(cells, low_bits));
            let met = _mm512_test_epi32_mask(bits, one);
            let listed = rows.as_mut_ptr().add(count);
            _mm512_storeu_epi32(listed.cast(), _mm512_maskz_compress_epi32(met, here));
            count += met.count_ones() as usize;
        }
        here = _mm512_add_epi32(here, _mm512_set1_epi32(16));
    }
    pick_body(chosen, cells, cells.len() - rest.len(), count, ahead, rows)
}

/// Copy the values after the `count` that are found already. Without a branch, as in [`pick_body`].
fn within_body<K: Domain>(
    block: &[K],
    span: &Span<K>,
    ahead: Ahead,
    found: &mut [K; BLOCK],
    mut count: usize,
) -> usize {
    for (row, few) in (0..).step_by(8).zip(block.chunks(8)) {
        ahead.fetch(row);
        for &value in few {
            found[count % BLOCK] = value;
            count += usize::from(span.holds(value));
        }
    }
    count
}

/// Eight at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn within_avx512<K: Domain>(
    block: &[K],
    span: &Span<K>,
    ahead: Ahead,
    found: &mut [K; BLOCK],
) -> usize {
    const { assert!(size_of::<K>() == size_of::<i64>()) };
    let (groups, rest) = block[..block.len().min(BLOCK)].as_chunks::<8>();
    let low = _mm512_set1_epi64(span.low.bits() as i64);
    let high = _mm512_set1_epi64(span.high.bits() as i64);
    let as_floats = |words| _mm512_castsi512_pd(words);
    let mut count = 0;
    for (row, group) in (0..).step_by(8).zip(groups) {
        ahead.fetch(row);
        // SAFETY: a group holds eight values of 64 bits; and `count` values are found among `row`, so eight more end within `found`.
        unsafe {
            let values = _mm512_loadu_epi64(group.as_ptr().cast());
            let held = match K::COMMON {
                Common::Float => {
                    let (values, low, high) = (as_floats(values), as_floats(low), as_floats(high));
                    let reached = _mm512_cmp_pd_mask::<_CMP_GE_OQ>(values, low);
                    _mm512_mask_cmp_pd_mask::<_CMP_LE_OQ>(reached, values, high)
                }
                Common::Signed => {
                    _mm512_mask_cmple_epi64_mask(_mm512_cmpge_epi64_mask(values, low), values, high)
                }
                Common::Unsigned => {
                    _mm512_mask_cmple_epu64_mask(_mm512_cmpge_epu64_mask(values, low), values, high)
                }
            };
            let next = found.as_mut_ptr().add(count);
            _mm512_storeu_epi64(next.cast(), _mm512_maskz_compress_epi64(held, values));
            count += held.count_ones() as usize;
        }
    }
    within_body(rest, span, Ahead::default(), found, count)
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

/// Count values per slot; see [`Halves`]. Each lane keeps sixteen counters of four bits, emptied before one could overflow.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn count_by_halves_avx512(groups: &[[f64; 16]], halves: &Halves, ahead: Ahead) -> [u64; 16] {
    /// Groups after which four bits may be full: each adds two to a lane.
    const GROUPS: usize = 15 / 2;
    /// Times that four bits may be emptied into eight.
    const TIMES: usize = 255 / (2 * GROUPS);
    let splat = |number| _mm512_set1_epi32(number);
    let odd_halves = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    let low_bits = _mm512_set1_epi8(0x0f);
    // SAFETY: the arrays have sixteen places.
    let (upper, first, second) = unsafe {
        let whole = halves.whole.as_ptr();
        (
            _mm512_loadu_epi32(halves.upper.as_ptr()),
            _mm512_loadu_pd(whole),
            _mm512_loadu_pd(whole.add(8)),
        )
    };
    let mut slots = [0u64; 16];
    let mut row = 0;
    for some in groups.chunks(GROUPS * TIMES) {
        let (mut even, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        for few in some.chunks(GROUPS) {
            let mut counters = _mm512_setzero_si512();
            for group in few {
                ahead.fetch(row);
                ahead.fetch(row + 8);
                row += 16;
                // SAFETY: a group holds sixteen floats.
                let (low, high) = unsafe {
                    (
                        _mm512_loadu_pd(group.as_ptr()),
                        _mm512_loadu_pd(group.as_ptr().add(8)),
                    )
                };
                let half = _mm512_permutex2var_epi32(
                    _mm512_castpd_si512(low),
                    odd_halves,
                    _mm512_castpd_si512(high),
                );
                let sign = _mm512_srai_epi32::<31>(half);
                // The lower 31 bits turned over where the sign is set.
                let half = _mm512_ternarylogic_epi32::<0x78>(half, sign, splat(i32::MAX));
                // The slot is the number of thresholds whose halves are reached; its bits are found from the highest on.
                let mut slot = _mm512_maskz_mov_epi32(
                    _mm512_cmpge_epi32_mask(half, splat(halves.upper[7])),
                    splat(8),
                );
                for step in [4, 2, 1] {
                    let asked =
                        _mm512_permutexvar_epi32(_mm512_or_si512(slot, splat(step - 1)), upper);
                    slot = _mm512_mask_add_epi32(
                        slot,
                        _mm512_cmpge_epi32_mask(half, asked),
                        slot,
                        splat(step),
                    );
                }
                let mut lows = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(slot));
                let mut highs = _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64::<1>(slot));
                let last = _mm512_permutexvar_epi32(_mm512_sub_epi32(slot, splat(1)), upper);
                let doubt = _mm512_cmpeq_epi32_mask(last, half);
                if doubt != 0 {
                    let one = _mm512_set1_epi64(1);
                    let settle = |slots, values, doubt| {
                        let last =
                            _mm512_permutex2var_pd(first, _mm512_sub_epi64(slots, one), second);
                        let below = _mm512_mask_cmp_pd_mask::<_CMP_LT_OQ>(doubt, values, last);
                        _mm512_mask_sub_epi64(slots, below, slots, one)
                    };
                    lows = settle(lows, low, doubt as u8);
                    highs = settle(highs, high, (doubt >> 8) as u8);
                }
                let one = _mm512_set1_epi64(1);
                for slots in [lows, highs] {
                    let place = _mm512_slli_epi64::<2>(slots);
                    counters = _mm512_add_epi64(counters, _mm512_sllv_epi64(one, place));
                }
            }
            even = _mm512_add_epi8(even, _mm512_and_si512(counters, low_bits));
            odd = _mm512_add_epi8(
                odd,
                _mm512_and_si512(_mm512_srli_epi64::<4>(counters), low_bits),
            );
        }
        let mut bytes = [[0u8; 64]; 2];
        // SAFETY: the arrays hold as many bytes as a register.
        unsafe {
            _mm512_storeu_si512(bytes[0].as_mut_ptr().cast(), even);
            _mm512_storeu_si512(bytes[1].as_mut_ptr().cast(), odd);
        }
        for lane in 0..8 {
            for slot in 0..16 {
                slots[slot] += u64::from(bytes[slot % 2][8 * lane + slot / 2]);
            }
        }
    }
    slots
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
            count_reached(&values, &thresholds, halves.as_ref(), nothing, &mut counts);
            compare_all(&values, &thresholds, nothing, &mut expected);
            prop_assert_eq!(counts, expected);
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
            fn check<K: Domain>(block: &[K], low: K, high: K) -> Result<(), TestCaseError> {
                let span = &Span { low, high };
                let (mut found, mut plain) = ([K::default(); BLOCK], [K::default(); BLOCK]);
                let count = within(block, span, Ahead::default(), &mut found);
                prop_assert_eq!(count, within_body(block, span, Ahead::default(), &mut plain, 0));
                let expected: Vec<u64> = block.iter().filter(|value| **value >= low && **value <= high).map(|value| value.bits()).collect();
                let bits = |found: &[K]| found[..count].iter().map(|value| value.bits()).collect::<Vec<u64>>();
                prop_assert_eq!(&bits(&found), &expected);
                prop_assert_eq!(&bits(&plain), &expected);
                Ok(())
            }
            let special = |eighths: i64| [f64::NAN, -0.0, f64::INFINITY, f64::NEG_INFINITY][eighths.rem_euclid(4) as usize];
            let float = |eighths: i64| if eighths % 5 == 0 { special(eighths) } else { eighths as f64 / 8.0 };
            let floats: Vec<f64> = eighths.iter().map(|eighths| float(*eighths)).collect();
            check(&floats, ends.0 as f64 / 8.0, ends.1 as f64 / 8.0)?;
            check(&floats, f64::NEG_INFINITY, ends.1 as f64 / 8.0)?;
            check(&eighths, ends.0, ends.1)?;
            let unsigned: Vec<u64> = eighths.iter().map(|eighths| *eighths as u64).collect();
            check(&unsigned, ends.0 as u64, ends.1 as u64)?;
        }
    }

    #[test]
    fn counters_of_four_bits_are_emptied_in_time() {
        let thresholds: Vec<f64> = (0..15).map(f64::from).collect();
        let halves = Halves::new(&thresholds);
        for value in [-1.0, 0.0, 7.5, 20.0] {
            let mut counts = vec![0; 15];
            count_reached(
                &[value; BLOCK],
                &thresholds,
                halves.as_ref(),
                Ahead::default(),
                &mut counts,
            );
            let reached = thresholds
                .iter()
                .filter(|threshold| **threshold <= value)
                .count();
            let expected: Vec<u64> = (0..15)
                .map(|i| if i < reached { BLOCK as u64 } else { 0 })
                .collect();
            assert_eq!(counts, expected);
        }
    }
}

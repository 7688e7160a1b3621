//! Kernels written out for AVX-512, whose instructions no compiler finds: a search in a register, values told apart by their class,
//! rows or values pressed together.

use crate::bins::{DOUBT, Even, FIXED_POINT, PLACE_BITS};
use crate::cells::Span;
use crate::column::{Ahead, BLOCK};
use crate::domain::{Common, Domain};
use crate::halves::Halves;
use crate::offsets::Scale;
use crate::signed_sums::{self, LANE_ROWS, Rows, Signs, WORDS};
use crate::tally::PAIR_BITS;
use std::arch::x86_64::*;

/// The classes of quiet NaN, both infinities, signalling NaN.
const SPECIAL: i32 = 0x01 | 0x08 | 0x10 | 0x80;

/// Say whether all floats are finite.
#[target_feature(enable = "avx512f,avx512dq")]
pub(super) fn all_finite(block: &[f64]) -> bool {
    let (groups, rest) = block.as_chunks::<8>();
    // Gathering masks instead of stopping early saves a branch.
    let special = groups.iter().fold(0, |special, group| {
        // SAFETY: a group holds eight floats.
        let values = unsafe { _mm512_loadu_pd(group.as_ptr()) };
        special | _mm512_fpclass_pd_mask::<SPECIAL>(values)
    });
    special == 0 && rest.iter().all(|value| value.is_finite())
}

/// See [`super::pick`]; sixteen at a time: their bits are gathered, and their rows pressed together by one instruction.
#[target_feature(enable = "avx512f")]
pub(super) fn pick(chosen: &[u32], cells: &[u32], ahead: Ahead, rows: &mut [u32; BLOCK]) -> usize {
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
    super::pick_body(chosen, cells, cells.len() - rest.len(), count, ahead, rows)
}

/// See [`super::add_signed`]; sixteen at a time: their signs are gathered as two bits each, which become masks.
#[target_feature(enable = "avx512f,avx512dq,avx512vl")]
pub(super) fn add_signed(
    signs: &Signs,
    scale: &Scale,
    rows: &Rows<'_>,
    sum: &mut i128,
    listed: &mut [u32; BLOCK],
    mut count: usize,
) -> usize {
    let (values, _) = rows.block[..rows.block.len().min(LANE_ROWS)].as_chunks::<16>();
    let (cells, offsets) = (
        rows.cells.as_chunks::<16>().0,
        rows.offsets.as_chunks::<16>().0,
    );
    let places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let mut here = _mm512_add_epi32(places, _mm512_set1_epi32(rows.first as i32));
    let (low_bits, last) = (_mm512_set1_epi32(15), _mm512_set1_epi32(WORDS as i32 - 1));
    let [above, below] = [1, 2].map(|bit| _mm512_set1_epi32(bit));
    let [exponent, least] = [0x7ff, scale.least].map(|number| _mm512_set1_epi64(number as i64));
    let one = _mm512_set1_epi64(1);
    let mut lanes = [_mm512_setzero_si512(); 2];
    let mut row = rows.first;
    for ((values, cells), offsets) in values.iter().zip(cells).zip(offsets) {
        rows.ahead.fetch(row);
        rows.ahead.fetch(row + 8);
        row += 16;
        // SAFETY: a group holds sixteen cells, values and offsets; words are asked for at most at the last place; and `count` rows
        // are listed of `row` seen at most, so sixteen more end within `listed`.
        let [is_above, is_below] = unsafe {
            let cells = _mm512_loadu_epi32(cells.as_ptr().cast());
            let word = _mm512_and_epi32(_mm512_srli_epi32::<4>(cells), last);
            let words = _mm512_i32gather_epi32::<4>(word, signs.0.as_ptr().cast());
            let place = _mm512_slli_epi32::<1>(_mm512_and_epi32(cells, low_bits));
            let bits = _mm512_srlv_epi32(words, place);
            let [above, below] = [above, below].map(|bit| _mm512_test_epi32_mask(bits, bit));
            let open = above & below;
            let end = listed.as_mut_ptr().add(count.min(BLOCK - 16));
            _mm512_storeu_epi32(end.cast(), _mm512_maskz_compress_epi32(open, here));
            count += open.count_ones() as usize;
            [above & !open, below & !open]
        };
        here = _mm512_add_epi32(here, _mm512_set1_epi32(16));
        for (half, lanes) in lanes.iter_mut().enumerate() {
            // SAFETY: as above.
            let (values, mut offsets) = unsafe {
                (
                    _mm512_loadu_epi64(values.as_ptr().add(8 * half).cast()),
                    _mm512_loadu_epi64(offsets.as_ptr().add(8 * half)),
                )
            };
            if !scale.is_even() {
                let binade = _mm512_and_epi64(_mm512_srli_epi64::<52>(values), exponent);
                let shift = _mm512_sub_epi64(_mm512_max_epu64(binade, one), least);
                offsets = _mm512_sllv_epi64(offsets, shift);
            }
            let [is_above, is_below] = [is_above, is_below].map(|mask| (mask >> (8 * half)) as u8);
            *lanes = _mm512_mask_add_epi64(*lanes, is_above, *lanes, offsets);
            *lanes = _mm512_mask_sub_epi64(*lanes, is_below, *lanes, offsets);
        }
    }
    for lanes in lanes {
        let mut single = [0i64; 8];
        // SAFETY: there is room for eight numbers.
        unsafe { _mm512_storeu_epi64(single.as_mut_ptr(), lanes) };
        // Together they may pass 64 bits.
        *sum += single.iter().map(|lane| i128::from(*lane)).sum::<i128>();
    }
    let rest = rows.starting_at(rows.block.len() / 16 * 16);
    signed_sums::add_signed(
        signs,
        scale,
        &rest,
        std::slice::from_mut(sum),
        listed,
        count,
    )
}

/// See [`super::within`]; eight at a time.
#[target_feature(enable = "avx512f")]
pub(super) fn within<K: Domain>(
    block: &[K],
    span: &Span<K>,
    gap: Option<&Span<K>>,
    ahead: Ahead,
    found: &mut [K; BLOCK],
) -> usize {
    const { assert!(size_of::<K>() == size_of::<i64>()) };
    let (groups, rest) = block[..block.len().min(BLOCK)].as_chunks::<8>();
    let ends = |span: &Span<K>| {
        [span.low, span.high].map(|end| _mm512_set1_epi64(end.bits().cast_signed()))
    };
    let (span_ends, gap_ends) = (ends(span), gap.map(ends));
    let as_float = |words| _mm512_castsi512_pd(words);
    // Which of the asked values lie between two ends; no NaN does.
    let held = |asked, values, [low, high]: [__m512i; 2]| match K::COMMON {
        Common::Float => {
            let (values, low, high) = (as_float(values), as_float(low), as_float(high));
            let reached = _mm512_mask_cmp_pd_mask::<_CMP_GE_OQ>(asked, values, low);
            _mm512_mask_cmp_pd_mask::<_CMP_LE_OQ>(reached, values, high)
        }
        Common::Signed => {
            let reached = _mm512_mask_cmpge_epi64_mask(asked, values, low);
            _mm512_mask_cmple_epi64_mask(reached, values, high)
        }
        Common::Unsigned => {
            let reached = _mm512_mask_cmpge_epu64_mask(asked, values, low);
            _mm512_mask_cmple_epu64_mask(reached, values, high)
        }
    };
    let mut count = 0;
    for (row, group) in (0..).step_by(8).zip(groups) {
        ahead.fetch(row);
        // SAFETY: a group holds eight values of 64 bits.
        let values = unsafe { _mm512_loadu_epi64(group.as_ptr().cast()) };
        let mut met = held(u8::MAX, values, span_ends);
        if let Some(gap_ends) = gap_ends {
            met ^= held(met, values, gap_ends);
        }
        // SAFETY: `count` values are found among `row`, so eight more end within `found`.
        unsafe {
            let next = found.as_mut_ptr().add(count);
            _mm512_storeu_epi64(next.cast(), _mm512_maskz_compress_epi64(met, values));
        }
        count += met.count_ones() as usize;
    }
    super::within_body(rest, span, gap, Ahead::default(), found, count)
}

/// Count values per slot, see [`Halves`]; `None` if one is infinite or no number.
///
/// Each lane keeps counters of two bits, emptied into wider ones before one could overflow.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) fn count_by_halves(
    groups: &[[f64; 16]],
    halves: &Halves,
    ahead: Ahead,
) -> Option<[u64; 16]> {
    /// Groups after which two bits may be full: each adds one to a lane.
    const GROUPS: usize = 3;
    /// Times that two bits may be emptied into four, and four into eight.
    const TIMES: [usize; 2] = [15 / 3, 255 / 15];
    /// The least half of a finite number, and how many halves of finite numbers there are.
    const FINITE: (i32, u32) = (i32::MIN + 0x0010_0000, 0xffe0_0000);
    let splat = |number| _mm512_set1_epi32(number);
    let table = |entry: fn(&[i32; 16], usize) -> i32| {
        let entries: [i32; 16] = std::array::from_fn(|slot| entry(&halves.upper, slot));
        // SAFETY: the array has sixteen places.
        unsafe { _mm512_loadu_epi32(entries.as_ptr()) }
    };
    // For the slot found so far: the half that must be reached to add 4, 2, 1; the half at which it was found; its counter.
    let steps = [
        (table(|upper, slot| upper[(slot + 3) % 16]), splat(4)),
        (table(|upper, slot| upper[(slot + 1) % 16]), splat(2)),
        (table(|upper, slot| upper[slot]), splat(1)),
    ];
    let found_at = table(|upper, slot| slot.checked_sub(1).map_or(i32::MAX, |last| upper[last]));
    let counter = table(|_, slot| 1 << (2 * slot));
    let middle = splat(halves.upper[7]);
    let odd_halves = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    // SAFETY: the array has sixteen places.
    let (first, second) = unsafe {
        let whole = halves.whole.as_ptr();
        (_mm512_loadu_pd(whole), _mm512_loadu_pd(whole.add(8)))
    };
    let mut slots = [0u64; 16];
    let mut highest = _mm512_setzero_si512();
    let mut row = 0;
    for many in groups.chunks(GROUPS * TIMES[0] * TIMES[1]) {
        let mut eights = [_mm512_setzero_si512(); 4];
        for some in many.chunks(GROUPS * TIMES[0]) {
            let (mut even, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
            for few in some.chunks(GROUPS) {
                let mut twos = _mm512_setzero_si512();
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
                    highest = _mm512_max_epu32(highest, _mm512_sub_epi32(half, splat(FINITE.0)));
                    // The slot is the number of thresholds whose halves are reached; its bits are found from the highest on.
                    let mut slot =
                        _mm512_maskz_mov_epi32(_mm512_cmpge_epi32_mask(half, middle), splat(8));
                    for (asked, step) in steps {
                        let asked = _mm512_permutexvar_epi32(slot, asked);
                        let reached = _mm512_cmpge_epi32_mask(half, asked);
                        slot = _mm512_mask_add_epi32(slot, reached, slot, step);
                    }
                    let last = _mm512_permutexvar_epi32(slot, found_at);
                    let doubt = _mm512_cmpeq_epi32_mask(last, half);
                    if doubt != 0 {
                        let below = |slots, values, doubt| {
                            let last = _mm512_sub_epi64(slots, _mm512_set1_epi64(1));
                            let last = _mm512_permutex2var_pd(first, last, second);
                            u16::from(_mm512_mask_cmp_pd_mask::<_CMP_LT_OQ>(doubt, values, last))
                        };
                        let lows = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(slot));
                        let highs = _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64::<1>(slot));
                        let (lows, highs) = (
                            below(lows, low, doubt as u8),
                            below(highs, high, (doubt >> 8) as u8),
                        );
                        slot = _mm512_mask_sub_epi32(slot, lows | (highs << 8), slot, splat(1));
                    }
                    twos = _mm512_add_epi32(twos, _mm512_permutexvar_epi32(slot, counter));
                }
                let kept = splat(0x3333_3333);
                even = _mm512_add_epi32(even, _mm512_and_si512(twos, kept));
                odd = _mm512_add_epi32(odd, _mm512_and_si512(_mm512_srli_epi32::<2>(twos), kept));
            }
            let kept = _mm512_set1_epi8(0x0f);
            let fours = [
                even,
                odd,
                _mm512_srli_epi32::<4>(even),
                _mm512_srli_epi32::<4>(odd),
            ];
            for (eights, fours) in eights.iter_mut().zip(fours) {
                *eights = _mm512_add_epi8(*eights, _mm512_and_si512(fours, kept));
            }
        }
        for (first_slot, eights) in eights.into_iter().enumerate() {
            let mut bytes = [0u8; 64];
            // SAFETY: the array holds as many bytes as a register.
            unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), eights) };
            for (place, byte) in bytes.into_iter().enumerate() {
                slots[4 * (place % 4) + first_slot] += u64::from(byte);
            }
        }
    }
    let special = _mm512_cmpge_epu32_mask(highest, splat(FINITE.1 as i32));
    (special == 0).then_some(slots)
}

/// See [`super::find_pairs`]; the places of [`Even`] eight pairs at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
pub(super) fn find_pairs(
    even: &Even,
    thresholds: &[f64],
    [ones, others]: [&[f64]; 2],
    pairs: &mut [u16],
) -> bool {
    /// Pairs between two looks for doubtful places.
    const TOGETHER: usize = 32;
    /// The bits of a place that are all zero where it is doubtful.
    const CERTAIN: u64 = ((1 << PLACE_BITS) - 1) & !(DOUBT - 1);
    let (low, scale) = (_mm512_set1_pd(even.low), _mm512_set1_pd(even.scale));
    let (lowest, highest) = (_mm512_set1_pd(0.5), _mm512_set1_pd(even.highest));
    let fixed_point = _mm512_set1_pd(FIXED_POINT);
    let certain = _mm512_set1_epi64(CERTAIN as i64);
    let above = _mm512_set1_epi64(((1 << PAIR_BITS) - 1) << PAIR_BITS);
    let place = |values| {
        let place = _mm512_mul_pd(_mm512_sub_pd(values, low), scale);
        let place = _mm512_min_pd(_mm512_max_pd(place, lowest), highest);
        _mm512_castpd_si512(_mm512_add_pd(place, fixed_point))
    };
    let mut special = 0;
    let mut rest = pairs.chunks_mut(TOGETHER);
    for ((ones, others), pairs) in ones
        .chunks(TOGETHER)
        .zip(others.chunks(TOGETHER))
        .zip(&mut rest)
    {
        let mut doubt = 0;
        let groups = ones
            .as_chunks::<8>()
            .0
            .iter()
            .zip(others.as_chunks::<8>().0);
        for ((one, other), pairs) in groups.zip(pairs.as_chunks_mut::<8>().0) {
            // SAFETY: a group holds eight floats.
            let (one, other) = unsafe {
                (
                    _mm512_loadu_pd(one.as_ptr()),
                    _mm512_loadu_pd(other.as_ptr()),
                )
            };
            special |= _mm512_fpclass_pd_mask::<SPECIAL>(one);
            special |= _mm512_fpclass_pd_mask::<SPECIAL>(other);
            let (one, other) = (place(one), place(other));
            doubt |= _mm512_testn_epi64_mask(one, certain);
            doubt |= _mm512_testn_epi64_mask(other, certain);
            let one = _mm512_srli_epi64::<PLACE_BITS>(one);
            let other = _mm512_srli_epi64::<{ PLACE_BITS - PAIR_BITS }>(other);
            // One, or what is both of the other and above.
            let pair = _mm512_ternarylogic_epi64::<0xf8>(one, other, above);
            // SAFETY: a group takes eight pairs.
            unsafe { _mm_storeu_epi16(pairs.as_mut_ptr().cast(), _mm512_cvtepi64_epi16(pair)) };
        }
        if doubt != 0 || ones.len() < TOGETHER {
            special |= u8::from(!(all_finite(ones) && all_finite(others)));
            let mut slots = [[0; TOGETHER]; 2];
            for (values, slots) in [ones, others].into_iter().zip(&mut slots) {
                even.find(thresholds, values, &mut slots[..values.len()]);
            }
            super::pair_body(&slots[0], &slots[1], pairs);
        }
    }
    special == 0
}

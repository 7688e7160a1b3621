//! The vector kernels, compiled for each tier: as the target allows, for AVX2, and for AVX-512.
//!
//! One inlined body serves all, without fused multiply-add, so all give the same bits; [`crate::tier`] says which is used. This
//! is the crate's one module with `unsafe`.
#![allow(unsafe_code)]

use crate::bins::Even;
use crate::cells::CellMap;
use crate::column::Values;
use crate::domain::Domain;
use crate::offsets::Grid;
use crate::tier::Tier;

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
    count_reached, count_reached_avx2, count_reached_avx512, count_reached_body, "avx2",
    <K: Domain>(block: &[K], thresholds: &[K], counts: &mut [u64]) -> ()
);
tiers!(
    /// Write the cell of each value into `cells`.
    map_cells, map_cells_avx2, map_cells_avx512, map_cells_body, "avx512f,avx512bw,avx512dq,avx512vl",
    <K: Domain>(map: &CellMap, block: &[K], cells: &mut [u32]) -> ()
);
tiers!(
    /// Write the slot of each value into `slots`; see [`Even`].
    find_slots, find_slots_avx2, find_slots_avx512, find_slots_body, "avx512f,avx512bw,avx512dq,avx512vl",
    <K: Domain>(even: &Even, thresholds: &[K], block: &[K], slots: &mut [u32]) -> ()
);
tiers!(
    /// Write cell and offset of each value; see [`Grid::locate`].
    locate, locate_avx2, locate_avx512, locate_body, "avx512f,avx512bw,avx512dq,avx512vl",
    <>(grid: &Grid, block: &[f64], cells: &mut [u32], offsets: &mut [i64]) -> ()
);

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
fn count_reached_body<K: Domain>(block: &[K], thresholds: &[K], counts: &mut [u64]) {
    let (groups, rest) = thresholds.as_chunks::<3>();
    let (count_groups, count_rest) = counts.as_chunks_mut::<3>();
    for (group, counts) in groups.iter().zip(count_groups) {
        let reached = count_group(block, *group);
        for (total, one) in counts.iter_mut().zip(reached) {
            *total += one;
        }
    }
    for (threshold, total) in rest.iter().zip(count_rest) {
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

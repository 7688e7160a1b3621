//! The vector kernels, compiled twice: as the target allows, and for AVX2 where the processor has it.
//!
//! One inlined body serves both, without fused multiply-add, so both give the same bits. `TIDEWHEEL_SIMD=portable`
//! forces the portable tier, for tests. This is the crate's one module with `unsafe`.
#![allow(unsafe_code)]

use crate::cells::CellMap;
use crate::domain::Domain;
use crate::offsets::Grid;
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    static TIER: OnceLock<bool> = OnceLock::new();
    *TIER.get_or_init(|| {
        std::env::var_os("TIDEWHEEL_SIMD").is_none_or(|tier| tier != "portable")
            && std::arch::is_x86_feature_detected!("avx2")
    })
}

macro_rules! two_tiers {
    ($(#[$doc:meta])* $name:ident, $wide:ident, $body:ident,
     ($($arg:ident: $kind:ty),*) -> $out:ty) => {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2")]
        fn $wide<K: Domain>($($arg: $kind),*) -> $out {
            $body($($arg),*)
        }

        $(#[$doc])*
        pub fn $name<K: Domain>($($arg: $kind),*) -> $out {
            #[cfg(target_arch = "x86_64")]
            if has_avx2() {
                // SAFETY: the function needs nothing but AVX2, which `has_avx2` has just found.
                return unsafe { $wide($($arg),*) };
            }
            $body($($arg),*)
        }
    };
}

two_tiers!(
    /// Say whether all values are finite.
    all_finite, all_finite_avx2, all_finite_body, (block: &[K]) -> bool
);
two_tiers!(
    /// Add to `counts[i]` the number of values at or above `thresholds[i]`.
    count_reached, count_reached_avx2, count_reached_body, (block: &[K], thresholds: &[K], counts: &mut [u64]) -> ()
);
two_tiers!(
    /// Write the cell of each value into `cells`.
    map_cells, map_cells_avx2, map_cells_body, (map: &CellMap, block: &[K], cells: &mut [u32]) -> ()
);

/// Write cell and offset of each value; see [`Grid::locate`].
pub fn locate(grid: &Grid, block: &[f64], cells: &mut [u32], offsets: &mut [i64]) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2() {
        // SAFETY: the function needs nothing but AVX2, which `has_avx2` has just found.
        return unsafe { locate_avx2(grid, block, cells, offsets) };
    }
    grid.locate(block, cells, offsets);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn locate_avx2(grid: &Grid, block: &[f64], cells: &mut [u32], offsets: &mut [i64]) {
    grid.locate(block, cells, offsets);
}

#[inline(always)]
fn all_finite_body<K: Domain>(block: &[K]) -> bool {
    // Counting instead of stopping early lets the loop use whole vectors.
    let finite: u64 = block.iter().map(|value| u64::from(value.is_finite())).sum();
    finite == block.len() as u64
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

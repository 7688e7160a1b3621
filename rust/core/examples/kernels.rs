//! Run one kernel over made-up columns: `kernels NAME ROWS [ROUNDS]` prints the least nanoseconds a value took.
//!
//! `benches/instructions.py` runs it under callgrind at two sizes; what one size needs more than the other, divided by the
//! rows it has more, is what the kernel needs for a value.

use std::hint::black_box;
use std::time::Instant;
use tidewheel_core::bins::{Thresholds, closed};
use tidewheel_core::categories::{self, StringChunk, StringColumn, Strings};
use tidewheel_core::column::{Chunk, Column, Values};
use tidewheel_core::ks::{self, Alternative};
use tidewheel_core::reference::Reference;
use tidewheel_core::{compare, histogram, select, wasserstein};

/// A kernel by name: what it needs is made once, then it is run as often as asked.
fn kernel(name: &str, rows: usize) -> Option<Box<dyn Fn()>> {
    let (reference, current) = (normal(rows, 1), shifted(&normal(rows, 2)));
    Some(match name {
        "histogram-10" | "histogram-100" => {
            let bins = if name == "histogram-10" { 10 } else { 100 };
            let edges = (0..=bins).map(|bin| -6.0 + 12.0 * f64::from(bin) / f64::from(bins));
            let thresholds = closed(edges.collect()).ok()?;
            Box::new(move || {
                black_box(histogram::count_slots(
                    &column(&current),
                    &thresholds,
                    Some(1),
                ));
            })
        }
        "psi-10" | "blocks-4000" => {
            let bins = if name == "psi-10" { 10 } else { 4_000 };
            let (edges, _) = select::quantile_edges::<f64>(&column(&reference), bins, Some(1));
            let thresholds = Thresholds::new(edges).ok()?;
            Box::new(move || {
                black_box(histogram::count_slots(
                    &column(&current),
                    &thresholds,
                    Some(1),
                ));
            })
        }
        "ks" => Box::new(move || {
            let (r, c) = (column(&reference), column(&current));
            black_box(ks::distance::<f64>(&r, &c, Alternative::TwoSided, Some(1))).ok();
        }),
        "ks-rounded" => {
            let (reference, current) = (rounded(&reference), rounded(&current));
            Box::new(move || {
                let (r, c) = (column(&reference), column(&current));
                black_box(ks::distance::<f64>(&r, &c, Alternative::TwoSided, Some(1))).ok();
            })
        }
        "ks-fitted" => {
            let fitted = Reference::fit(&column(&reference)).ok()?;
            Box::new(move || {
                let found = fitted.distance(&column(&current), Alternative::TwoSided, Some(1));
                black_box(found).ok();
            })
        }
        "wasserstein-rounded" => {
            let (reference, current) = (rounded(&reference), rounded(&current));
            Box::new(move || {
                let (r, c) = (column(&reference), column(&current));
                black_box(wasserstein::distance(&r, &c, Some(1))).ok();
            })
        }
        "wasserstein" => Box::new(move || {
            let (r, c) = (column(&reference), column(&current));
            black_box(wasserstein::distance(&r, &c, Some(1))).ok();
        }),
        "report" => Box::new(move || {
            let (r, c) = (column(&reference), column(&current));
            black_box(compare::numeric::<f64>(&r, &c, 10, Some(1)));
        }),
        "strings-50" => {
            let views: Vec<[u8; 16]> = current.iter().map(|value| word(*value)).collect();
            Box::new(move || {
                black_box(categories::count(&words(&views), Some(1)));
            })
        }
        _ => return None,
    })
}

const KERNELS: [&str; 11] = [
    "histogram-10",
    "histogram-100",
    "psi-10",
    "blocks-4000",
    "ks",
    "ks-rounded",
    "ks-fitted",
    "wasserstein",
    "wasserstein-rounded",
    "report",
    "strings-50",
];

fn column(values: &[f64]) -> Column<'_> {
    Column::new(vec![Chunk {
        values: Values::F64(values),
        validity: None,
    }])
}

fn words(views: &[[u8; 16]]) -> StringColumn<'_> {
    let strings = Strings::Views(views, Vec::new());
    StringColumn {
        chunks: vec![StringChunk {
            strings,
            validity: None,
        }],
    }
}

/// A view of one of fifty words, as Arrow has it inline.
fn word(value: f64) -> [u8; 16] {
    let mut view = [0; 16];
    let text = format!("value {}", ((value.abs() * 1e6) as u64) % 50);
    view[0] = text.len() as u8;
    view[4..4 + text.len()].copy_from_slice(text.as_bytes());
    view
}

fn rounded(values: &[f64]) -> Vec<f64> {
    values
        .iter()
        .map(|value| (value * 100.0).round() / 100.0)
        .collect()
}

fn shifted(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value + 0.02).collect()
}

/// Numbers that are nearly normal: sums of twelve uniform ones, from a counter mixed as SplitMix64 does.
fn normal(rows: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut uniform = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    };
    (0..rows)
        .map(|_| (0..12).map(|_| uniform()).sum::<f64>() - 6.0)
        .collect()
}

/// What callgrind counts, without what is made before.
#[inline(never)]
fn run_kernel(run: &dyn Fn()) {
    run();
}

fn main() -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().collect();
    let usage = || {
        format!(
            "usage: kernels NAME ROWS [ROUNDS]; NAME is one of {}",
            KERNELS.join(", ")
        )
    };
    let number = |at: usize| {
        arguments
            .get(at)
            .and_then(|text| text.parse::<usize>().ok())
    };
    let rows = number(2).ok_or_else(usage)?;
    let run = arguments
        .get(1)
        .and_then(|name| kernel(name, rows))
        .ok_or_else(usage)?;
    let round = || {
        let start = Instant::now();
        run_kernel(&run);
        start.elapsed().as_nanos() as f64 / rows as f64
    };
    let least = (0..number(3).unwrap_or(1).max(1))
        .map(|_| round())
        .fold(f64::INFINITY, f64::min);
    println!("{least:.3}");
    Ok(())
}

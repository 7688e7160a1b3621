//! Two samples of a million values: the exact Kolmogorov-Smirnov distance, where it lies, and its p-value.

use tidewheel_core::column::{Column, Values};
use tidewheel_core::kolmogorov::{Method, two_sample_p};
use tidewheel_core::ks::{Alternative, distance};

/// A sawtooth over `0..1` that visits its values in no order; the current sample is stretched by half a percent.
fn sample(rows: u64, stretch: f64) -> Vec<f64> {
    let golden = 0.618_033_988_749_894_9;
    (0..rows)
        .map(|i| (i as f64 * golden).fract() * stretch)
        .collect()
}

fn main() -> Result<(), tidewheel_core::Error> {
    let (reference, current) = (sample(1_000_000, 1.0), sample(1_000_000, 1.005));
    let found = distance::<f64>(
        &Column::from(Values::F64(&reference)),
        &Column::from(Values::F64(&current)),
        Alternative::TwoSided,
        None,
    )?;
    let (p, _) = two_sample_p(
        found.statistic(),
        found.n,
        found.m,
        Alternative::TwoSided,
        Method::Auto,
    );
    println!(
        "D = {:.6} at {:.6}, p = {p:.2e}",
        found.statistic(),
        found.location
    );
    Ok(())
}

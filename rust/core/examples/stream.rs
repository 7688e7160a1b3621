//! A reference learned once, a stream counted in parts: the parts add up, and the distance follows as an interval.

use tidewheel_core::Error;
use tidewheel_core::blocks::{Blocks, fit};
use tidewheel_core::column::{Column, Values};
use tidewheel_core::ks::enclose;

fn main() -> Result<(), Error> {
    let reference: Vec<f64> = (0..200_000).map(|i| f64::from(i * 7 % 200_000)).collect();
    let learned = fit::<f64>(&Column::from(Values::F64(&reference)), 10, None)?;
    let blocks = Blocks::new(learned.edges)?;

    let mut window = vec![0u64; learned.counts.len()];
    for hour in 0..24 {
        // What comes later in the day lies a little higher.
        let batch: Vec<f64> = (0..10_000)
            .map(|i| f64::from(i * 20 + hour * 500))
            .collect();
        let counted = blocks.count(&Column::from(Values::F64(&batch)), None);
        for (total, count) in window.iter_mut().zip(counted.counts) {
            *total += count;
        }
    }
    let (lower, upper) = enclose(&learned.counts, &window, blocks.single())?.ends();
    println!(
        "{} blocks, D between {lower:.6} and {upper:.6}",
        window.len()
    );
    Ok(())
}

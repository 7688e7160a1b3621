//! Few float thresholds, searched by the upper halves of numbers.
//!
//! The upper 32 bits of a float, read as a signed integer whose lower 31 bits are turned over where the sign is set, never reverse
//! an order: sixteen of them fit a vector register, where a search among fifteen thresholds is four steps and reads no memory.
//! Only where a value's half equals the threshold's that it was found at must the whole numbers be compared, so slots are exact.
//! Kernel: [`crate::dispatch::count_reached`]; bench: benches/drift/test_psi.py; tests: here and tests/drift/test_tiers.py.

use crate::domain::Domain;

/// Thresholds at most.
pub(crate) const MOST: usize = 15;
/// With fewer, comparing with each is as fast.
const LEAST: usize = 4;

/// Thresholds and their halves; behind the last threshold nothing is reached.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub struct Halves {
    /// The thresholds, then infinity.
    pub(crate) whole: [f64; 16],
    /// What a value's half must reach.
    pub(crate) upper: [i32; 16],
}

impl Halves {
    /// Take thresholds in increasing order; `None` if they are too few or too many, no floats, or two share a half.
    pub(crate) fn new<K: Domain>(thresholds: &[K]) -> Option<Self> {
        let thresholds = K::as_floats(thresholds)?;
        if !(LEAST..=MOST).contains(&thresholds.len()) {
            return None;
        }
        let (mut whole, mut upper) = ([f64::INFINITY; 16], [i32::MAX; 16]);
        for ((whole, upper), &threshold) in whole.iter_mut().zip(&mut upper).zip(thresholds) {
            *whole = threshold;
            // -0.0 reaches 0.0 though its half lies one below: from there on the whole numbers are compared.
            *upper = if threshold == 0.0 {
                -1
            } else {
                half(threshold)
            };
        }
        let distinct = upper[..thresholds.len()]
            .windows(2)
            .all(|pair| pair[0] < pair[1]);
        distinct.then_some(Self { whole, upper })
    }
}

/// The upper half of a float, in an order that is that of the floats or equal.
fn half(value: f64) -> i32 {
    let upper = (value.to_bits() >> 32) as i32;
    upper ^ ((upper >> 31) & i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn halves_never_reverse_an_order(a in any::<f64>(), b in any::<f64>()) {
            prop_assume!(a < b);
            prop_assert!(half(a) <= half(b));
        }
    }

    #[test]
    fn thresholds_that_share_a_half_are_left_to_others() {
        let near = 1.0 + f64::EPSILON;
        assert!(Halves::new(&[0.5, 1.0, near, 2.0]).is_none());
        assert!(Halves::new(&[-1e-320, 0.0, 1.0, 2.0]).is_none());
        assert!(Halves::new(&[1i64, 2, 3, 4]).is_none());
        assert!(Halves::new(&[1.0; 16]).is_none());
        let found = Halves::new(&[-1.0, 0.0, 1.0, f64::INFINITY]).unwrap();
        assert_eq!(found.upper[1], -1);
    }
}

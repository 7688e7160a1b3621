//! The population stability index of two vectors of counts.

use crate::error::Error;

/// What is done about bins that one side leaves empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Smoothing {
    /// Shares are `(c + 1/2) / (n + B/2)`.
    Jeffreys,
    /// Shares are `(c + 1) / (n + B)`.
    Laplace,
    /// Shares are `max(c / n, least)`.
    Clip(f64),
    /// Shares are `c / n`; a bin empty on one side makes the index infinite.
    None,
}

/// Compute `sum_i (p_i - q_i) ln(p_i / q_i)` over the bins that are not empty on both sides.
///
/// Every term is at least 0, so nothing cancels.
///
/// # Errors
/// [`Error::Input`] when the vectors differ in length or one of them is empty or sums to 0.
///
/// ```
/// use tidewheel_core::psi::{Smoothing, psi};
/// let found = psi(&[50, 50], &[25, 75], Smoothing::None)?;
/// // (0.5 - 0.25) ln(0.5 / 0.25) + (0.5 - 0.75) ln(0.5 / 0.75)
/// assert!((found - 0.25 * 3f64.ln()).abs() < 1e-15);
/// # Ok::<(), tidewheel_core::Error>(())
/// ```
pub fn psi(reference: &[u64], current: &[u64], smoothing: Smoothing) -> Result<f64, Error> {
    if reference.len() != current.len() {
        let (one, other) = (reference.len(), current.len());
        return Err(Error::Input(format!(
            "both sides must have as many bins; got {one} and {other}"
        )));
    }
    let used: Vec<(u64, u64)> = reference
        .iter()
        .copied()
        .zip(current.iter().copied())
        .filter(|pair| *pair != (0, 0))
        .collect();
    let (n, m) = used.iter().fold((0, 0), |(n, m), (r, c)| (n + r, m + c));
    if n == 0 || m == 0 {
        return Err(Error::Input(format!(
            "both sides must hold at least one value; got {n} and {m}"
        )));
    }
    let bins = used.len() as f64;
    let share = |count: u64, total: u64| {
        let (count, total) = (count as f64, total as f64);
        match smoothing {
            Smoothing::Jeffreys => (count + 0.5) / (total + bins / 2.0),
            Smoothing::Laplace => (count + 1.0) / (total + bins),
            Smoothing::Clip(least) => (count / total).max(least),
            Smoothing::None => count / total,
        }
    };
    let terms = used.iter().map(|&(r, c)| {
        let (p, q) = (share(r, n), share(c, m));
        if p == q { 0.0 } else { (p - q) * (p / q).ln() }
    });
    Ok(terms.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_worked_example() {
        // Shares 1/2, 1/2 against 1/4, 3/4: (1/4) ln 2 + (-1/4) ln (2/3) = (1/4) ln 3.
        let value = psi(&[2, 2], &[1, 3], Smoothing::None).unwrap();
        assert!((value - 3f64.ln() / 4.0).abs() < 1e-15);
    }

    #[test]
    fn bins_empty_on_both_sides_change_nothing() {
        for smoothing in [
            Smoothing::Jeffreys,
            Smoothing::Laplace,
            Smoothing::Clip(1e-4),
            Smoothing::None,
        ] {
            let plain = psi(&[5, 7], &[6, 1], smoothing).unwrap();
            assert_eq!(plain, psi(&[5, 0, 7, 0], &[6, 0, 1, 0], smoothing).unwrap());
        }
    }

    #[test]
    fn an_empty_bin_without_smoothing_is_infinite() {
        assert_eq!(
            psi(&[1, 1], &[2, 0], Smoothing::None).unwrap(),
            f64::INFINITY
        );
    }

    #[test]
    fn empty_sides_are_refused() {
        assert!(
            psi(&[0, 0], &[1, 1], Smoothing::Jeffreys)
                .unwrap_err()
                .to_string()
                .contains("got 0 and 2")
        );
        assert!(psi(&[1], &[1, 1], Smoothing::Jeffreys).is_err());
    }
}

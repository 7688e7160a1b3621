//! The law of the two-sample distance for samples too large to count: first crossings of a line by a lattice path.
//!
//! With `h = D lcm(n, m)`, s and l the smaller and the larger size and `a = s/gcd`, `b = l/gcd`, a path of the null hypothesis
//! reaches the line `a x - b y = h` first at height y with a probability near `H(x, y) h' / (a (x + y))`: H is the
//! hypergeometric probability of passing there, the other factor the ballot theorem's share of paths not there before, and
//! `h' = h + (a - 1)/2` allows for the mean overshoot. Where one size is a multiple of the other `a = 1`, nothing can
//! overshoot and the sum is exact (Takacs, Combinatorial Methods in the Theory of Stochastic Processes, 1967). Elsewhere
//! it smooths over the lattice: the law jumps by about `z / s^(1/2)` of itself, `z = D (nm/(n+m))^(1/2)`, when n and m are
//! nearly in a simple ratio, and so large is the error. The limit law errs as much and by `z^4 s / (n m)` in the tail too.

use crate::exact::gcd;
use crate::kolmogorov::{limit_sf, one_sample_sf};
use crate::ks::Alternative;
use crate::special::{deviance, stirling_error};
use std::f64::consts::PI;

/// Above this smaller size the sum over heights is taken at fewer places, as in `kolmogorov::one_sided_sf`.
const EVERY_HEIGHT_UP_TO: f64 = 8_192.0;
/// So many.
const PLACES: u32 = 8_192;
/// Up to this effective size the second crossing is not the limit law's, and the one-sample law is exact and at hand.
const SMALL: f64 = 140.0;
/// From this z on a second crossing adds less than 1e-23 of the whole; above a distance of 1/2 there is none.
const ONE_CROSSING_FROM: f64 = 3.0;

/// The p-value of a distance, without counting the lattice. Cost: up to 8,192 terms, half a millisecond.
pub fn p_value(d: f64, n: u64, m: u64, alternative: Alternative) -> f64 {
    if d <= 0.0 {
        return 1.0;
    }
    let (large, small) = (n.max(m) as f64, n.min(m) as f64);
    let effective = large * small / (large + small);
    let one_sided = one_sided_p(d, n, m);
    if alternative != Alternative::TwoSided {
        return one_sided;
    }
    // The second and later crossings follow the limit law at the distance that the first one stands for.
    let z = (-one_sided.ln() / 2.0).sqrt();
    if d > 0.5 || z > ONE_CROSSING_FROM {
        return 2.0 * one_sided;
    }
    if effective <= SMALL {
        // The other side holds millions: nearly the law of one sample, with both laws' mean overshoot matched.
        let size = effective.round().max(1.0);
        let shifted = d + (1.0 / 3.0 - 1.0 / step(n, m)) / (2.0 * large);
        return one_sample_sf(size as u64, shifted * (effective / size).sqrt()).clamp(0.0, 1.0);
    }
    limit_sf(z)
}

/// `lcm / large`: what a value of the larger sample adds to the distance in units of the lattice.
fn step(n: u64, m: u64) -> f64 {
    (n.min(m) / gcd(n, m)) as f64
}

/// The share of paths that reach one line, by the height where they reach it first.
fn one_sided_p(d: f64, n: u64, m: u64) -> f64 {
    let (large, small) = (n.max(m) as f64, n.min(m) as f64);
    let a = step(n, m);
    // In values of the larger sample: the line is x = line + (large / small) y.
    let overshoot = (a - 1.0) / (2.0 * a);
    let line = d * large + overshoot;
    let term = |y: f64| {
        let x = line + large / small * y;
        if x - overshoot > large {
            return 0.0;
        }
        let x = x.min(large);
        hypergeometric(x, y, large, small) * line / (x + y)
    };
    let sum = if small <= EVERY_HEIGHT_UP_TO {
        (0..=small as u32).map(|y| term(f64::from(y))).sum::<f64>()
    } else {
        let width = small / f64::from(PLACES);
        let places = (0..PLACES).map(|i| term((f64::from(i) + 0.5) * width));
        places.sum::<f64>() * width
    };
    sum.clamp(0.0, 1.0)
}

/// `C(x + y, y) C(large - x + small - y, small - y) / C(large + small, small)`, from binomial probabilities at one share.
fn hypergeometric(x: f64, y: f64, large: f64, small: f64) -> f64 {
    let share = small / (large + small);
    let (before, after) = (
        ln_binomial(y, x, share),
        ln_binomial(small - y, large - x, share),
    );
    (before + after - ln_binomial(small, large, share)).exp()
}

/// Log of the probability of `yes` in `yes + no` trials (Loader 2000), for real numbers too.
fn ln_binomial(yes: f64, no: f64, share: f64) -> f64 {
    let all = yes + no;
    if yes <= 0.0 {
        return no * (-share).ln_1p();
    }
    if no <= 0.0 {
        return yes * share.ln();
    }
    stirling_error(all)
        - stirling_error(yes)
        - stirling_error(no)
        - deviance(yes, all * share)
        - deviance(no, all * (1.0 - share))
        + 0.5 * (all / (2.0 * PI * yes * no)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact;

    fn error(n: u64, m: u64, z: f64, alternative: Alternative) -> f64 {
        let lcm = (n / gcd(n, m) * m) as f64;
        let h = (z * ((n + m) as f64 / (n as f64 * m as f64)).sqrt() * lcm).round();
        let counted = exact::p_value(n, m, h as u64, alternative);
        p_value(h / lcm, n, m, alternative) / counted - 1.0
    }

    #[test]
    fn multiples_have_no_error_on_one_side() {
        for (n, m) in [(1_000, 1_000), (400, 1_200), (20, 60_000), (9_000, 18_000)] {
            for z in [0.3, 1.0, 2.0, 4.0] {
                let found = error(n, m, z, Alternative::Less);
                assert!(found.abs() < 1e-11, "{n} {m} {z}: {found}");
            }
        }
    }

    #[test]
    fn multiples_have_the_second_crossings_error_on_both_sides() {
        for (n, m) in [(1_000, 2_000), (2_000, 20_000), (9_000, 18_000)] {
            for (z, most) in [
                (0.5, 3e-4),
                (1.0, 3e-5),
                (1.5, 3e-7),
                (3.0, 1e-10),
                (12.0, 1e-10),
            ] {
                let found = error(n, m, z, Alternative::TwoSided);
                assert!(found.abs() < most, "{n} {m} {z}: {found}");
            }
        }
    }

    #[test]
    fn other_sizes_err_by_a_jump_of_the_lattice() {
        for (n, m) in [
            (1_000, 1_001),
            (1_000, 2_001),
            (1_000, 1_414),
            (4_000, 6_003),
            (9_000, 9_001),
            (300, 100_001),
        ] {
            for z in [0.5, 1.0, 1.5, 2.0, 3.0, 6.0, 10.0] {
                let found = error(n, m, z, Alternative::TwoSided);
                let jump = z / (n as f64).sqrt();
                assert!(found.abs() < 1.5 * jump, "{n} {m} {z}: {found} {jump}");
            }
        }
    }
}

//! Functions of mathematical statistics, to about 1e-13 relative where their result is not subnormal.

use std::f64::consts::PI;

/// From this argument on Stirling's series with eight terms is exact to a double.
const STIRLING_FROM: f64 = 16.0;
/// `B_2k / (2k (2k - 1))` for k = 1..8, `B` being Bernoulli's numbers.
const STIRLING: [f64; 8] = [
    1.0 / 12.0,
    -1.0 / 360.0,
    1.0 / 1260.0,
    -1.0 / 1680.0,
    1.0 / 1188.0,
    -691.0 / 360_360.0,
    1.0 / 156.0,
    -3617.0 / 122_400.0,
];
/// A continued fraction that has not settled by then will not: arguments here stay far below its need.
const ITERATIONS: usize = 100_000;

fn stirling_series(x: f64) -> f64 {
    STIRLING
        .iter()
        .rev()
        .fold(0.0, |sum, term| sum / (x * x) + term)
        / x
}

/// Logarithm of the gamma function for `x > 0`.
pub fn ln_gamma(x: f64) -> f64 {
    let (mut shifted, mut product) = (x, 1.0);
    while shifted < STIRLING_FROM {
        product *= shifted;
        shifted += 1.0;
    }
    (shifted - 0.5) * shifted.ln() - shifted + 0.5 * (2.0 * PI).ln() + stirling_series(shifted)
        - f64::ln(product)
}

/// `ln n! - [(n + 1/2) ln n - n + ln(2 pi)/2]`, the error of Stirling's formula, for whole `n >= 1`.
pub fn stirling_error(n: f64) -> f64 {
    if n >= STIRLING_FROM {
        return stirling_series(n);
    }
    ln_gamma(n + 1.0) - ((n + 0.5) * n.ln() - n + 0.5 * (2.0 * PI).ln())
}

/// `x ln(x / mean) + mean - x` without cancellation near `x = mean` (Loader 2000).
pub fn deviance(x: f64, mean: f64) -> f64 {
    let (difference, sum) = (x - mean, x + mean);
    if difference.abs() >= 0.1 * sum {
        return x * (x / mean).ln() - difference;
    }
    let ratio = difference / sum;
    let mut total = difference * ratio;
    let mut term = 2.0 * x * ratio;
    for i in 1..1000 {
        term *= ratio * ratio;
        let next = total + term / f64::from(2 * i + 1);
        if next == total {
            break;
        }
        total = next;
    }
    total
}

/// `sum_i x_i ln(x_i / mean_i) + mean_i - x_i`, each term at least 0, with `0 ln 0 = 0`; infinite if a mean is 0 and its x not.
pub fn sum_deviance(x: &[f64], mean: &[f64]) -> f64 {
    let term = |(&x, &mean): (&f64, &f64)| {
        if x == 0.0 {
            mean
        } else if mean == 0.0 {
            f64::INFINITY
        } else {
            deviance(x, mean)
        }
    };
    x.iter().zip(mean).map(term).sum()
}

/// Upper regularised incomplete gamma function `Q(a, x)`.
pub fn gamma_q(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    if x == f64::INFINITY {
        return 0.0;
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        1.0 - front * lower_series(a, x)
    } else {
        front * upper_fraction(a, x)
    }
}

fn lower_series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (1.0 / a, 1.0 / a, a);
    for _ in 0..ITERATIONS {
        k += 1.0;
        term *= x / k;
        sum += term;
        if term < sum * f64::EPSILON * 0.25 {
            break;
        }
    }
    sum
}

fn upper_fraction(a: f64, x: f64) -> f64 {
    let step = |i: f64| {
        (
            if i == 0.0 { 1.0 } else { -i * (i - a) },
            x + 2.0 * i + 1.0 - a,
        )
    };
    fraction(step)
}

/// Evaluate `a_0/(b_0 + a_1/(b_1 + ...))` by Lentz's method.
fn fraction(step: impl Fn(f64) -> (f64, f64)) -> f64 {
    const TINY: f64 = 1e-300;
    let nonzero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut value, mut c, mut d) = (TINY, TINY, 0.0);
    for i in 0..ITERATIONS {
        let (a, b) = step(i as f64);
        d = 1.0 / nonzero(b + a * d);
        c = nonzero(b + a / c);
        let change = c * d;
        value *= change;
        if (change - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    value
}

/// Upper tail of the chi-square law with `df` degrees of freedom.
///
/// ```
/// use tidewheel_core::special::chi2_sf;
/// // With two degrees of freedom the tail is exp(-x / 2).
/// assert!((chi2_sf(3.0, 2.0) / (-1.5f64).exp() - 1.0).abs() < 1e-12);
/// ```
pub fn chi2_sf(x: f64, df: f64) -> f64 {
    if x.is_nan() {
        f64::NAN
    } else {
        gamma_q(df / 2.0, x / 2.0).clamp(0.0, 1.0)
    }
}

/// Upper tail of the standard normal law.
pub fn normal_sf(z: f64) -> f64 {
    let tail = 0.5 * gamma_q(0.5, z * z / 2.0);
    if z >= 0.0 { tail } else { 1.0 - tail }
}

/// Regularised incomplete beta function `I_x(a, b)`.
pub fn beta_i(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_i_below(b, a, 1.0 - x);
    }
    beta_i_below(a, b, x)
}

fn beta_i_below(a: f64, b: f64, x: f64) -> f64 {
    let front =
        (a * x.ln() + b * (-x).ln_1p() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp() / a;
    let step = |i: f64| {
        let k = (i / 2.0).floor();
        let numerator = if i == 0.0 {
            1.0
        } else if i % 2.0 == 0.0 {
            k * (b - k) * x / ((a + 2.0 * k - 1.0) * (a + 2.0 * k))
        } else {
            -(a + k) * (a + b + k) * x / ((a + 2.0 * k) * (a + 2.0 * k + 1.0))
        };
        (numerator, 1.0)
    };
    front * fraction(step)
}

/// Upper tail of Fisher's F law.
///
/// ```
/// use tidewheel_core::special::f_sf;
/// // With (2, 2) degrees of freedom the tail is 1 / (1 + x).
/// assert!((f_sf(3.0, 2.0, 2.0) - 0.25).abs() < 1e-15);
/// ```
pub fn f_sf(x: f64, df_between: f64, df_within: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    beta_i(
        df_within / 2.0,
        df_between / 2.0,
        df_within / (df_within + df_between * x),
    )
    .clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!(
            (found / expected - 1.0).abs() < 1e-12,
            "{found} against {expected}"
        );
    }

    #[test]
    fn known_values() {
        close(ln_gamma(0.5), PI.sqrt().ln());
        close(ln_gamma(11.0), 3_628_800f64.ln());
        close(chi2_sf(2.0, 2.0), (-1f64).exp());
        close(chi2_sf(600.0, 2.0), (-300f64).exp());
        // With two and two degrees of freedom the upper tail is 1 / (1 + x).
        close(f_sf(3.0, 2.0, 2.0), 0.25);
        // Cauchy: squared, it is F with one and one.
        close(f_sf(1.0, 1.0, 1.0), 0.5);
        assert_eq!(normal_sf(0.0), 0.5);
        close(normal_sf(1.959_963_984_540_054), 0.025);
    }

    #[test]
    fn deviances_of_nothing() {
        assert_eq!(sum_deviance(&[0.0, 2.0], &[3.0, 2.0]), 3.0);
        assert_eq!(sum_deviance(&[0.0], &[0.0]), 0.0);
        assert_eq!(sum_deviance(&[1.0], &[0.0]), f64::INFINITY);
        // x = mean (1 + e): the term is mean e^2 / 2, far below the rounding of its parts.
        let e = 1.0 / f64::from(1 << 26);
        close(
            sum_deviance(&[1.0 + e], &[1.0]),
            e * e / 2.0 * (1.0 - e / 3.0),
        );
    }

    #[test]
    fn the_deviance_is_smooth_where_the_formula_changes() {
        for (x, mean) in [(100.0f64, 100.0f64), (110.0, 100.0), (10.0, 1.0)] {
            let direct = x * (x / mean).ln() + mean - x;
            assert!((deviance(x, mean) - direct).abs() < 1e-12);
        }
    }
}

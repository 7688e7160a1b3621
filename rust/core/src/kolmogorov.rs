//! Laws of the Kolmogorov-Smirnov distance: the one-sample law that SciPy uses for large samples, and its limit.
//!
//! `one_sample_sf` follows the choice of methods of Simard and L'Ecuyer, Journal of Statistical Software 39(11), 2011,
//! with the limits that `scipy.stats.kstwo` has, so that both give the same p. The two-sample law itself, where it cannot be
//! counted, is in `expansion`.

use crate::exact;
use crate::expansion;
use crate::ks::Alternative;
use crate::special::{deviance, stirling_error};
use std::f64::consts::PI;

/// Above this n the one-sided sum is taken at fewer places.
const EVERY_TERM_UP_TO: u64 = 10_000;
/// So many.
const PLACES: u32 = 8_192;
/// Above this n the one-sided sum is replaced by its expansion.
const SUM_UP_TO: u64 = 1_000_000;
/// From this n d^2 on the two-sided tail is 0.
const ZERO_FROM: f64 = 370.0;
/// SciPy's `auto` is exact up to this sample size.
const AUTO_EXACT_UP_TO: u64 = 10_000;
/// `accurate` counts up to so many lattice points, in about a third of a second.
const ACCURATE_POINTS: f64 = 1e9;

/// How to compute a p-value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Exact up to 10,000 values a side, else asymptotic.
    Auto,
    /// Exact where that is possible.
    Exact,
    /// Asymptotic.
    Asymptotic,
    /// Exact up to 1e9 lattice points, else by the first crossings of the lattice; never as SciPy where SciPy errs.
    Accurate,
}

/// Compute the p-value of the two-sample distance `statistic` as `scipy.stats.ks_2samp` does; say whether it is exact.
///
/// ```
/// use tidewheel_core::kolmogorov::{Method, two_sample_p};
/// use tidewheel_core::ks::Alternative;
/// let (p, exact) = two_sample_p(1.0, 3, 3, Alternative::TwoSided, Method::Auto);
/// // Two of the 20 orders of three and three values set the samples wholly apart.
/// assert!((p - 0.1).abs() < 1e-15 && exact);
/// ```
pub fn two_sample_p(
    statistic: f64,
    n: u64,
    m: u64,
    alternative: Alternative,
    method: Method,
) -> (f64, bool) {
    if method == Method::Accurate {
        return accurate_p(statistic, n, m, alternative);
    }
    let wants_exact = match method {
        Method::Auto => n.max(m) <= AUTO_EXACT_UP_TO,
        Method::Exact => true,
        Method::Asymptotic | Method::Accurate => false,
    };
    if wants_exact && exact::is_exact_possible(n, m, alternative) {
        let h = lattice_steps(statistic, n, m);
        return (exact::p_value(n, m, h, alternative), true);
    }
    let (large, small) = (n.max(m) as f64, n.min(m) as f64);
    let effective = large * small / (large + small);
    if alternative == Alternative::TwoSided {
        let size = effective.round_ties_even() as u64;
        // One value a side rounds to no value at all: SciPy gives NaN, and nothing can be concluded.
        return (
            if size == 0 {
                1.0
            } else {
                one_sample_sf(size, statistic).clamp(0.0, 1.0)
            },
            false,
        );
    }
    // Hodges' (1958) equation 5.3.
    let z = effective.sqrt() * statistic;
    let correction =
        2.0 * z * (large + 2.0 * small) / (large * small * (large + small)).sqrt() / 3.0;
    ((-2.0 * z * z - correction).exp().clamp(0.0, 1.0), false)
}

/// The distance in units of `1 / lcm(n, m)`, of which it is a whole multiple.
fn lattice_steps(statistic: f64, n: u64, m: u64) -> u64 {
    let lcm = (n / exact::gcd(n, m)) as f64 * m as f64;
    (statistic * lcm).round_ties_even().clamp(0.0, lcm) as u64
}

/// Count the lattice where that is affordable, else expand.
fn accurate_p(statistic: f64, n: u64, m: u64, alternative: Alternative) -> (f64, bool) {
    let h = lattice_steps(statistic, n, m);
    if exact::points(n, m, h, alternative) <= ACCURATE_POINTS {
        return (exact::p_value(n, m, h, alternative), true);
    }
    (expansion::p_value(statistic, n, m, alternative), false)
}

/// Upper tail of the one-sample two-sided distance of `n` values.
pub fn one_sample_sf(n: u64, d: f64) -> f64 {
    let size = n as f64;
    let t = size * d;
    if d >= 1.0 {
        return 0.0;
    }
    if t <= 0.5 {
        return 1.0;
    }
    if t <= 1.0 {
        // Ruben and Gambino: the cdf is n! (2 d - 1/n)^n.
        return 1.0
            - (1..=n)
                .map(|i| i as f64 / size * (2.0 * t - 1.0))
                .product::<f64>();
    }
    if t >= size - 1.0 {
        return 2.0 * (1.0 - d).powf(size);
    }
    let squared = t * d;
    let one_sided_from = if n <= 140 { 4.0 } else { 2.2 };
    if d < 0.5 && n > 140 && squared >= ZERO_FROM {
        return 0.0;
    }
    if d >= 0.5 || (n <= 140 && squared > one_sided_from) || (n > 140 && squared >= one_sided_from)
    {
        return 2.0 * one_sided_sf(n, d);
    }
    if n <= 140 || (n <= 100_000 && size * d.powf(1.5) <= 1.4) {
        return 1.0 - durbin_cdf(n, d);
    }
    1.0 - pelz_good_cdf(size, d)
}

/// Upper tail of the one-sided distance of `n` values (Smirnov; Birnbaum and Tingey).
///
/// The sum over `v` of `x C(n, v) (x + v/n)^(v-1) (1 - x - v/n)^(n-v)`. Each term is a binomial probability at the mean
/// `n x + v`, taken in Loader's form, so it is accurate however large `n` is.
pub fn one_sided_sf(n: u64, x: f64) -> f64 {
    let size = n as f64;
    if n > SUM_UP_TO {
        return (-(6.0 * size * x + 1.0).powi(2) / (18.0 * size)).exp();
    }
    if n > EVERY_TERM_UP_TO {
        // The terms vanish faster than any power at both ends and are smooth in between: then a sum over coarser steps,
        // times the step, is the same sum to the last digits (Poisson's summation formula). Test: SciPy's at 1,000,000.
        let step = size / f64::from(PLACES);
        let places = (0..PLACES).map(|i| smirnov_term(size, x, (f64::from(i) + 0.5) * step));
        return (places.sum::<f64>() * step).clamp(0.0, 1.0);
    }
    let last = (size * (1.0 - x)).floor().min(size - 1.0) as u64;
    let first = (size * (-x).ln_1p()).exp();
    let rest: f64 = (1..=last).map(|v| smirnov_term(size, x, v as f64)).sum();
    (first + rest).clamp(0.0, 1.0)
}

fn smirnov_term(n: f64, x: f64, v: f64) -> f64 {
    let (mean, left) = (n * x + v, n - v);
    let missing = left - n * x;
    if missing <= 0.0 {
        return 0.0;
    }
    let exponent = stirling_error(n)
        - stirling_error(v)
        - stirling_error(left)
        - deviance(v, mean)
        - deviance(left, missing);
    let root = (n / (2.0 * PI * v * left)).sqrt();
    x * n / mean * root * exponent.exp()
}

/// Durbin's matrix in the form of Marsaglia, Tsang and Wang (2003): the cdf is `n!/n^n (H^n)_kk`.
fn durbin_cdf(n: u64, d: f64) -> f64 {
    let t = n as f64 * d;
    let k = t.ceil() as usize;
    let h = k as f64 - t;
    let size = 2 * k - 1;
    let base = durbin_matrix(size, h);
    let (power, mut exponent) = matrix_power(base, size, n, k - 1);
    let mut p = power[(k - 1) * size + k - 1];
    for i in 1..=n {
        p *= i as f64 / n as f64;
        if p < 1e-140 {
            p *= 1e140;
            exponent -= 140;
        }
    }
    p * 10f64.powi(exponent)
}

fn durbin_matrix(size: usize, h: f64) -> Vec<f64> {
    let mut inverse_factorial = vec![1.0; size + 2];
    for i in 1..size + 2 {
        inverse_factorial[i] = inverse_factorial[i - 1] / i as f64;
    }
    let mut matrix = vec![0.0; size * size];
    for row in 0..size {
        for column in 1..size.min(row + 2) {
            matrix[row * size + column] = inverse_factorial[row + 1 - column];
        }
    }
    for row in 0..size {
        let border = (1.0 - h.powi(row as i32 + 1)) * inverse_factorial[row + 1];
        matrix[row * size] = border;
        matrix[(size - 1) * size + size - 1 - row] = border;
    }
    let corner = 1.0 - 2.0 * h.powi(size as i32) + (2.0 * h - 1.0).max(0.0).powi(size as i32);
    matrix[(size - 1) * size] = corner * inverse_factorial[size];
    matrix
}

/// Raise a matrix to a power, with a power of ten kept apart; `centre` is watched against overflow.
fn matrix_power(mut base: Vec<f64>, size: usize, mut n: u64, centre: usize) -> (Vec<f64>, i32) {
    let mut power: Vec<f64> = (0..size * size)
        .map(|i| if i / size == i % size { 1.0 } else { 0.0 })
        .collect();
    let (mut exponent, mut base_exponent) = (0, 0);
    loop {
        if n % 2 == 1 {
            power = multiply(&power, &base, size);
            exponent += base_exponent;
            rescale(&mut power, size, centre, &mut exponent);
        }
        n /= 2;
        if n == 0 {
            return (power, exponent);
        }
        base = multiply(&base, &base, size);
        base_exponent *= 2;
        rescale(&mut base, size, centre, &mut base_exponent);
    }
}

fn rescale(matrix: &mut [f64], size: usize, centre: usize, exponent: &mut i32) {
    if matrix[centre * size + centre] > 1e140 {
        matrix.iter_mut().for_each(|value| *value *= 1e-140);
        *exponent += 140;
    }
}

fn multiply(a: &[f64], b: &[f64], size: usize) -> Vec<f64> {
    let mut product = vec![0.0; size * size];
    for row in 0..size {
        for inner in 0..size {
            let factor = a[row * size + inner];
            for column in 0..size {
                product[row * size + column] += factor * b[inner * size + column];
            }
        }
    }
    product
}

/// Pelz and Good's (1976) expansion of the cdf, `K0 + K1/n^(1/2) + K2/n + K3/n^(3/2)`.
fn pelz_good_cdf(n: f64, d: f64) -> f64 {
    let z = n.sqrt() * d;
    let z2 = z * z;
    let (z4, z6) = (z2 * z2, z2 * z2 * z2);
    let (z7, z8, z10) = (z6 * z, z6 * z2, z6 * z4);
    let terms = (16.0 * z / PI).ceil().max(1.0) as u32;
    let (mut k0, mut k1, mut k2, mut k3) = (0.0, 0.0, 0.0, 0.0);
    for k in (0..terms).rev() {
        // Half-integers come in pairs of opposite sign: the factor 2 is in the fronts below.
        let a2 = (PI * (f64::from(k) + 0.5)).powi(2);
        let weight = (-a2 / (2.0 * z2)).exp();
        k0 += weight;
        k1 += (a2 - z2) * weight;
        k2 += (6.0 * z6 + 2.0 * z4 + (2.0 * z4 - 5.0 * z2) * a2 + (1.0 - 2.0 * z2) * a2 * a2)
            * weight;
        let high = (5.0 - 30.0 * z2) * a2.powi(3) + (-60.0 * z2 + 212.0 * z4) * a2 * a2;
        k3 += (high + (135.0 * z4 - 96.0 * z6) * a2 - 30.0 * z6 - 90.0 * z8) * weight;
    }
    let (mut whole2, mut whole3) = (0.0, 0.0);
    for k in (1..=terms).rev() {
        let b2 = (PI * f64::from(k)).powi(2);
        let weight = (-b2 / (2.0 * z2)).exp();
        whole2 += b2 * weight;
        whole3 += (3.0 * b2 * z2 - b2 * b2) * weight;
    }
    let root = (2.0 * PI).sqrt();
    let k0 = root / z * k0;
    let k1 = root / (6.0 * z4) * k1;
    let k2 = root / (72.0 * z7) * k2 - root / (36.0 * z2 * z) * whole2;
    let k3 = root / (6480.0 * z10) * k3 + root / (216.0 * z6) * whole3;
    k0 + k1 / n.sqrt() + k2 / n + k3 / (n * n.sqrt())
}

/// Upper tail of Kolmogorov's limit law: `2 sum_k (-1)^(k-1) exp(-2 k^2 z^2)`.
pub fn limit_sf(z: f64) -> f64 {
    if z <= 0.0 {
        return 1.0;
    }
    if z < 1.0 {
        // The theta function's other form, which converges fast for small z.
        let odd = |k: i32| (-(f64::from(2 * k - 1) * PI / z).powi(2) / 8.0).exp();
        return 1.0 - (2.0 * PI).sqrt() / z * (1..6).map(odd).sum::<f64>();
    }
    let term = |k: i32| {
        f64::from(if k % 2 == 1 { 2 } else { -2 }) * (-2.0 * f64::from(k * k) * z * z).exp()
    };
    (1..8).map(term).sum::<f64>().clamp(0.0, 1.0)
}

/// Upper tail of Kolmogorov's limit law when the scale was estimated with `df` degrees of freedom.
///
/// The mean of `limit_sf(z sqrt(w))` over `w` distributed as chi-square over `df`: what Student's law is to the normal.
pub fn limit_sf_estimated(z: f64, df: f64) -> f64 {
    const STEPS: i32 = 600;
    let half = df / 2.0;
    // w = e^u has log density proportional to half (u - e^u); eight of its standard deviations each way and a wide left.
    let reach = 12.0 * (2.0 / df).sqrt().max(0.05) + 12.0 / df;
    let (mut total, mut mass) = (0.0, 0.0);
    for i in -STEPS..=STEPS {
        let u = reach * f64::from(i) / f64::from(STEPS);
        let weight = (half * (u - u.exp() + 1.0)).exp();
        mass += weight;
        total += weight * limit_sf(z * (u / 2.0).exp());
    }
    total / mass
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_cases_by_hand() {
        // One value: the distance is max(u, 1 - u), so P(D >= d) = 2 (1 - d).
        assert!((one_sample_sf(1, 0.8) - 0.4).abs() < 1e-15);
        // One-sided, one value: P(1 - u >= x).
        assert!((one_sided_sf(1, 0.3) - 0.7).abs() < 1e-15);
        // n = 2 at d = 0.6: 2 (1 - d)^2.
        assert!((one_sample_sf(2, 0.6) - 0.32).abs() < 1e-15);
    }

    #[test]
    fn branches_meet() {
        // Either side of each limit the tail changes by no more than the approximations' own error.
        for (n, d, tolerance) in [
            (140, (4.0f64 / 140.0).sqrt(), 1e-5),
            (2_000, (2.2f64 / 2_000.0).sqrt(), 1e-4),
        ] {
            let (before, after) = (
                one_sample_sf(n, d * (1.0 - 1e-9)),
                one_sample_sf(n, d * (1.0 + 1e-9)),
            );
            assert!(
                (before / after - 1.0).abs() < tolerance,
                "{n}: {before} {after}"
            );
        }
        assert!((limit_sf(0.999_999_999) - limit_sf(1.000_000_001)).abs() < 1e-8);
    }

    #[test]
    fn many_degrees_of_freedom_give_the_limit() {
        for z in [0.5, 1.0, 1.5, 2.0] {
            assert!((limit_sf_estimated(z, 1e6) - limit_sf(z)).abs() < 1e-5);
            assert!(limit_sf_estimated(z, 3.0) > 0.0);
        }
        assert!(limit_sf_estimated(2.0, 4.0) > 5.0 * limit_sf(2.0));
    }
}

//! Exact p-values of the two-sample Kolmogorov-Smirnov distance, by counting lattice paths.
//!
//! Under the null hypothesis every order of the `n + m` values is equally likely, that is, every path from `(0, 0)` to
//! `(m, n)`. With `h = D lcm(n, m)` the p-value is the share of paths that reach `|x lcm/m - y lcm/n| >= h` (two-sided)
//! or one of the two lines. Hodges, Arkiv foer Matematik 3 (1958) 469-486.

use crate::ks::Alternative;

/// Above this `lcm(n, m)` SciPy turns to the asymptotic law, and so does this module.
const LCM_LIMIT: f64 = i32::MAX as f64;

/// Least `n + m choose n` that is too large for a double: there SciPy's one-sided count fails over to the asymptotic law.
const LN_COUNT_LIMIT: f64 = 709.782_712_893_384;

/// exp(-NEGLIGIBLE) adds nothing to 1.
const NEGLIGIBLE: f64 = 40.0;

/// Greatest common divisor.
pub fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// True where SciPy would compute the exact p-value when asked to.
pub fn is_exact_possible(n: u64, m: u64, alternative: Alternative) -> bool {
    let g = gcd(n, m);
    if (n / g) as f64 >= LCM_LIMIT / (m / g) as f64 {
        return false;
    }
    alternative == Alternative::TwoSided || n == m || ln_choose(n + m, n) < LN_COUNT_LIMIT
}

fn ln_choose(n: u64, k: u64) -> f64 {
    use crate::special::ln_gamma;
    ln_gamma(n as f64 + 1.0) - ln_gamma(k as f64 + 1.0) - ln_gamma((n - k) as f64 + 1.0)
}

/// The p-value of a distance `h / lcm(n, m)`.
pub fn p_value(n: u64, m: u64, h: u64, alternative: Alternative) -> f64 {
    if h == 0 {
        return 1.0;
    }
    let two_sided = alternative == Alternative::TwoSided;
    let p = if n == m {
        equal_sizes(n, h, two_sided)
    } else {
        share_outside(n.max(m), n.min(m), h, two_sided)
    };
    p.clamp(0.0, 1.0)
}

/// Lattice points that [`p_value`] visits, the measure of its cost: about 0.3 ns each.
pub fn points(n: u64, m: u64, h: u64, alternative: Alternative) -> f64 {
    let (large, small) = (n.max(m) as f64, n.min(m) as f64);
    if n == m {
        return large;
    }
    let band = match alternative {
        Alternative::TwoSided => 2.0 * h as f64 * gcd(n, m) as f64 / (large + small) + 1.0,
        _ => small + 1.0,
    };
    (large + small) * band.min(small + 1.0)
}

/// Reflection: the share is an alternating sum of `C(2n, n - k h) / C(2n, n)`, nested so that it does not cancel.
fn equal_sizes(n: u64, h: u64, two_sided: bool) -> f64 {
    let ratio = |k: u64| {
        (0..h)
            .map(|j| (n - k * h - j) as f64 / (n + k * h + j + 1) as f64)
            .product::<f64>()
    };
    if !two_sided {
        return ratio(0);
    }
    // The k-th ratio is below exp(-2 k h^2 / n) and is taken from 1: beyond the last level that changes nothing.
    let last = NEGLIGIBLE / 2.0 * n as f64 / (h as f64 * h as f64);
    let levels = (n / h).min(last as u64 + 1);
    2.0 * (0..levels)
        .rev()
        .fold(0.0, |inner, k| ratio(k) * (1.0 - inner))
}

/// The share of paths to `(m, n)`, `m >= n`, that ever reach the lines.
///
/// A uniformly chosen path to `(x, y)` came from `(x - 1, y)` with probability `x / (x + y)`. So the share `s` obeys
/// `s(x, y) = (x s(x-1, y) + y s(x, y-1)) / (x + y)`, with 1 at and beyond a line: all terms positive, nothing cancels,
/// and tails keep their digits down to the least double. The points with one `x + y` depend on those before alone, so a
/// whole diagonal is computed in vectors: ten times as fast as point after point.
fn share_outside(m: u64, n: u64, h: u64, two_sided: bool) -> f64 {
    let g = gcd(m, n);
    let (step_x, both, h) = ((n / g) as i64, ((n + m) / g) as i64, h as i64);
    let (m, n) = (m as i64, n as i64);
    let height: Vec<f64> = (0..=n).map(|y| y as f64).collect();
    // Place y + 1 holds the share at height y: a border of ones surrounds the points between the lines.
    let mut before = vec![1.0f64; n as usize + 3];
    let mut share = before.clone();
    before[1] = 0.0;
    for diagonal in 1..=m + n {
        // Inside: x step_x - y step_y < h, and for two sides also > -h, where x + y is the diagonal.
        let rise = diagonal * step_x;
        let first = ((rise - h).div_euclid(both) + 1).max(diagonal - m).max(0);
        let last = if two_sided {
            (rise + h - 1).div_euclid(both).min(n)
        } else {
            n
        };
        let (first, last) = (first as usize, last.min(diagonal) as usize);
        if first <= last {
            step(
                &height[first..=last],
                diagonal as f64,
                &before[first..=last + 1],
                &mut share[first + 1..=last + 1],
            );
        }
        share[first] = 1.0;
        share[last + 2] = 1.0;
        std::mem::swap(&mut before, &mut share);
    }
    before[n as usize + 1]
}

/// One diagonal: `before` begins one place below the first height.
#[inline]
fn step(height: &[f64], diagonal: f64, before: &[f64], share: &mut [f64]) {
    let per_step = 1.0 / diagonal;
    let neighbours = before.iter().zip(&before[1..]);
    for ((out, y), (below, beside)) in share.iter_mut().zip(height).zip(neighbours) {
        *out = ((diagonal - y) * beside + y * below) * per_step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walk every path.
    fn by_walking(m: i64, n: i64, h: i64, two_sided: bool) -> f64 {
        fn walk(
            x: i64,
            y: i64,
            m: i64,
            n: i64,
            out: &dyn Fn(i64, i64) -> bool,
            was_out: bool,
            tally: &mut (u64, u64),
        ) {
            let was_out = was_out || out(x, y);
            if (x, y) == (m, n) {
                tally.0 += u64::from(was_out);
                tally.1 += 1;
                return;
            }
            if x < m {
                walk(x + 1, y, m, n, out, was_out, tally);
            }
            if y < n {
                walk(x, y + 1, m, n, out, was_out, tally);
            }
        }
        let g = gcd(m as u64, n as u64) as i64;
        let out = move |x: i64, y: i64| {
            let d = x * (n / g) - y * (m / g);
            d >= h || (two_sided && -d >= h)
        };
        let mut tally = (0, 0);
        walk(0, 0, m, n, &out, false, &mut tally);
        tally.0 as f64 / tally.1 as f64
    }

    #[test]
    fn shares_agree_with_walking_every_path() {
        for (m, n) in [(1, 1), (4, 4), (5, 3), (6, 4), (7, 2), (8, 6), (9, 1)] {
            let lcm = m * n / gcd(m, n);
            for h in 1..=lcm {
                for (alternative, two_sided) in
                    [(Alternative::TwoSided, true), (Alternative::Less, false)]
                {
                    let expected = by_walking(m as i64, n as i64, h as i64, two_sided);
                    for (a, b) in [(m, n), (n, m)] {
                        let found = p_value(a, b, h, alternative);
                        assert!(
                            (found - expected).abs() < 1e-14,
                            "{a} {b} {h} {two_sided}: {found} {expected}"
                        );
                    }
                }
            }
        }
    }
}

"""Compute Kolmogorov-Smirnov p-values in whole numbers, for `tests/drift/golden/ks_exact.csv`.

Run it by hand in an environment with mpmath: `python benches/exact_ks.py > tests/drift/golden/ks_exact.csv`. Small samples:
all lattice paths are counted. Large ones: equal sizes by reflection, multiples by the ballot theorem, with 50 digits.
Nothing is shared with the Rust core; distances are `h / lcm(n, m)`.
"""

import math
from fractions import Fraction

import mpmath

mpmath.mp.dps = 50

#: Sizes whose paths are counted, and z = D (nm/(n+m))^(1/2): p runs from 1 down to 1e-300.
COUNTED = [
    (1, 1), (3, 2), (7, 5), (20, 13), (50, 50), (141, 140), (282, 282), (300, 450), (1, 5_000), (7, 3_000), (500, 1_000),
    (1_000, 1_000), (1_000, 1_001), (900, 1_300), (3_000, 3_001),
]  # fmt: skip
SCALED = (0.3, 0.6, 0.9, 1.2, 1.36, 1.63, 2.2, 3.0, 4.5, 7.0, 11.0, 15.0, 18.5, 20.0)
#: Python's whole numbers have up to 6,000 binary digits here: some seconds for so many.
MOST_POINTS = 6_000_000
#: Equal sizes too large to count.
EQUAL = [100_000, 100_000_000]
#: A size and a multiple of it, of which one line is crossed.
MULTIPLES = [(2_000, 4_000_000_000), (9_000, 900_000_000)]


def share_outside(n: int, m: int, h: int, *, two_sided: bool) -> Fraction:
    """Count the paths from (0, 0) to (n, m) that reach the line, or one of both."""
    g = math.gcd(n, m)
    up, across = m // g, n // g
    inside = [0] * (m + 1)
    for x in range(n + 1):
        left = 0
        for y in range(m + 1):
            height = x * up - y * across
            if height >= h or (two_sided and -height >= h):
                inside[y] = left = 0
                continue
            left = 1 if x == y == 0 else left + inside[y]
            inside[y] = left
    return 1 - Fraction(inside[m], math.comb(n + m, n))


def reflect(n: int, h: int, *, two_sided: bool) -> mpmath.mpf:
    """Sum the reflections for equal sizes: `2 sum_k (-1)^(k-1) C(2n, n - k h) / C(2n, n)`."""

    def log_factorial(k: int) -> mpmath.mpf:
        return mpmath.loggamma(k + 1)

    def term(k: int) -> mpmath.mpf:
        return mpmath.exp(2 * log_factorial(n) - log_factorial(n - k * h) - log_factorial(n + k * h))

    if not two_sided:
        return term(1)
    last = min(n // h, int(math.sqrt(1_500 * n) / h) + 1)
    return 2 * mpmath.fsum((-1) ** (k - 1) * term(k) for k in range(1, last + 1))


def cross(small: int, large: int, h: int) -> mpmath.mpf:
    """Sum over the heights where a path first reaches `x - (large / small) y = h`; `small` divides `large`."""
    ratio, log = large // small, mpmath.loggamma

    def ways(a: int, b: int) -> mpmath.mpf:
        return log(a + b + 1) - log(a + 1) - log(b + 1)

    total = ways(large, small)
    points = ((h + ratio * y, y) for y in range(small + 1) if h + ratio * y <= large)
    return mpmath.fsum(
        mpmath.exp(ways(x, y) + ways(large - x, small - y) - total) * h / (x + y) for x, y in points
    )


def show(n: int, m: int, h: int, alternative: str, p: Fraction | mpmath.mpf) -> None:
    """Print a row if p is in the range of a float with all its digits."""
    value = mpmath.mpf(p.numerator) / p.denominator if isinstance(p, Fraction) else p
    if value > mpmath.mpf("1e-301"):
        print(f"{n},{m},{h},{alternative},{mpmath.nstr(value, 20)}")


def main() -> None:
    """Print the table."""
    print("n,m,h,alternative,p")
    sided = (("two-sided", True), ("greater", False))
    for n, m in COUNTED:
        lcm, root = math.lcm(n, m), math.sqrt((n + m) / (n * m))
        steps = {min(lcm, max(1, round(z * root * lcm))) for z in SCALED}
        for h in sorted(steps) if n * m <= MOST_POINTS else sorted(steps)[3:7]:
            for alternative, two_sided in sided:
                show(n, m, h, alternative, share_outside(n, m, h, two_sided=two_sided))
    for n in EQUAL:
        for z in SCALED:
            for alternative, two_sided in sided:
                h = round(z * math.sqrt(2 * n))
                show(n, n, h, alternative, reflect(n, h, two_sided=two_sided))
    for small, large in MULTIPLES:
        for z in SCALED[1::3]:
            h = round(z * math.sqrt((small + large) / (small * large)) * large)
            if h <= large:
                show(small, large, h, "greater", cross(small, large, h))


if __name__ == "__main__":
    main()

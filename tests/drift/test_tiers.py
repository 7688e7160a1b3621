"""Vector tiers: all give the same bits, and the environment variable that limits them."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tidewheel import drift

DEADLINE_S = 120
TIERS = ("portable", "avx2", "avx512")

#: Every kernel over awkward values and lengths. A tier is chosen once a process, so each tier runs in its own.
EVERYTHING = """
import numpy as np
import pyarrow as pa
from tidewheel import drift

rng = np.random.default_rng(3)

def awkward(values, edges=()):
    # NaN of both signs and odd payloads, both zeros, infinities, subnormals, and the neighbours of edges.
    nan = np.array([0x7FF8000000000001, 0xFFF0000000000BAD, 0x7FF0000000000001], dtype=np.uint64).view(np.float64)
    special = [*nan, 0.0, -0.0, np.inf, -np.inf, 5e-324, -5e-324, 2.2e-308, 1.7e308, -1.7e308]
    edges = np.asarray(edges)
    near = [edges, np.nextafter(edges, np.inf), np.nextafter(edges, -np.inf)]
    return rng.permutation(np.concatenate([values, special, *near]))

def show(*found):
    print(*(part.hex() if isinstance(part, float) else part for part in found))

def run(reference, current, bins):
    k, p = drift.ks(reference, current), drift.psi(reference, current, bins=bins)
    f = drift.ks(drift.fit_ks(reference), current)
    w = drift.wasserstein(current, reference)
    show(k.statistic, k.location, k.sign, k.beside, f.statistic, f.location)
    show(p.statistic, p.current_counts, p.beside, p.edges.tobytes().hex(), w.statistic)

for rows in (1, 7, 63, 64, 65, 2047, 2048, 2049, 20_001):
    z = rng.normal(size=rows)
    for values in (z, np.exp(3 * z), np.exp(40 * z), np.round(z, 1), z * 1e-310, z * 1e300):
        for bins in (10, 16, 40, 300):
            edges = np.linspace(-3.0, 3.0, bins + 1)
            current = awkward(values, edges)
            counts = drift.histogram(current, bins, (-3.0, 3.0))[0]
            finite = current[np.isfinite(current)]
            assert (counts == np.histogram(finite, bins, (-3.0, 3.0))[0]).all(), (rows, bins)
            show(counts.tolist())
        run(values, awkward(values), 25)
        # Infinities of one side alone and values of 1.7e308 hide what the kernels find of all others; here the last bits
        # of each offset show, since values are far from 0 and the distance is small.
        show(drift.wasserstein(values + 100, values + 100.02).statistic)
# So many that few bins are counted in pairs, and one pair so often that its counter would overflow.
for values in (rng.normal(size=70_001), np.full(300_001, 0.25)):
    for bins in (2, 17, 100, 126, 127, 128):
        current = awkward(values, np.linspace(-3.0, 3.0, bins + 1))
        counts = drift.histogram(current, bins, (-3.0, 3.0))[0]
        assert (counts == np.histogram(current[np.isfinite(current)], bins, (-3.0, 3.0))[0]).all(), bins
        show(counts.tolist())
z = rng.normal(size=20_001)
for dtype in (np.float16, np.float32, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64):
    current = np.abs(z * 30).astype(dtype)
    run((np.abs(z) * 25).astype(dtype), current, 20)
    show(drift.histogram(current, 50)[0].tolist())
masked = np.ma.masked_array(awkward(z), mask=rng.random(len(z) + 12) < 0.1)
run(z, masked, 30)
run(z, pa.chunked_array([z[:5], z[5:2100], z[2100:]]), 30)
"""


def run(code, **environment):
    environment = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=DEADLINE_S
    )


def output(code, **environment):
    done = run(code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


TIER = "from tidewheel import _native; print(_native.simd_tier())"


def test_tiers_give_the_same_bits():
    best = output(EVERYTHING, TIDEWHEEL_SIMD=None)
    assert best.count("\n") > 300
    # A processor that lacks a tier runs the next one down, which this then tests twice.
    for tier in TIERS:
        assert output(EVERYTHING, TIDEWHEEL_SIMD=tier) == best, tier


def test_a_named_tier_limits_and_does_not_demand():
    best = output(TIER, TIDEWHEEL_SIMD=None).strip()
    assert best in TIERS
    for tier in TIERS:
        used = output(TIER, TIDEWHEEL_SIMD=tier).strip()
        assert used == min(tier, best, key=TIERS.index)


@pytest.mark.parametrize("name", ["sse9", "AVX2", ""])
def test_an_unknown_tier_is_refused_at_import(name):
    done = run("from tidewheel import drift", TIDEWHEEL_SIMD=name)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    wanted = f'`TIDEWHEEL_SIMD` must be one of portable, avx2, avx512; got "{name}"'
    assert last == f"tidewheel.errors.InputError: {wanted}"


def test_the_package_says_what_the_variable_does():
    text = " ".join(drift.__doc__.split())
    assert (
        '`TIDEWHEEL_SIMD` names the widest vector instructions that may be used: "portable", "avx2" or "avx512"'
        in text
    )


@pytest.mark.parametrize("bins", [16, 17, 100, 1_000])
@pytest.mark.parametrize(
    ("low", "high"),
    [(-6.0, 6.0), (0.0, 0.1), (1e9, 1e9 + 1.0), (-1e-300, 1e-300), (0.0, 1e-310), (-1e308, 7e307)],
)
def test_even_bins_are_numpys_beside_every_edge(bins, low, high):
    edges = np.linspace(low, high, bins + 1)
    rng = np.random.default_rng(bins)
    inside = low + (high - low) * rng.random(4_096)
    values = np.concatenate([edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf), inside])
    # By given edges NumPy compares with them and computes nothing.
    assert (drift.histogram(values, bins, (low, high))[0] == np.histogram(values, edges)[0]).all()

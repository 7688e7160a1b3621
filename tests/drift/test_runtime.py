"""Threads, forks, the interpreter lock, vector tiers, imports."""

import ctypes
import multiprocessing
import os
import platform
import subprocess
import sys
import threading
import time
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from tidewheel import _native, drift
from tidewheel.drift.reading import inputs

DEADLINE_S = 60


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(7)
    return rng.normal(size=700_001), rng.normal(0.003, 1.01, 600_000)


def everything(reference, current, threads=None):
    table = {"x": current, "s": np.array(["a", "b", "c"])[(np.abs(current) % 3).astype(int)].astype(object)}
    result = drift.ks(reference, current, threads=threads)
    psi = drift.psi(reference, current, threads=threads, bins=40)
    counts, edges = drift.histogram(current, 200, threads=threads)
    wasserstein = drift.wasserstein(reference, current, threads=threads)
    (words,) = _native.compare_categories(
        [inputs.read_array("s", table["s"])] * 1, [inputs.read_array("s", table["s"])], 50, threads
    )
    return (
        result.statistic, result.pvalue, result.location, result.sign, psi.statistic, psi.pvalue, psi.edges.tobytes(),
        psi.current_counts, counts.tobytes(), edges.tobytes(), tuple(words.reference_counts), wasserstein.statistic,
    )  # fmt: skip


def test_results_do_not_depend_on_threads(samples):
    one = everything(*samples, threads=1)
    for threads in (2, 3, 8):
        assert everything(*samples, threads=threads) == one


def test_results_do_not_depend_on_chunks(samples):
    reference, current = samples
    cuts = [0, 1, 1, 300_007, 599_999, 600_000]
    chunks = pa.chunked_array([current[a:b] for a, b in pairwise(cuts)])
    whole, cut = drift.ks(reference, current), drift.ks(reference, chunks)
    assert (whole.statistic, whole.location, whole.sign) == (cut.statistic, cut.location, cut.sign)
    assert drift.psi(reference, current).current_counts == drift.psi(reference, chunks).current_counts


def test_order_of_rows_does_not_matter(samples):
    reference, current = samples
    shuffled = np.random.default_rng(1).permutation(current)
    one, other = drift.ks(reference, current), drift.ks(reference, shuffled)
    assert (one.statistic, one.location) == (other.statistic, other.location)


def run(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_interpreter_lock_is_released(samples):
    # While one thread is inside a long call, another must get on with Python code.
    reference = np.tile(samples[0], 12)
    inside, ticks = threading.Event(), 0

    def work():
        inside.set()
        drift.ks(reference, reference, threads=1)  # identical samples: the slowest case

    worker = threading.Thread(target=work)
    worker.start()
    assert inside.wait(DEADLINE_S)
    while worker.is_alive():
        ticks += 1
        time.sleep(0.001)
    worker.join()
    # Held, the lock would allow at most a tick before and a tick after the call.
    assert ticks > 10


@pytest.mark.parametrize("special_share", [0.2, 0.0])
def test_other_threads_may_write_meanwhile(samples, special_share):
    values = samples[0].copy()
    stop = threading.Event()

    def scribble():
        noise = np.random.default_rng(0)
        while not stop.is_set():
            start = int(noise.integers(0, len(values) - 1000))
            special = noise.choice([np.nan, np.inf, 1e308, 0.0, -1.0], 1000)
            # Ordinary values too, so that cells hold now more and now fewer rows than they were counted with; and those
            # alone, since infinities settle a Wasserstein distance before a second pass.
            ordinary = samples[1][int(noise.integers(0, len(samples[1]) - 1000)) :][:1000]
            values[start : start + 1000] = special if noise.random() < special_share else ordinary

    writer = threading.Thread(target=scribble)
    writer.start()
    try:
        for _ in range(20):
            assert 0 <= drift.ks(values, samples[1]).statistic <= 1
            assert drift.wasserstein(values, samples[1]).statistic >= 0
            assert sum(drift.psi(samples[1], values).current_counts) <= len(values)
            assert sum(drift.psi(values, samples[1]).reference_counts) <= len(values)
    finally:
        stop.set()
        writer.join()


def child(queue, samples):
    queue.put(everything(*samples, threads=2))


def test_works_in_a_forked_child(samples):
    before = everything(*samples, threads=2)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=child, args=(queue, samples))
    process.start()
    try:
        assert queue.get(timeout=DEADLINE_S) == before
    finally:
        process.join(DEADLINE_S)
        if process.is_alive():
            process.kill()
    assert process.exitcode == 0


def compare_in_a_child(queue, tables):
    queue.put([column.pvalue for column in drift.compare(*tables, threads=2)])


def test_chunks_of_polars_are_read_in_a_forked_child():
    """Polars aligns the chunks of a frame by threads, which a forked process does not have."""
    frame = pl.DataFrame({"x": np.arange(900.0), "word": ["a", None, "b"] * 300})
    chunks = pl.concat([frame[:9], frame[9:]], rechunk=False)
    chunks.lazy().select(pl.col("x").sum()).collect()  # its threads are there
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=compare_in_a_child, args=(queue, [chunks, chunks]))
    process.start()
    try:
        found = queue.get(timeout=DEADLINE_S)
    finally:
        process.join(5)
        if process.is_alive():
            process.kill()
    assert found == [column.pvalue for column in drift.compare(frame, frame)]


ALONE = """
import sys
class NumpyAlone:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in {"numpy", "tidewheel"}:
            raise ImportError(f"{name} is not in the base install")
sys.meta_path.insert(0, NumpyAlone())
from tidewheel import drift
report = drift.compare({"x": [1.0, 2.0], "s": ["a", "b"]}, {"x": [1.0, 2.0], "s": ["a", "b"]})
assert drift.ks([1.0], [2.0]).statistic == 1.0
print(report.summary())
"""


def test_numpy_alone_is_enough():
    assert "0 of 2 columns drifted" in run(ALONE)


def test_import_brings_no_table_library():
    # A name's module is imported when the name is asked for.
    code = """
import sys
from tidewheel.drift import *
print({"polars", "pandas", "pyarrow", "scipy"} & set(sys.modules))
"""
    assert run(code).strip() == "set()"


def test_interpreter_lock_is_released_while_a_window_counts(samples):
    profile = drift.Profile.fit({"x": samples[0]})
    inside, ticks = threading.Event(), 0
    batch = {"x": np.tile(samples[1], 20)}

    def work():
        inside.set()
        for _ in range(10):
            profile.window().update(batch, threads=1)

    worker = threading.Thread(target=work)
    worker.start()
    assert inside.wait(DEADLINE_S)
    while worker.is_alive():
        ticks += 1
        time.sleep(0.001)
    worker.join()
    # Held, the lock would allow about a tick between two calls.
    assert ticks > 40


FAULTS = """
import resource
import numpy as np
from tidewheel import drift
rng = np.random.default_rng(1)
samples = rng.normal(size=1_000_000), rng.normal(0.02, 1, 1_000_000)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for call in (drift.psi, drift.ks, drift.wasserstein):
    for _ in range(3):
        call(*samples, threads=1)
    before = faults()
    for _ in range(20):
        call(*samples, threads=1)
    print((faults() - before) // 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries decide by themselves")
def test_memory_stays_from_call_to_call():
    # A call takes a megabyte or two; given back each time, it comes again in hundreds of faults.
    assert all(int(per_call) < 50 for per_call in run(FAULTS).split())
    # What the user has settled stays so.
    given_back = run(FAULTS, MALLOC_TRIM_THRESHOLD_="131072").split()
    assert max(map(int, given_back)) > 100


MAPPED = """
import ctypes
import numpy

class Memory(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype, libc.malloc.restype, libc.malloc.argtypes = Memory, ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def is_mapped():
    before = libc.mallinfo2().hblks
    block = libc.malloc(6 << 20)
    mapped = libc.mallinfo2().hblks > before
    libc.free(block) if not mapped else None
    return mapped

before = is_mapped()
from tidewheel import drift
names = [getattr(drift, name) for name in drift.__all__]
print(before, is_mapped())
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="asks glibc (2.33 or newer) how it takes memory",
)
def test_import_leaves_the_allocator_alone():
    # From which size on a block is mapped by itself is the program's to settle until it calls something.
    assert run(MAPPED).split() == ["True", "True"]

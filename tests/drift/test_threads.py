"""Many threads over the same objects, and forks amid calls: no hang, and what one thread alone would give."""

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewheel import _native, drift
from tidewheel.drift import Window
from tidewheel.drift.reading import inputs

DEADLINE_S = 120
THREADS, ROUNDS = 8, 4


def table(seed, rows=4_000, shift=0.0):
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "x": rng.normal(shift, 1, rows),
            "k": rng.integers(0, 9, rows),
            "s": rng.choice(["a", "b", "long enough to lie outside"], rows),
            "gaps": pl.Series([None if u < 0.2 else u for u in rng.random(rows)]),
        }
    )


def at_once(work):
    """Let all threads begin together, each doing the same several times; return what each got."""
    ready = threading.Barrier(THREADS)

    def run(index):
        ready.wait(DEADLINE_S)
        return [work(index) for _ in range(ROUNDS)]

    with ThreadPoolExecutor(THREADS) as pool:
        return [result for results in pool.map(run, range(THREADS), timeout=DEADLINE_S) for result in results]


@pytest.fixture(scope="module")
def objects():
    """Give what threads may share: a profile, a window with rows, a column, bins, a report, the raw tables."""
    reference, current = table(0), table(1, shift=0.3)
    profile = drift.Profile.fit(reference)
    window = profile.window()
    window.update(current)
    return {
        "reference": reference,
        "current": current,
        "profile": profile,
        "window": window,
        "column": inputs.read_array("x", current["x"]),
        "bins": drift.fit_bins(reference["x"]),
        "report": drift.compare(reference, current),
    }


CALLS = {
    "compare tables": lambda o: drift.compare(o["reference"], o["current"], threads=2).to_json(),
    "compare a window": lambda o: o["profile"].compare(o["window"]).to_json(),
    "compare with a profile": lambda o: o["profile"].compare(o["current"]).to_json(),
    "fit a profile": lambda o: drift.Profile.fit(o["reference"]).id,
    "bytes of a window": lambda o: o["window"].to_bytes(),
    "read a window": lambda o: Window.from_bytes(o["profile"], o["window"].to_bytes()).n_rows,
    "count a column": lambda o: _native.find_range(o["column"])[0],
    "bins": lambda o: drift.psi(o["bins"], o["current"]["x"]).statistic,
    "page of a report": lambda o: o["report"].to_html(),
    "samples": lambda o: drift.ks(o["reference"]["x"], o["current"]["x"]).pvalue,
    "law of small samples": lambda o: drift.psi([1.0, 2.0, 3.0] * 9, [2.0, 3.0] * 9).pvalue,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_threads_share_objects(objects, call):
    alone = call(objects)
    assert at_once(lambda _: call(objects)) == [alone] * (THREADS * ROUNDS)


def test_threads_fill_and_merge_windows_at_once(objects):
    profile, batch = objects["profile"], objects["current"]
    total = profile.window()

    def work(index):
        if index % 2:
            total.update(batch)
        else:
            part = profile.window()
            part.update(batch)
            total.merge(part)

    at_once(work)
    alone = profile.window()
    for _ in range(THREADS * ROUNDS):
        alone.update(batch)
    assert total == alone


def test_windows_merged_into_each_other_do_not_lock_up(objects):
    profile = objects["profile"]
    one, two = profile.window(), profile.window()
    at_once(lambda index: one.merge(two) if index % 2 else two.merge(one))
    assert one.n_rows == two.n_rows == 0


def child(queue, objects):
    queue.put([call(objects) for call in CALLS.values()])


def test_a_fork_amid_calls_of_other_threads(objects):
    # Threads of the parent are inside the extension while the child is made; in the child they are gone.
    values = np.random.default_rng(2).normal(size=600_000)
    stop = threading.Event()

    def keep_busy():
        while not stop.is_set():
            drift.ks(values, values, threads=2)

    busy = [threading.Thread(target=keep_busy) for _ in range(3)]
    for thread in busy:
        thread.start()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=child, args=(queue, objects)) for _ in range(3)]
    try:
        for process in processes:
            process.start()
        found = [queue.get(timeout=DEADLINE_S) for _ in processes]
    finally:
        stop.set()
        for thread in busy:
            thread.join()
        for process in processes:
            process.join(DEADLINE_S)
            if process.is_alive():
                process.kill()
    assert found == [[call(objects) for call in CALLS.values()]] * len(processes)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def grandchild(queue, objects):
    queue.put(CALLS["samples"](objects))


def child_that_forks(context, queue, objects):
    process = context.Process(target=grandchild, args=(queue, objects))
    process.start()
    process.join(DEADLINE_S)


def test_a_child_of_a_child_works(objects):
    # As a web server forks workers that fork again.
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=child_that_forks, args=(context, queue, objects))
    process.start()
    try:
        assert queue.get(timeout=DEADLINE_S) == CALLS["samples"](objects)
    finally:
        process.join(DEADLINE_S)
        if process.is_alive():
            process.kill()


@pytest.fixture(scope="module")
def large():
    """Give so many rows that a call cuts them into tasks of its own and shares them among threads."""
    reference, current = table(3, 700_000), table(4, 600_000, shift=0.01)
    profile = drift.Profile.fit(reference)
    whole = profile.window()
    whole.update(current, threads=1)
    return profile, current, whole


@settings(max_examples=12)
@given(st.data())
def test_any_split_order_and_number_of_threads(large, data):
    profile, current, whole = large
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, len(current)), max_size=3))), len(current)]
    parts = []
    for start, end in data.draw(st.permutations(list(pairwise(cuts)))):
        part = profile.window()
        part.update(current[start:end], threads=data.draw(st.sampled_from([1, 2, 3, 8])))
        parts.append(part)
    merged = profile.window()
    for part in data.draw(st.permutations(parts)):
        merged.merge(part)
    assert merged.to_bytes() == whole.to_bytes()
    assert profile.compare(merged) == profile.compare(whole)

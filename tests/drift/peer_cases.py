"""Samples on which other tools were asked for their numbers (`golden/*.json`), the same bits wherever they are made.

`benches/peers/make_golden.py` runs this file under the other tools' own NumPy, so nothing here may depend on its version:
draws are 31-bit integers of the frozen legacy generator, and all that follows is exact.
"""

import numpy as np

SCALE = 2.0**30


def bell(seed, n, shift=0.0, width=1.0):
    """Values near a normal law: four even draws, summed as integers; about mean 0 and deviation 1."""
    draws = np.random.RandomState(seed).randint(0, 2**31, size=(n, 4), dtype=np.int64).sum(axis=1)
    return (draws / SCALE - 4.0) * (0.875 * width) + shift


def whole(seed, n, low, high):
    return np.random.RandomState(seed).randint(low, high, size=n, dtype=np.int64)


def words(seed, n, names, cut):
    """Words by even draws below `cut`; draws beyond the names take the first."""
    drawn = whole(seed, n, 0, cut)
    return np.array([names[i] if i < len(names) else names[0] for i in drawn.tolist()], dtype=object)


def gaps(values, every, missing):
    """Every so many values missing."""
    with_gaps = values.copy()
    with_gaps[::every] = missing
    return with_gaps


def one_far(values, far):
    changed = values.copy()
    changed[7] = far
    return changed


LETTERS = list("abcdefgh")

CASES = {
    "floats, 600 rows": lambda: (bell(1, 600), bell(2, 500, 0.125)),
    "floats, 1,000 rows": lambda: (bell(3, 1_000), bell(4, 1_000)),
    "floats, 1,001 rows": lambda: (bell(3, 1_001), bell(4, 1_000)),
    "floats, 4,003 rows": lambda: (bell(5, 4_003), bell(6, 3_000, 0.25, 1.25)),
    "floats, 9,999 rows": lambda: (bell(5, 9_999), bell(6, 3_000, 0.0625)),
    "floats, 10,000 rows": lambda: (bell(5, 10_000), bell(6, 3_000, 0.0625)),
    "floats, 20,000 rows": lambda: (bell(7, 20_000), bell(8, 12_000, 0.5, 2.0)),
    "floats, the same": lambda: (bell(7, 3_000), bell(7, 3_000)),
    "floats shifted by 1, one current value far out": lambda: (
        bell(9, 20_000),
        one_far(bell(10, 20_000, 1.0), 1e4),
    ),
    "floats shifted by 1, one reference value far out": lambda: (
        one_far(bell(9, 20_000), 1e6),
        bell(10, 20_000, 1.0),
    ),
    "floats beyond the reference on both sides": lambda: (bell(11, 12_000), bell(12, 5_000, 0.0, 2.0)),
    "floats far below the reference": lambda: (bell(11, 12_000), bell(12, 5_000, -9.0)),
    "float32": lambda: (bell(13, 2_000).astype(np.float32), bell(14, 2_000, 0.25).astype(np.float32)),
    "ties": lambda: (np.round(bell(15, 800) * 4) / 4, np.round(bell(16, 900, 0.25) * 4) / 4),
    "ties, 15,000 rows": lambda: (
        np.round(bell(15, 15_000) * 4) / 4,
        np.round(bell(16, 9_000, 0.25) * 4) / 4,
    ),
    "floats of 3 values, 500 rows": lambda: (whole(17, 500, 0, 3) / 2, whole(18, 500, 0, 3) / 2),
    "floats of 2 values, 500 rows": lambda: (whole(17, 500, 0, 2) / 2, whole(18, 400, 0, 2) / 2),
    "floats of 3 values, 5,000 rows": lambda: (whole(17, 5_000, 0, 3) / 2, whole(18, 5_000, 0, 3) / 2),
    "floats of 6 values, 500 rows": lambda: (whole(17, 500, 0, 6) / 2, whole(18, 500, 1, 6) / 2),
    "integers, 2,000 rows": lambda: (whole(19, 2_000, 0, 1_000), whole(20, 2_000, 50, 1_050)),
    "integers, 700 rows": lambda: (whole(19, 700, 0, 40), whole(20, 600, 0, 44)),
    "integers, 12,000 rows of 30 values": lambda: (whole(19, 12_000, 0, 30), whole(20, 9_000, 2, 30)),
    "integers of 10 values": lambda: (whole(21, 3_000, 0, 10), whole(22, 2_000, 0, 10)),
    "integers of 11 values": lambda: (whole(21, 3_000, 0, 11), whole(22, 2_000, 0, 11)),
    "integers of 4 values, 800 rows": lambda: (whole(21, 800, 0, 4), whole(22, 800, 0, 4)),
    "integers of one byte without sign": lambda: (
        whole(21, 2_000, 0, 200).astype(np.uint8),
        whole(22, 2_000, 10, 210).astype(np.uint8),
    ),
    "categories, 800 rows": lambda: (words(23, 800, LETTERS, 8), words(24, 700, LETTERS, 9)),
    "categories, 3,000 rows": lambda: (words(23, 3_000, LETTERS, 8), words(24, 2_500, LETTERS, 10)),
    "two categories, 800 rows": lambda: (words(25, 800, ["no", "yes"], 4), words(26, 700, ["no", "yes"], 3)),
    "two categories, 3,000 rows": lambda: (
        words(25, 3_000, ["no", "yes"], 4),
        words(26, 2_000, ["no", "yes"], 3),
    ),
    "one unseen category of one row, 900 rows": lambda: (
        words(27, 900, LETTERS[:4], 4),
        one_far(words(28, 900, LETTERS[:4], 4), "new"),
    ),
    "unseen categories, 3,000 rows": lambda: (words(27, 3_000, LETTERS[:4], 4), words(28, 3_000, LETTERS, 8)),
    "a category that vanished, 900 rows": lambda: (
        words(27, 900, LETTERS[:5], 5),
        words(28, 900, LETTERS[:4], 4),
    ),
    "names that hardly repeat": lambda: (
        np.array([f"id{i}" for i in whole(29, 2_000, 0, 4_000).tolist()], dtype=object),
        np.array([f"id{i}" for i in whole(30, 2_000, 0, 4_000).tolist()], dtype=object),
    ),
    "booleans, 800 rows": lambda: (whole(31, 800, 0, 3) == 0, whole(32, 800, 0, 3) == 0),
    "booleans, 3,000 rows": lambda: (whole(31, 3_000, 0, 3) == 0, whole(32, 3_000, 0, 2) == 0),
    "a constant, 500 rows": lambda: (np.full(500, 2.5), np.full(400, 2.5)),
    "a constant, 5,000 rows": lambda: (np.full(5_000, 2.5), np.full(4_000, 2.5)),
    "a constant that moved, 500 rows": lambda: (np.full(500, 2.5), np.full(400, 3.5)),
    "a constant that moved, 5,000 rows": lambda: (np.full(5_000, 2.5), np.full(4_000, 3.5)),
    "one category, 500 rows": lambda: (words(33, 500, ["a"], 1), words(33, 500, ["a"], 1)),
    "one category that became another, 500 rows": lambda: (
        words(33, 500, ["a"], 1),
        words(33, 500, ["b"], 1),
    ),
    "floats with missing values": lambda: (
        gaps(bell(34, 2_000), 10, np.nan),
        gaps(bell(35, 2_000, 0.125), 3, np.nan),
    ),
    "1,100 rows, of which 990 have values": lambda: (
        gaps(bell(34, 1_100), 10, np.nan),
        bell(35, 1_000, 0.125),
    ),
    "categories with missing values": lambda: (
        gaps(words(36, 2_000, LETTERS, 8), 10, None),
        gaps(words(37, 2_000, LETTERS, 8), 3, None),
    ),
    "no current value": lambda: (bell(38, 2_000), np.full(2_000, np.nan)),
    "no reference value": lambda: (np.full(2_000, np.nan), bell(38, 2_000)),
    "no current category": lambda: (words(36, 2_000, LETTERS, 8), np.full(2_000, None, dtype=object)),
    "infinite reference values": lambda: (gaps(bell(39, 2_000), 50, np.inf), bell(40, 2_000)),
    "infinite current values": lambda: (bell(39, 2_000), gaps(bell(40, 2_000), 50, np.inf)),
    "three rows": lambda: (bell(41, 3), bell(42, 3)),
    "times": lambda: (
        whole(43, 2_000, 0, 10**9).astype("datetime64[s]"),
        whole(44, 2_000, 10**8, 10**9).astype("datetime64[s]"),
    ),
}


#: Ten even bins of 100 reference rows; the current sample has nothing in the fourth, 111 or 112 rows in the others.
EMPTY_BIN = (
    np.arange(1_000) / 100,
    np.delete(np.arange(1_000), slice(300, 400)) / 100,
)
#: The same shares in five bins, 1,000 rows and 2,000.
SAME_SHARES = (np.arange(1_000) % 5 + 0.5, np.arange(2_000) % 5 + 0.5)


def undrifted(index, n):
    """Two samples of one law."""
    return bell(1_000 + 2 * index, n), bell(1_001 + 2 * index, n)

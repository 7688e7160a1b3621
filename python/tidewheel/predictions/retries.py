"""Count an answered row once, however often a caller sent it.

A caller whose answer failed or got lost sends the request again under the same `request_id`. The log keeps every send;
whoever judges by the log takes them for one. What they are is one answered row, (request_id, row), among rows that are
judged together:

| judged | one answered row is | of these rows |
|---|---|---|
| guards of a canary (`rollout.outcomes`, `guards.decide_arm_quality`) | (arm, request_id, row) | one rollout's generations |
| pairs (`rollout.shadow`, `guards.decide_quality`) | (champion, candidate, request_id, row) | those given |
| windows of monitoring (`lifecycle.watch`) | (request_id, row) | the whole log |

An arm counts what was sent to it: a retry that another key or a new plan took to the other arm counts there, too, and one
that stayed in its arm counts once, with the key of its first send. Another rollout asks another question of the same row,
and its generations keep it apart. Monitoring looks at what was asked, whoever answered: a row that two rollouts replayed
has one set of inputs and one label.
"""

from collections.abc import Sequence

import polars as pl

IDENTITY = ("request_id", "row")
"""Columns that name an answered row; a frame without `row` has one row for each request."""

PAIR_WITHIN = ("champion", "candidate")
"""Pairs of other models compare other models."""

_SCORES = ("score", "score_champion", "score_candidate")
_TIMES = ("wall_utc", "at_utc")


def keep_worst(rows: pl.DataFrame, within: Sequence[str] = ()) -> pl.DataFrame:
    """Keep of each answered row the send with the worst outcome.

    Bad is a send with an error, or without a finite score of a model that was asked. Of the sends of one row the first bad
    one is kept, or the first if none is bad; first by wall_utc (at_utc where that is missing), then in the order of `rows`.

    Args:
        rows: Predictions or pairs; of their columns request_id, row, error, the scores and the times count, as far as they
            are there. Without request_id every row is a send of its own.
        within: Further columns; each combination of their values is counted apart, as far as they are there.

    Returns:
        The rows that are kept, unchanged and in the order of `rows`; `rows` itself where nothing was sent twice.

    Cost: O(n log n).

    Example:
        >>> sent = pl.DataFrame({"request_id": ["a", "b", "a"], "row": [0, 0, 0], "error": [None, None, "timeout"]})
        >>> keep_worst(sent)["error"].to_list()
        [None, 'timeout']
    """
    if "request_id" not in rows.columns:
        return rows
    identity = [name for name in (*within, *IDENTITY) if name in rows.columns]
    if not rows.select(pl.struct(identity).is_duplicated().any()).item():
        return rows
    times = [name for name in _TIMES if name in rows.columns][:1]
    kept = (
        rows.lazy()
        .select(
            *identity,
            is_good=~_is_bad(rows),
            time=pl.col(*times) if times else pl.lit(0),
            at=pl.int_range(pl.len()),
        )
        .sort("is_good", "time", "at")
        .unique(identity, keep="first", maintain_order=True)
        .sort("at")
        .collect()
    )
    return rows[kept["at"]]


def merge_sends(sends: pl.LazyFrame, flags: Sequence[str], within: Sequence[str] = ()) -> pl.LazyFrame:
    """Merge the sends of each answered row into its first one, which gets each flag that any of them had.

    Args:
        sends: In the order in which they arrived, with request_id and, where requests have several rows, row.
        flags: Boolean columns, true for what is bad or known.
        within: Further columns; each combination of their values is counted apart.

    Returns:
        One row for each answered row, in the order of their first sends, with the columns of `sends`.
    """
    columns = sends.collect_schema().names()
    identity = [name for name in (*within, *IDENTITY) if name in columns]
    others = [name for name in columns if name not in identity]
    merged = [pl.col(name).any() if name in flags else pl.col(name).first() for name in others]
    return sends.group_by(identity, maintain_order=True).agg(merged)


def _is_bad(rows: pl.DataFrame) -> pl.Expr:
    scores = [
        ~pl.col(name).cast(pl.Float64).is_finite().fill_null(False)
        for name in _SCORES
        if name in rows.columns
    ]
    errors = [pl.col("error").is_not_null()] if "error" in rows.columns else []
    return pl.any_horizontal(pl.lit(False), *errors, *scores)

"""What is known of one column: the records that a report holds, in plain data.

`table` makes them, `report` gathers them, `page` and `junit` show them. Nothing here computes.
"""

from dataclasses import dataclass
from typing import Literal

from tidewheel.drift.statistics.results import describe

Verdict = Literal["drifted", "schema", "stable", "undecided", "not computed"]


@dataclass(frozen=True, slots=True)
class Effect:
    """How large a difference is, with its confidence bounds at level 1 - alpha.

    Attributes:
        name: What is measured.
        value: The estimate.
        lower: Lower bound.
        upper: Upper bound.
        threshold: From here on a difference matters.
    """

    name: str
    value: float
    lower: float
    upper: float
    threshold: float


@dataclass(frozen=True, slots=True)
class PartDrift:
    """One test inside a column.

    Attributes:
        name: "values", "tail" (all names of an open vocabulary), "missing", "nan", "infinite" or "unseen".
        test: The test.
        statistic: Its statistic.
        pvalue: Its p-value, uncorrected.
        effect: The effect with its bounds.
    """

    name: str
    test: str
    statistic: float
    pvalue: float
    effect: Effect


@dataclass(frozen=True, slots=True, repr=False)
class Shape:
    """Counts of both samples, to be looked at: on even bins for numbers and times, by name for categories.

    Where even bins lie is chosen from up to 512 rows a side, without long tails; the counts
    are of all rows (of large columns, a value within a hundredth of a bin of an edge may count beside it; against a profile,
    rows are spread evenly inside its blocks). No verdict comes from them.

    Attributes:
        reference_counts: Reference rows. Numbers: below the first bin, in each bin, above the last. Categories: per name,
            then all other names together.
        current_counts: The same of the current sample.
        names: The reference's most frequent names, most frequent first, then others that the current sample has often; empty
            for numbers.
        low: Left edge of the first bin; None for categories.
        width: Width of each bin; None for categories.
        dtype: Type of the column, such as "float64" or "datetime[us]"; ends of times count its units since 1970.
    """

    reference_counts: tuple[int, ...]
    current_counts: tuple[int, ...]
    names: tuple[str, ...]
    low: float | None
    width: float | None
    dtype: str

    __repr__ = describe


@dataclass(frozen=True, slots=True)
class PeerDrift:
    """What another tool's rule says of the column, by that tool's conventions; our verdict is not touched by it.

    Attributes:
        tool: "evidently" or "nannyml".
        version: The version whose numbers these are.
        method: The method by that tool's name; empty where it has none for the column.
        score: What it holds against its threshold: a statistic or a p-value; None if the tool has no number either.
        threshold: Its threshold; None without a score, and where the tool alarms by a p-value that it does not show.
        drifted: Whether the tool calls the column drifted; None without a score.
        note: What the score is, or why there is none.
    """

    tool: str
    version: str
    method: str
    score: float | None
    threshold: float | None
    drifted: bool | None
    note: str

    @property
    def sentence(self) -> str:
        """One sentence."""
        who = f"{self.tool} {self.version}"
        if self.score is None:
            return f"{who} has no verdict: {self.note}."
        against = "" if self.threshold is None else f" against a threshold of {self.threshold:.4g}"
        verdict = "drifted" if self.drifted else "not drifted"
        return f"{who} calls it {verdict}: {self.method} {self.score:.4g}{against} ({self.note})."


@dataclass(frozen=True, slots=True, repr=False)
class ColumnDrift:
    """What is known of one column; its repr is one line, `to_dict` of the report and the attributes have all of it.

    Attributes:
        name: Its name.
        kind: "numeric", "temporal" or "categorical"; the type's name where nothing was computed.
        verdict: "drifted", "schema" (one side lacks the column, or has it in another type), "stable", "undecided" or "not
            computed".
        reason: One sentence why.
        statistics: Statistics by name ("ks", "psi", ...), for information; one of them decides.
        pvalue: The least p-value of the parts times their number; None if not computed.
        pvalue_corrected: The same, corrected over the columns of the report.
        effect: The effect of the part that decides; None if not computed.
        parts: The tests inside the column.
        n_reference: Rows of the reference.
        n_current: Rows of the current sample.
        missing_reference: Share of missing rows in the reference, in [0, 1].
        missing_current: Share of missing rows in the current sample.
        nan_reference: Share of NaN rows.
        nan_current: Share of NaN rows.
        unseen: Share of current rows whose string the reference never has; 0 for numbers.
        design_effect: How many times fewer current rows count for, because they come in units; 1 for independent rows.
        infinite_reference: Share of infinite rows.
        infinite_current: Share of infinite rows.
        shape: Counts of both samples for a picture; None if there are none.
        peer: What another tool says, if `compat` named one.
    """

    name: str
    kind: str
    verdict: Verdict
    reason: str
    statistics: dict[str, float]
    pvalue: float | None
    pvalue_corrected: float | None
    effect: Effect | None
    parts: tuple[PartDrift, ...]
    n_reference: int
    n_current: int
    missing_reference: float
    missing_current: float
    nan_reference: float
    nan_current: float
    unseen: float
    design_effect: float
    infinite_reference: float = 0.0
    infinite_current: float = 0.0
    shape: Shape | None = None
    peer: PeerDrift | None = None

    def __repr__(self) -> str:
        told = [f"{self.name!r}", self.kind, self.verdict]
        if self.effect is not None:
            told.append(
                f"{self.effect.name} {self.effect.value:.3g} ({self.effect.lower:.3g} to {self.effect.upper:.3g})"
            )
        if self.pvalue_corrected is not None:
            told.append(f"p {self.pvalue_corrected:.2g}")
        return f"ColumnDrift({', '.join(told)})"

    @property
    def sentence(self) -> str:
        """One sentence: the reason with number and bound, the rows behind it, and from which threshold it would flip.

        An undecided column's reason already says how many times as many rows would decide.
        """
        rows = f"{self.n_reference:,} reference rows, {self.n_current:,} current"
        effect, flips = self.effect, ""
        if effect is not None and self.verdict == "drifted":
            also = [p.name for p in self.parts if p.effect != effect and p.effect.lower > p.effect.threshold]
            flips = f"; a threshold of {effect.lower:.3g} or more would leave it undecided"
            flips = f"; also beyond its threshold: {', '.join(also)}" if also else flips
        elif effect is not None and self.verdict == "stable":
            flips = f"; a threshold of {effect.upper:.3g} or less would no longer let it pass"
        return f"{self.reason[:1].upper()}{self.reason[1:]} ({rows}){flips}."

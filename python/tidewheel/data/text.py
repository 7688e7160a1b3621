"""Types of columns of text, such as those of a CSV: decided from all rows, whatever files they come from and in what order.

A column has a type if every value of it is of that type, marks of missing values aside; else it stays text. Nothing is
guessed from some rows: a look at the first ones only spares work on types that a single one of them rules out.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

#: Words for a missing value among numbers, times and booleans, in lower case. Among names they are names: "NA" is Namibia.
MARKS = (
    "", "-", "--", ".", "?", "null", "nil", "none", "na", "n/a", "nan", "#n/a", "<na>", "\\n", "-nan", "#na", "nat",
)  # fmt: skip
#: Rows looked at before whole columns are.
LOOKED_AT = 256

_GROUPED = r"^[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?$|^[+-]?\d{1,3}(?:[ '\u00a0\u202f]\d{3})+(?:\.\d+)?$"
_PLAIN = r"^[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$"
_COMMA = r"^[+-]?(?:\d+|\d{1,3}(?:[. '\u00a0\u202f]\d{3})+)(?:,\d+)?$"
_CODE = r"^0\d"
_ISO_ZONE = r"(?:Z|[+-]\d{2}:?\d{2})$"


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How text is to be read.

    Attributes:
        null_values: Further words for a missing value, in every column, as they are written.
        decimal_comma: Read "1.234,5" as a number and "1.234" as one thousand and more.
    """

    null_values: tuple[str, ...] = ()
    decimal_comma: bool = False


def _always(text: pl.Expr) -> pl.Expr:
    return pl.lit(True)


@dataclass(frozen=True, slots=True)
class _Type:
    """A type that text may have.

    Attributes:
        like: What every value of it looks like; so may others. It only spares reading.
        read: How it is read, with null where a value is none of it.
        holds: What else must hold of all values.
    """

    like: str
    read: Callable[[pl.Expr], pl.Expr]
    holds: Callable[[pl.Expr], pl.Expr] = _always


def _number(dtype: type[pl.DataType]) -> Callable[[pl.Expr], pl.Expr]:
    return lambda text: text.cast(dtype, strict=False)


def _float(text: pl.Expr) -> pl.Expr:
    # "NaN" in a text is a mark of a missing value.
    return text.cast(pl.Float64, strict=False).fill_nan(None)


def _boolean(text: pl.Expr) -> pl.Expr:
    word = text.str.to_lowercase()
    return pl.when(word == "true").then(True).when(word == "false").then(False)


def _grouped(text: pl.Expr) -> pl.Expr:
    plain = text.str.replace_all(r"[, '\u00a0\u202f]", "").cast(pl.Float64, strict=False)
    return pl.when(text.str.contains(_GROUPED) | text.str.contains(_PLAIN)).then(plain)


def _comma(text: pl.Expr) -> pl.Expr:
    plain = text.str.replace_all(r"[. '\u00a0\u202f]", "").str.replace(",", ".", literal=True)
    return pl.when(text.str.contains(_COMMA)).then(plain.cast(pl.Float64, strict=False))


def _is_grouped(text: pl.Expr) -> pl.Expr:
    """Say whether commas stand between thousands: "1,234" alone could be a number with three decimals."""
    commas = text.str.count_matches(",", literal=True)
    sure = (commas == 0) | (commas > 1) | text.str.contains(".", literal=True)
    return sure.any() & text.str.contains(r"\d[, '\u00a0\u202f]\d").any() & _is_not_code(text)


def _is_comma(text: pl.Expr) -> pl.Expr:
    """Say whether commas stand before decimals: one stands where it cannot be between thousands."""
    return (text.str.contains(",", literal=True) & ~text.str.contains(_GROUPED)).any() & _is_not_code(text)


def _time(form: str) -> Callable[[pl.Expr], pl.Expr]:
    return lambda text: text.str.to_datetime(form, time_unit="us", strict=False, exact=True)


def _iso(separator: str) -> Callable[[pl.Expr], pl.Expr]:
    def read(text: pl.Expr) -> pl.Expr:
        seconds = _time(f"%Y-%m-%d{separator}%H:%M:%S%.f")(text)
        minutes = _time(f"%Y-%m-%d{separator}%H:%M")(text)
        # pandas writes the midnights of a column of midnights as dates.
        days = _time("%Y-%m-%d %H:%M")(text + " 00:00")
        return pl.coalesce(seconds, minutes, days)

    return read


def _aware(separator: str) -> Callable[[pl.Expr], pl.Expr]:
    return lambda text: pl.when(text.str.contains(_ISO_ZONE)).then(
        text.str.to_datetime(f"%Y-%m-%d{separator}%H:%M:%S%.f%#z", time_unit="us", strict=False)
    )


def _date(form: str) -> Callable[[pl.Expr], pl.Expr]:
    return lambda text: text.str.to_date(form, strict=False, exact=True)


def _clock(text: pl.Expr) -> pl.Expr:
    return pl.coalesce(text.str.to_time("%H:%M:%S%.f", strict=False), text.str.to_time("%H:%M", strict=False))


def _is_not_code(text: pl.Expr) -> pl.Expr:
    # "007" is a code: as a number it would be 7. Few values begin with a zero, and only these are looked at closely.
    zeros = text.filter(text.str.starts_with("0") & (text.str.len_bytes() > 1))
    return ~zeros.str.contains(_CODE).any()


def _is_float(text: pl.Expr) -> pl.Expr:
    # An id of twenty digits and more is a name: as a float it would be that of its neighbours.
    long = text.filter(text.str.len_bytes() > 19)
    return _is_not_code(text) & ~long.str.contains(r"^[+-]?\d+$").any()


def _is_not_time(form: str) -> Callable[[pl.Expr], pl.Expr]:
    """Make the condition that times are not all of another form too: 03/04/2024 alone can be in March or in April."""
    return lambda text: text.str.to_datetime(form, strict=False).is_null().any()


def _is_not_date(form: str) -> Callable[[pl.Expr], pl.Expr]:
    return lambda text: text.str.to_date(form, strict=False).is_null().any()


def _orders() -> list[_Type]:
    found = []
    for sign in "/-":
        for clock in ("", " %H:%M", " %H:%M:%S"):
            like = rf"\d+{sign}\d+{sign}\d{{4}}" + (r"\s.+" if clock else "")
            read, differs = (_time, _is_not_time) if clock else (_date, _is_not_date)
            forms = f"%d{sign}%m{sign}%Y{clock}", f"%m{sign}%d{sign}%Y{clock}"
            found += [_Type(like, read(form), differs(other)) for form, other in (forms, forms[::-1])]
    return found


_ISO = r"[+-]?\d+-\d+-\d+"
_CLOCKED = r"[T\s].*\d:\d.*"
_ANY_NUMBER = r"[-+\d,.\s'\u00a0\u202feE]+"
#: Dates and times, the plainer first.
_TIMES = (
    _Type(_ISO, _date("%Y-%m-%d")),
    _Type(r"\d+/\d+/\d+", _date("%Y/%m/%d")),
    _Type(r"\d+\.\d+\.\d+", _date("%d.%m.%Y")),
    # Without fractions of a second polars reads six times as fast.
    _Type(_ISO + _CLOCKED, _time("%Y-%m-%d %H:%M:%S")),
    _Type(_ISO + _CLOCKED, _time("%Y-%m-%dT%H:%M:%S")),
    _Type(_ISO + _CLOCKED, _time("%Y-%m-%d %H:%M:%S%.f")),
    _Type(_ISO + _CLOCKED, _time("%Y-%m-%dT%H:%M:%S%.f")),
    _Type(_ISO + f"({_CLOCKED})?", _iso(" ")),
    _Type(_ISO + f"({_CLOCKED})?", _iso("T")),
    _Type(_ISO + _CLOCKED, _aware("T")),
    _Type(_ISO + _CLOCKED, _aware(" ")),
    _Type(r"\d+\.\d+\.\d+\s.+", _time("%d.%m.%Y %H:%M")),
    _Type(r"\d+\.\d+\.\d+\s.+", _time("%d.%m.%Y %H:%M:%S")),
    _Type(r"\d+/\d+/\d+\s.+", _time("%Y/%m/%d %H:%M:%S")),
    *_orders(),
    _Type(r"\d+:\d+.*", _clock),
)
_BOOLEAN = _Type(r"(?i:true|false)", _boolean)
_WHOLE = _Type(r"[+-]?\d+", _number(pl.Int64), _is_not_code)
_LARGE = _Type(r"[+-]?\d+", _number(pl.UInt64), _is_not_code)
_FLOAT = _Type(r"[-+\d.eE]+|(?i:[+-]?(inf|infinity|nan))", _float, _is_float)
#: What readers of files parse by themselves.
_PARSED = (_BOOLEAN, _WHOLE, _FLOAT)
_NUMBERS = (
    _BOOLEAN,
    _WHOLE,
    _LARGE,
    _FLOAT,
    _Type(_ANY_NUMBER, _grouped, _is_grouped),
    _Type(_ANY_NUMBER, _comma, _is_comma),
)
_WITH_COMMA = (_BOOLEAN, _WHOLE, _Type(_ANY_NUMBER, _comma, _is_not_code), _FLOAT)


def settle(
    frame: pl.LazyFrame, options: TextOptions, *, times_alone: bool = False, in_memory: bool = False
) -> pl.LazyFrame:
    """Give the columns of text of a frame the types that all their values have.

    Args:
        frame: The frame; columns that are no text are left as they are.
        options: How text is to be read.
        times_alone: Look for dates and times alone, where numbers have a type already, as in JSON.
        in_memory: The frame is in memory; else it is read in batches, once for each type that a column seems to have.
    """
    schema = frame.collect_schema()
    texts = [name for name, dtype in schema.items() if dtype == pl.String]
    if options.null_values and texts:
        marks = list(options.null_values)
        frame = frame.with_columns(
            pl.when(~pl.col(name).is_in(marks)).then(pl.col(name)).alias(name) for name in texts
        )
    types = _TIMES if times_alone else (*(_WITH_COMMA if options.decimal_comma else _NUMBERS), *_TIMES)
    if in_memory:
        rows = frame.collect()
        return rows.with_columns(_read_columns(rows.select(texts), types)).lazy()
    return frame.with_columns(_find_types(frame.select(texts), types))


def guess_numbers(head: pl.DataFrame) -> dict[str, pl.DataType]:
    """Guess from first rows of text which columns are numbers or booleans, so that a file's reader can parse them.

    A guess is no answer: the reader has to refuse a value that is of another type, and `has_codes` what it would spoil.
    """
    read = _read_columns(head, _PARSED)
    # A mark is null to `settle` alone; other readers stop at it.
    return {
        values.name: values.dtype
        for values in read
        if values.null_count() == head[values.name].null_count() < len(values)
    }


def has_codes(data: bytes, separator: str) -> bool:
    """Say whether a field of a text begins with a zero before another digit, as a code does: "007" is no number.

    Spaces before it are passed over. A zero after two spaces counts wherever it stands: the answer may be yes for a text
    without codes.

    Cost: O(bytes), about two nanoseconds each.
    """
    text = np.frombuffer(b"\n\n" + data + b"\n", dtype=np.uint8)
    zeros = np.flatnonzero(text[:-1] == ord("0"))
    zeros = zeros[text[zeros + 1] - ord("0") < 10]
    begins = np.zeros(256, dtype=bool)
    begins[list(f'{separator}"\r\n'.encode())] = True
    blank = np.zeros(256, dtype=bool)
    blank[list(b" \t")] = True
    before, earlier = text[zeros - 1], text[zeros - 2]
    return bool((begins[before] | (blank[before] & (begins[earlier] | blank[earlier]))).any())


def is_rounded(values: pl.Series) -> bool:
    """Say whether floats may be ids of twenty digits and more, which lose some of them as numbers."""
    return bool((values.abs() >= 1e19).any())


def _read_columns(rows: pl.DataFrame, types: Sequence[_Type]) -> list[pl.Series]:
    """Read the columns that have a type; the first reading that holds is kept."""
    found = []
    for tried in _in_turns(rows.head(LOOKED_AT), types, done := set[str]()):
        read = rows.select(kind.read(pl.col(name)).alias(name) for name, kind in tried.items())
        for name, kind in tried.items():
            text, values = rows[name], read[name]
            some = values.null_count() > text.null_count()
            rest = text.filter(values.is_null() & text.is_not_null()) if some else text.clear()
            reading = _match(kind, pl.col(name), rest)
            if reading is None:
                continue
            column = rows.lazy().select(name)
            if not reading.meta.is_column():
                # Spaces were in the way.
                values = column.select(kind.read(reading).alias(name)).collect().to_series()
            if column.select(_held(kind, reading)).collect().item():
                done.add(name)
                found.append(values)
    return found


def _find_types(frame: pl.LazyFrame, types: Sequence[_Type]) -> list[pl.Expr]:
    """Return how the columns are read that have a type, by passes over rows that need not be in memory."""
    found = []
    for tried in _in_turns(frame.head(LOOKED_AT).collect(), types, done := set[str]()):
        asked = []
        for name, kind in tried.items():
            text = pl.col(name)
            rest = text.filter(kind.read(text).is_null() & text.is_not_null()).unique().implode()
            asked += [rest.alias(f"rest {name}"), _held(kind, text.str.strip_chars()).alias(f"held {name}")]
        answers = frame.select(asked).collect(engine="streaming")
        for name, kind in tried.items():
            reading = _match(kind, pl.col(name), answers[f"rest {name}"].explode().drop_nulls())
            if reading is not None and answers[f"held {name}"].item():
                done.add(name)
                found.append(kind.read(reading).alias(name))
    return found


def _in_turns(head: pl.DataFrame, types: Sequence[_Type], done: set[str]) -> Iterator[dict[str, _Type]]:
    """Give each column the next type that its first rows do not rule out, until it is done or out of types."""
    left = {name: _candidates(head[name], types) for name in head.columns}
    while left := {name: candidates for name, candidates in left.items() if candidates and name not in done}:
        yield {name: candidates[0] for name, candidates in left.items()}
        left = {name: candidates[1:] for name, candidates in left.items()}


def _candidates(values: pl.Series, types: Sequence[_Type]) -> list[_Type]:
    """List the types that all of some values may have, in order; marks of missing values may be among them."""
    words = {word.strip() for word in values.drop_nulls().to_list()}
    words = {word for word in words if word.lower() not in MARKS}
    like = [kind for kind in types if all(map(re.compile(kind.like, re.DOTALL).fullmatch, words))]
    if not words or not like:
        return like
    read = pl.DataFrame({"text": [*words]}).select(
        kind.read(pl.col("text")).is_null().any().alias(str(at)) for at, kind in enumerate(like)
    )
    return [kind for kind, missing in zip(like, read.row(0), strict=True) if not missing]


def _held(kind: _Type, text: pl.Expr) -> pl.Expr:
    # Only some types have to look at what is of them alone.
    return kind.holds(
        text
        if kind.holds in {_always, _is_not_code, _is_float}
        else text.filter(kind.read(text).is_not_null())
    )


def _match(kind: _Type, text: pl.Expr, rest: pl.Series) -> pl.Expr | None:
    """Say how text is read given what was left over: as it is if that is marks alone, stripped if spaces were in the way."""
    if rest.is_empty():
        return text
    stripped = rest.unique().str.strip_chars()
    words = stripped.filter(~stripped.str.to_lowercase().is_in(MARKS)).alias("text")
    if words.is_empty():
        return text
    missing = words.to_frame().select(kind.read(pl.col("text")).is_null().any()).item()
    return None if missing else text.str.strip_chars()

"""How a failure is written into a log, an answer or a status: short, in one line."""

ERROR_LENGTH_MAX = 200
"""An error's text is kept up to this length."""


def words(failure: BaseException) -> str:
    """Give an error's kind and its last line, which holds its message whatever wrapped it on the way.

    Example:
        >>> words(ValueError("it broke"))
        'ValueError: it broke'
    """
    lines = str(failure).strip().splitlines()
    return f"{type(failure).__name__}: {lines[-1] if lines else ''}"[:ERROR_LENGTH_MAX]

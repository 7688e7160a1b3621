"""Tables of plain text."""

from collections.abc import Sequence


def align(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lay rows of cells in columns as wide as their widest cell, two spaces apart."""
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]

"""Text of users, safe inside HTML and XML: used by `page` and `junit` for every name, category and sentence."""

import html

#: XML 1.0 has no place for these, even escaped, and HTML replaces some of them itself; all become U+FFFD.
_FORBIDDEN = dict.fromkeys([*range(9), 11, 12, *range(14, 32), *range(127, 160), 0xFFFE, 0xFFFF], "\ufffd")


def escape(text: str) -> str:
    """Escape text for HTML and XML, in contents and in quoted attributes alike.

    Characters that have no place in XML and halves of surrogate pairs become the replacement character.

    Example:
        >>> escape('</script> & "quotes"')
        '&lt;/script&gt; &amp; &quot;quotes&quot;'
    """
    return html.escape(text.encode("utf-8", "replace").decode("utf-8").translate(_FORBIDDEN))


def shorten(text: str, most: int) -> str:
    """Cut text to `most` characters, the last of them an ellipsis where something is missing."""
    return text if len(text) <= most else text[: most - 1] + "…"

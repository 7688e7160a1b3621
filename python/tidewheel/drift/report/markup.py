"""Text of users, safe inside HTML and XML: used by `page` and `junit` for every name, category and sentence.

The standard library's `html.escape` would bring its table of 2,000 entities into every `import tidewheel.drift`.
"""

#: XML 1.0 has no place for these, even escaped, and HTML replaces some of them itself; all become U+FFFD.
_FORBIDDEN: dict[int, str] = dict.fromkeys(
    [*range(9), 11, 12, *range(14, 32), *range(127, 160), 0xFFFE, 0xFFFF], "\ufffd"
)
_MARKUP = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;", ord("'"): "&#x27;"}
_ESCAPES = {**_FORBIDDEN, **_MARKUP}


def escape(text: str) -> str:
    """Escape text for HTML and XML, in contents and in quoted attributes alike.

    Characters that have no place in XML and halves of surrogate pairs become the replacement character.

    Example:
        >>> escape('</script> & "quotes"')
        '&lt;/script&gt; &amp; &quot;quotes&quot;'
    """
    return text.encode("utf-8", "replace").decode("utf-8").translate(_ESCAPES)


def shorten(text: str, most: int) -> str:
    """Cut text to `most` characters, the last of them an ellipsis where something is missing."""
    return text if len(text) <= most else text[: most - 1] + "…"

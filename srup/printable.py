"""Text that can be shown: what a file name may hold and a terminal would obey is escaped."""

from __future__ import annotations

import re

# control characters, among them what begins the commands of terminals; separators of lines; what
# turns the direction of writing; and surrogates, which stand for bytes that are not UTF-8
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """The text with such characters as Python writes them: an escape character becomes "\\x1b"."""
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)

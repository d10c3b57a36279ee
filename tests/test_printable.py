from __future__ import annotations

import os

import pytest

from srup.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("photo – größer 写真\u3000[1] 🙂.png", "photo – größer 写真\u3000[1] 🙂.png"),
        ("\x1b[31mred\x07\x00.png", r"\x1b[31mred\x07\x00.png"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x9b2J\x7f", r"\x9b2J\x7f"),
        ("gnp.\u202egpj", r"gnp.\u202egpj"),
        ("a\u2028b", r"a\u2028b"),
        (os.fsdecode(b"\xff.png"), r"\udcff.png"),
    ],
)
def test_only_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown

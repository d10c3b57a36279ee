"""What made a picture, in XMP, texts and comments, as srup and other programs write them."""

from __future__ import annotations

import pytest

from srup.images.provenance import (
    Provenance,
    as_comment,
    of_comment,
    of_texts,
    of_xmp,
    texts_without,
    with_texts,
    with_xmp,
    xmp_without,
)

MADE = Provenance("9.9", "imdn x2", "2", "fp32", source_size="80x60", weights="0123456789abcdef")
CARRIED = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


@pytest.mark.parametrize("carried", [None, CARRIED])
def test_xmp_there_and_back(carried: bytes | None) -> None:
    packet = with_xmp(carried, MADE)
    assert of_xmp(packet) == MADE
    assert xmp_without(packet) == carried
    assert with_xmp(packet, MADE) == packet


def test_a_later_statement_replaces_the_earlier() -> None:
    later = Provenance("10.0", "lite x4", strength="0.5")
    packet = with_xmp(with_xmp(CARRIED, MADE), later)
    assert of_xmp(packet) == later
    assert packet == with_xmp(CARRIED, later)


def test_what_another_program_made_of_it_is_understood() -> None:
    """Elements instead of attributes, and other quotes, as tools write that rearrange XMP."""
    moved = CARRIED.replace(
        b'xmp:Rating="5"/>',
        b"xmlns:srup='https://srup.invalid/ns/1.0/' xmp:Rating='5' srup:Scale='2'>\n"
        b" <srup:Version>9.9</srup:Version>\n</rdf:Description>",
    )
    assert of_xmp(moved) == Provenance("9.9", scale="2")
    again = with_xmp(moved, MADE)
    assert again.count(b"srup:Version") == again.count(b"srup:Scale") == 1
    assert again.count(b"xmp:Rating='5'") == 1
    assert of_xmp(again) == MADE


@pytest.mark.parametrize("packet", [b"", b"no XML", b"\xff\xfe<\0r\0d\0f\0", b"srup:Version="])
def test_a_packet_that_cannot_be_added_to_stays_as_it_is(packet: bytes) -> None:
    assert with_xmp(packet, MADE) == packet or not packet
    assert of_xmp(packet) is None


def test_values_are_escaped_and_cut() -> None:
    odd = Provenance('9.9 <&"', "a" * 500)
    found = of_xmp(with_xmp(None, odd))
    assert found == Provenance('9.9 <&"', "a" * 200)


def test_texts_there_and_back() -> None:
    texts = (("Title", "a"), ("srup", "mine"), ("srup:Other", "mine"))
    marked = with_texts(texts, MADE)
    assert ("Software", "srup 9.9") in marked
    assert of_texts(marked) == MADE
    assert texts_without(marked) == texts
    assert with_texts(marked, MADE) == marked


def test_another_program_stays_named() -> None:
    marked = with_texts((("Software", "a camera"),), MADE)
    assert [value for key, value in marked if key == "Software"] == ["a camera"]
    assert of_texts(marked) == MADE


def test_comments() -> None:
    assert of_comment(as_comment(MADE).encode()) == MADE
    for other in (None, b"", b"made by hand", "srup 9.9", b"srup 9.9", b"srup \xff\nVersion"):
        assert of_comment(other) is None

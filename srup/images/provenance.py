"""What made a picture, and how its file says so: in XMP, as texts of a PNG, in a comment of a GIF.

What stands there is somebody else's word once it is read. All of it is short texts, which need not
make sense.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from html import escape, unescape

PREFIX = "srup"  # of names in XMP and of the keywords of texts
NAMESPACE = "https://srup.invalid/ns/1.0/"  # a name, not a place: nobody can ever own it
LONGEST = 200  # characters of a value that is read
END = b"</rdf:RDF>"
EMPTY = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF>'
    b'</x:xmpmeta><?xpacket end="w"?>'
)

Texts = Sequence[tuple[str, str]]  # keys and values


@dataclass(frozen=True)
class Provenance:
    """How srup made a picture of another one, as ASCII texts; "" is what does not apply."""

    version: str  # of srup
    network: str = ""  # what ran, in this order: "imdn x2 x3"
    scale: str = ""  # how many times larger, by the side that grew most
    precision: str = ""
    strength: str = ""  # of a network that has one
    source_size: str = ""  # of what was enlarged: "768x512" pixels
    self_ensemble: str = ""  # "yes"
    weights: str = ""  # the beginning of the digest of a checkpoint of one's own

    @property
    def software(self) -> str:
        """The program and its version."""
        return f"{PREFIX} {self.version}"

    @property
    def facts(self) -> dict[str, str]:
        """What there is to say, by the names that files use."""
        values = {name: getattr(self, field) for name, field in NAMES.items()}
        return {name: value for name, value in values.items() if value}


# "source_size" is called "SourceSize", as is usual in XMP
NAMES = {field.name.title().replace("_", ""): field.name for field in fields(Provenance)}
SOFTWARE = "Software"  # the keyword of PNG


def is_ours(software: str) -> bool:
    """Whether a text that names a program names srup."""
    return software.startswith(f"{PREFIX} ")


def _stated(facts: Mapping[str, str]) -> Provenance | None:
    """What facts by `NAMES` say; None if they do not even say a version."""
    if not facts.get("Version"):
        return None
    return Provenance(**{NAMES[name]: value[:LONGEST] for name, value in facts.items()})


def with_xmp(xmp: bytes | None, made: Provenance) -> bytes:
    """An XMP packet that says what made the picture, beside what it says already.

    A packet that does not end as XMP in UTF-8 does is returned as it is.
    """
    packet = xmp_without(xmp) or EMPTY
    place = packet.rfind(END)
    if place < 0:
        return packet
    attributes = "".join(
        f' {PREFIX}:{name}="{escape(value)}"' for name, value in made.facts.items()
    )
    # a description of its own, so that taking it out again leaves what was there before
    element = f'<rdf:Description rdf:about="" xmlns:{PREFIX}="{NAMESPACE}"{attributes}/>'
    return packet[:place] + element.encode() + packet[place:]


def xmp_without(xmp: bytes | None) -> bytes | None:
    """The packet without what `with_xmp` adds, also where another program has moved that; None if
    nothing else was in it.
    """
    if xmp is None or PREFIX.encode() not in xmp:
        return xmp
    own = rf'<rdf:Description rdf:about="" xmlns:{PREFIX}="{re.escape(NAMESPACE)}"[^<>]*/>'
    rest = re.sub(own.encode(), b"", xmp)
    for name in NAMES:
        rest = re.sub(_attribute(name), b"", rest)
        rest = re.sub(_element(name), b"", rest)
    return None if rest == EMPTY else rest


def of_xmp(xmp: bytes | None) -> Provenance | None:
    """What a packet says of srup; None if nothing."""
    if xmp is None or PREFIX.encode() not in xmp:
        return None
    facts = {}
    for name in NAMES:
        match = re.search(_attribute(name) + b"|" + _element(name), xmp)
        if match:
            found = next(group for group in match.groups() if group is not None)
            facts[name] = unescape(found.decode("utf-8", "replace"))
    return _stated(facts)


def _attribute(name: str) -> bytes:
    key = f"{PREFIX}:{name}".encode()
    return rb"\s" + key + rb"=\"([^\"<>]*)\"|\s" + key + rb"='([^'<>]*)'"


def _element(name: str) -> bytes:
    key = f"{PREFIX}:{name}".encode()
    return b"<" + key + b">([^<>]*)</" + key + b">"


def with_texts(texts: Texts, made: Provenance) -> tuple[tuple[str, str], ...]:
    """Texts of a PNG file and those that say what made the picture.

    Another program that made its source stays in `Software`.
    """
    others = texts_without(texts)
    named = any(key == SOFTWARE for key, _ in others)
    software = () if named else ((SOFTWARE, made.software),)
    facts = ((f"{PREFIX}:{name}", value) for name, value in made.facts.items())
    return (*others, *software, *facts)


def texts_without(texts: Texts) -> tuple[tuple[str, str], ...]:
    """The texts without what `with_texts` adds."""
    return tuple((key, value) for key, value in texts if not _is_own(key, value))


def _is_own(key: str, value: str) -> bool:
    return _name_of(key) is not None or (key == SOFTWARE and is_ours(value))


def _name_of(key: str) -> str | None:
    """The name that stands in the keyword of a text; None if it is not one of srup's."""
    prefix, _, name = key.partition(":")
    return name if prefix == PREFIX and name in NAMES else None


def of_texts(texts: Texts) -> Provenance | None:
    """What texts say of srup; None if nothing."""
    return _stated({name: value for key, value in texts if (name := _name_of(key))})


def as_comment(made: Provenance) -> str:
    """What made the picture as the comment of a GIF file: a line for each fact."""
    lines = [made.software, *(f"{name}: {value}" for name, value in made.facts.items())]
    return "\n".join(lines)


def of_comment(comment: object) -> Provenance | None:
    """What the comment of a file says of srup; None if nothing."""
    if not isinstance(comment, bytes) or not is_ours(comment[:LONGEST].decode("latin-1")):
        return None
    lines = (line.partition(": ") for line in comment.decode("latin-1").splitlines())
    return _stated({name: value for name, _, value in lines if name in NAMES})

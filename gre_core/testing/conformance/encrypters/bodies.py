"""Bodies on the wire, and damaged ones."""

from __future__ import annotations

import contextlib
import copy
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement

from gre_core import wire
from gre_core.testing.conformance.codings import coded
from gre_core.testing.conformance.damaging import flipped, places, truncated
from gre_core.testing.conformance.leaks import decoded
from gre_core.testing.conformance.rules import demand
from gre_core.testing.fakes import through_xml
from gre_core.xml_text import is_legal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gre_core.model import Body
    from gre_core.namespaces import Namespace

UNKNOWN: Final = "{urn:example:unknown}extension"
ALL_OF: Final = 2000
"""A body of up to so many bytes is damaged at each of them."""
_BLOCK: Final = 16
_UNPACKED: Final = 1 << 20
"""Bytes that something compressed is unpacked to, at most."""


def over_the_wire(body: Body, formatter: Namespace, encrypter: Namespace) -> Body:
    """Give a body as it arrives at the other end of a stream."""
    __tracebackhide__ = True
    rule = "body-survives-xml"
    demand(
        isinstance(body.text, str) and is_legal(body.text), rule, "the text has characters that XML forbids"
    )
    for child in body.children:
        demand(isinstance(child, Element), rule, f"a child is {type(child).__name__}")
        demand(str(child.tag).startswith("{"), rule, f"the child {child.tag} has no namespace")
    encrypted = wire.Encrypted(formatter, encrypter, body)
    try:
        stanza = through_xml(
            wire.build_message("a@example.org", "id", encrypted, receipt=False, origin_id="id")
        )
        read = next(stanza.iterfind(wire.ENCRYPTED_TAG))
        return wire.parse_encrypted(read).body
    except Exception as error:
        demand(condition=False, rule=rule, found=f"{type(error).__name__}: {error}")
        raise


def with_unknown_children(body: Body) -> Iterator[tuple[str, Body]]:
    """Give a body with one more child that nobody knows, before and behind the others."""
    extra = Element(UNKNOWN)
    SubElement(extra, UNKNOWN).text = "ignore me"
    yield "behind", replace(body, children=(*body.children, extra))
    yield "before", replace(body, children=(extra, *body.children))


def all_text(body: Body) -> str:
    """Give everything that stands in a body."""
    told = [body.text]
    for child in body.children:
        for each in child.iter():
            told += [each.tag, each.text or "", each.tail or "", *each.attrib, *each.attrib.values()]
    return "\n".join(told)


def all_bytes(body: Body) -> Iterator[bytes]:
    """Give what stands in a body, piece by piece: as it is, what it says in base64 or hex, and unpacked."""
    for piece in all_text(body).split("\n"):
        for each in decoded(piece.encode("utf-8", "replace")):
            yield each
            for bits in (zlib.MAX_WBITS + 32, -zlib.MAX_WBITS):
                with contextlib.suppress(zlib.error):
                    yield zlib.decompressobj(bits).decompress(each, _UNPACKED)


def same_key_stream(one: Body, other: Body, length: int) -> bool:
    """Tell whether two bodies with the same zeros, of a length, have half of them encrypted to the same bytes."""
    pieces: set[bytes] = set()
    for each in all_bytes(one):
        if bytes(length) in each:
            return False  # they are not encrypted at all
        pieces |= {each[at : at + _BLOCK] for at in range(len(each) - _BLOCK + 1)}
    most = max(
        sum(each[at : at + _BLOCK] in pieces for at in range(0, len(each) - _BLOCK + 1, _BLOCK))
        for each in all_bytes(other)
    )
    return most * _BLOCK > length // 2


def cut_between_chunks(raw: bytes, lengths: Callable[[int], int]) -> Iterator[tuple[str, bytes]]:
    """Cut a ciphertext off where a chunk of it may end, and let its last chunks change places.

    Arguments:
        raw: the ciphertext of a large payload.
        lengths: gives the length of the ciphertext of a payload of a length; may vary by some bytes. In an
            encoding that the kit does not know it may be some times as long as the payload.
    """
    for size in (1 << power for power in range(10, 17)):
        one, two, three = (lengths(number * size) for number in (1, 2, 3))
        chunk, whole = three - two, len(raw)
        if not size <= chunk < 4 * size or two - one != chunk or one + 2 * chunk > whole:
            continue
        start = one - chunk
        for number in (1, 2):
            end = start + number * chunk
            yield f"cut off after {number} chunks of {chunk} bytes", raw[:end]
            # What comes last may have a mark of its own, which a reader must miss.
            yield f"without chunk {number}", raw[: end - chunk] + raw[end:]
        first, second = raw[start : start + chunk], raw[start + chunk : start + 2 * chunk]
        yield "two chunks exchanged", raw[:start] + second + first + raw[start + 2 * chunk :]


def damaged(body: Body, count: int) -> Iterator[tuple[str, Body]]:
    """Damage a body: its text, what it stands for in base64 or the like, its children and their attributes.

    Each byte of a small one has a bit flipped; otherwise up to ``count`` places of each kind are damaged.
    """
    for doing, text in _damaged_text(body.text, count):
        yield f"text: {doing}", replace(body, text=text)
    for number, child in enumerate(body.children):
        yield (
            f"child {number} left out",
            replace(body, children=body.children[:number] + body.children[number + 1 :]),
        )
        for at, inner in enumerate(child.iter()):
            for doing, text in _damaged_text(inner.text or "", count):
                changed = copy.deepcopy(child)
                list(changed.iter())[at].text = text
                children = (*body.children[:number], changed, *body.children[number + 1 :])
                yield f"{inner.tag}: {doing}", replace(body, children=children)
            for name in inner.attrib:
                for doing, text in _damaged_text(inner.get(name, ""), count // 4):
                    changed = copy.deepcopy(child)
                    list(changed.iter())[at].set(name, text)
                    children = (*body.children[:number], changed, *body.children[number + 1 :])
                    yield f"attribute {name} of {inner.tag}: {doing}", replace(body, children=children)


def _damaged_text(text: str, count: int) -> Iterator[tuple[str, str]]:
    if not text:
        return
    found = coded(text)
    for place in places(len(text), max(count, ALL_OF) if found is None else count):
        other = "B" if text[place] != "B" else "g"
        yield f"character {place} changed", text[:place] + other + text[place + 1 :]
    for place in places(len(text), count // 4):
        yield f"cut off after {place} characters", text[:place]
    yield "doubled", text + text
    yield "something added behind", text + "AAAA"
    yield "something added before", "AAAA" + text
    if found is None:
        return
    raw = found.raw
    for doing, data in [*flipped(raw, max(count, ALL_OF)), *truncated(raw, count // 4)]:
        yield doing, found.write(data)
    yield "decoded, something added behind", found.write(raw + b"\0")
    yield "decoded, doubled", found.write(raw + raw)

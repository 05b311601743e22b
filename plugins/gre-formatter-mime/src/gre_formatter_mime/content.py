"""Where in a payload the message itself is: inside a signed part, a wrapped message, or at the root.

What is found is the cryptographic payload of RFC 9788, section 1.3: the header fields that count are those of
its root, since those around it are not signed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gre_core.api import Notice, SignedPart
from gre_formatter_mime import notices
from gre_formatter_mime.limits import MAX_SIGNED
from gre_formatter_mime.part import Part, part_of
from gre_formatter_mime.protection import MESSAGE_FIELDS
from gre_formatter_mime.structure import parts_of
from gre_formatter_mime.transfer import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gre_formatter_mime.headers_read import Fields
    from gre_formatter_mime.source import Source

SIGNATURE_TYPE: Final = "application/pgp-signature"

_NAMES: Final = frozenset(MESSAGE_FIELDS)
_SIGNED_AND_SIGNATURE: Final = 2
_LARGEST_SIGNATURE: Final = 1 << 20
_BARE_LINE_END: Final = re.compile(rb"(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class Content:
    """What there is to read.

    Arguments:
        part: its root.
        fields: the header fields that count.
        layers: how many parts stand around it.
        signed: the detached signature over it.
        notices: to be shown.
    """

    part: Part
    fields: Fields
    layers: int = 0
    signed: SignedPart | None = None
    notices: tuple[Notice, ...] = ()


def has_message_fields(fields: Fields) -> bool:
    """Tell whether a header section says something of a message, not only of a structure."""
    return not _NAMES.isdisjoint(fields)


def find_content(source: Source, root: Part) -> Content:
    """Find the message in a payload."""
    content = Content(root, root.fields)
    if root.media_type.value == "multipart/signed":
        parts = parts_of(source, root.start, root.end, root.boundary)
        content = _signed(source, root, parts) or content
        if content.part is root and parts and not has_message_fields(root.fields):
            # It cannot be judged, by us; some programs put the header fields there all the same.
            content = Content(root, part_of(source, *parts[0]).fields)
    return _unwrapped(source, content)


def _signed(source: Source, root: Part, parts: Sequence[tuple[int, int]]) -> Content | None:
    """Find what is signed inside the encryption (RFC 3156, section 6.1), if the signature covers all there is."""
    if len(parts) != _SIGNED_AND_SIGNATURE:
        return None
    signature = part_of(source, *parts[1])
    if signature.media_type.value != SIGNATURE_TYPE or signature.end - signature.start > _LARGEST_SIGNATURE:
        return None
    start, end = parts[0]
    if end - start > MAX_SIGNED:
        return None
    part = part_of(source, start, end)
    covered = bytes(source.read(start, end))
    if covered.count(b"\n") != covered.count(b"\r\n"):
        covered = _BARE_LINE_END.sub(b"\r\n", covered)
    signed = SignedPart(
        covered, decode(source.read(signature.start, signature.end), signature.encoding), SIGNATURE_TYPE
    )
    content = Content(part, part.fields, 1, signed)
    if has_message_fields(part.fields) or not has_message_fields(root.fields):
        return content
    # Who re-encrypts a signed part to somebody else writes the header around it: of that only what is merely
    # shown is taken, nothing that a judgement rests on.
    shown = {name: root.fields[name] for name in ("subject",) if name in root.fields}
    return replace(content, fields={**part.fields, **shown}, notices=(notices.UNSIGNED_FIELDS,))


def _unwrapped(source: Source, content: Content) -> Content:
    """Step into a message that was wrapped whole, the header protection of RFC 8551 (RFC 9788, section 4.10)."""
    part = content.part
    parameters = part.media_type.parameters
    if (
        part.media_type.value != "message/rfc822"
        or not part.is_plain
        or "hp" in parameters
        or parameters.get("forwarded", "").lower() == "yes"
        or has_message_fields(part.fields)
    ):
        return content
    inner = part_of(source, part.start, part.end)
    if (
        not has_message_fields(inner.fields)
        or "hp" in inner.media_type.parameters
        or _is_cryptographic(inner)
    ):
        return content
    unsigned = tuple(notice for notice in content.notices if notice is not notices.UNSIGNED_FIELDS)
    return replace(content, part=inner, fields=inner.fields, layers=content.layers + 1, notices=unsigned)


def _is_cryptographic(part: Part) -> bool:
    kind = part.media_type.value
    return kind in {"multipart/signed", "multipart/encrypted"} or kind.endswith("/pkcs7-mime")

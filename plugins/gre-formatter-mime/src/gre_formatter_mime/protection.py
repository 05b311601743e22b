"""Header protection (RFC 9788): what stands outside, whether it may, and what of a received message was hidden."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gre_core.errors import FormatFailed
from gre_formatter_mime.addresses import addresses
from gre_formatter_mime.headers_read import free_text
from gre_formatter_mime.wishes import Confidentiality

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gre_core.api import Message, SealJob
    from gre_formatter_mime.headers_read import Fields, Structured

SUBJECT_OUTSIDE: Final = "[...]"
"""What stands in the place of a hidden subject (RFC 9788, section 3.2.1)."""

MESSAGE_FIELDS: Final = (
    "from", "to", "cc", "reply-to", "subject", "comments", "keywords", "date", "message-id", "in-reply-to",
    "references",
)  # fmt: skip
"""The fields that tell of the message rather than of its structure or its way, by lower-case name."""

_NEEDED_OUTSIDE: Final = frozenset({"from", "to", "cc", "date", "message-id"})
"""Fields without which no mail is delivered: an answer cannot hide them because they were hidden before."""

_UTC: Final = re.compile(r".*(?:[+-]0000|GMT|UTC?)(?: *\(.*\))?")


# -- writing ---------------------------------------------------------------------------------------


def outer_fields(
    message: Message, job: SealJob, policy: Confidentiality, sender: str, domain: str
) -> Mapping[str, str]:
    """Give what stands outside, as far as it is known here.

    The outer header is the gateway's: what the host says of it, or else the envelope and a subject in disguise.

    Raises:
        FormatFailed: it would show what the policy, or the message that is answered, wants hidden.
    """
    if job.outer:
        _check(message, job.outer, policy)
        return job.outer
    outer = {
        "From": sender,
        "To": ", ".join([recipient.legacy_id for recipient in job.recipients]),
        "Message-ID": f"<{job.origin_id}@{domain}>",
    }
    if message.subject is not None:
        outer["Subject"] = SUBJECT_OUTSIDE
    return outer


def _check(message: Message, outer: Mapping[str, str], policy: Confidentiality) -> None:
    inside = {
        "subject": message.subject or "",
        "in-reply-to": f"<{message.in_reply_to}>",
        "references": " ".join(f"<{identifier}>" for identifier in message.references),
    }
    for name, value in outer.items():
        lower = name.lower()
        shown = lower in {"keywords", "comments"} or (
            lower in inside and bool(inside[lower]) and _same(inside[lower], value)
        )
        if shown and lower in message.hidden and lower not in _NEEDED_OUTSIDE:
            raise FormatFailed(
                f"The field {name[:80]} was confidential in the message that you answer, and your mail would show "
                "it outside the encryption. Change it, or let the gateway hide it",
                field=name,
            )
        if policy is Confidentiality.NONE:
            continue
        if (shown and lower in {"subject", "keywords", "comments"}) or (
            policy is Confidentiality.SHY and not _is_shy(lower, value)
        ):
            raise FormatFailed(
                f"The mail would show the field {name[:80]} outside the encryption, which the header "
                f"confidentiality {policy.value!r} forbids. Choose a weaker one, or another gateway",
                field=name,
                policy=policy.value,
            )


def _is_shy(name: str, value: str) -> bool:
    if name == "date":
        return _UTC.fullmatch(value.strip()) is not None
    if name in {"from", "to", "cc"}:
        return ", ".join(addresses([value])) == _normal(value)
    return True


def _same(one: str, other: str) -> bool:
    return _normal(one).casefold() == _normal(other).casefold()


def _normal(value: str) -> str:
    return " ".join(value.split())


# -- reading ---------------------------------------------------------------------------------------


def hidden_fields(fields: Fields, kind: Structured) -> tuple[str, ...]:
    """Give the names of the fields that were not visible outside as they are inside (RFC 9788, section 4.3).

    Only a payload with ``hp="cipher"`` tells what was. Of any other that was encrypted, each field counts as hidden.

    Arguments:
        fields: those of the payload's root.
        kind: its Content-Type.
    """
    outside: dict[str, set[str]] = {}
    if kind.parameters.get("hp", "").lower() == "cipher":
        for value in fields.get("hp-outer", ()):
            name, _, content = value.partition(":")
            outside.setdefault(name.strip().lower(), set()).add(content.strip())
    return tuple(
        [
            name
            for name in MESSAGE_FIELDS
            if name in fields and not _all_shown(fields[name], outside.get(name, set()))
        ]
    )


def _all_shown(inside: list[str], outside: set[str]) -> bool:
    if outside.issuperset(inside):
        return True
    read = {_normal(free_text(value)) for value in outside}
    return read.issuperset([_normal(free_text(value)) for value in inside]) if read else False

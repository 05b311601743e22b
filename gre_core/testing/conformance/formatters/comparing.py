"""Compares a message that was read with the one that was written, field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gre_core.model import Attachment, Message, SealJob


def same_text(text: str) -> str:
    """Give a text with LF as its line end: formats may have their own."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def differences(
    wanted: Message, read: Message, job: SealJob, about: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """Give the rules that are broken, each with what was found.

    Arguments:
        wanted: the message that was written.
        read: what came back.
        job: of the writing.
        about: the names of the switches that are on.
    """
    if wanted.text or not wanted.html:  # else a format may make a text from the HTML
        yield from _texts("round-trip-text", wanted.text, read.text)
    if "html" in about:
        yield from _texts("round-trip-html", wanted.html or "", read.html or "")
    if "subject" in about:
        yield from _texts("round-trip-subject", wanted.subject or "", read.subject or "")
    if "attachments" in about:
        yield from _attachments(wanted, read, inline="inline" in about)
    if "replies" in about:
        for name in ("in_reply_to", "references"):
            yield from _values("round-trip-replies", name, getattr(wanted, name), getattr(read, name))
    if "addresses" in about:
        to = wanted.to or tuple(recipient.legacy_id for recipient in job.recipients)
        yield from _values("round-trip-addresses", "to", to, read.to)
        yield from _values("round-trip-addresses", "cc", wanted.cc, read.cc)


def _texts(rule: str, wanted: str, read: str) -> Iterator[tuple[str, str]]:
    wanted, read = same_text(wanted), same_text(read)
    if wanted != read:
        ends = min(len(wanted), len(read))
        at = next((n for n in range(ends) if wanted[n] != read[n]), ends)
        yield (
            rule,
            (
                f"{len(wanted)} characters became {len(read)}; they differ from number {at} on: "
                f"{wanted[at : at + 40]!r} became {read[at : at + 40]!r}"
            ),
        )


def _values(rule: str, name: str, wanted: object, read: object) -> Iterator[tuple[str, str]]:
    if wanted != read:
        yield rule, f"{name}: {wanted!r} became {read!r}"


def _attachments(wanted: Message, read: Message, *, inline: bool) -> Iterator[tuple[str, str]]:
    if len(wanted.attachments) != len(read.attachments):
        yield (
            "round-trip-attachments",
            f"{len(wanted.attachments)} attachments became {len(read.attachments)}",
        )
        return
    before_all = list(wanted.attachments)
    if [_kind(each) for each in before_all] != [_kind(each) for each in read.attachments]:
        before_all = _inline_first(wanted)
    for one, other in zip(before_all, read.attachments, strict=True):
        for name in ("name", "media_type"):
            before, after = getattr(one, name), getattr(other, name)
            if before != after:
                yield "round-trip-attachments", f"{name}: {before!r} became {after!r}"
        if one.read() != other.read():
            yield "round-trip-attachments", f"the content of {one.name!r} changed"
        if inline and (one.inline, one.content_id) != (other.inline, other.content_id):
            yield (
                "round-trip-inline",
                f"inline {one.inline}, id {one.content_id} became inline {other.inline}, id {other.content_id}",
            )


def _kind(attachment: Attachment) -> tuple[object, ...]:
    return attachment.name, attachment.media_type, attachment.inline, attachment.content_id


def _inline_first(message: Message) -> list[Attachment]:
    """Give what is shown inside HTML first: formats may store it there, before all other files."""
    if message.html is None:
        return list(message.attachments)
    return sorted(message.attachments, key=lambda one: not (one.inline and one.content_id))

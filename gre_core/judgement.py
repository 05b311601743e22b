"""What a valid signature does not prove: that the message was meant for us, is new, is recent and is whole.

A signature covers the content, and nothing of how it came. Somebody who holds an old message, or one that was written
to others, can hand it on under a new envelope, and its signature stays valid. So each ``good`` is looked at once more
with what stands inside the signed content. A verdict is only ever made worse here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from gre_core.model import Notice, Signature
from gre_core.notes import INCOMPLETE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from gre_core.model import Message, Verdict

LATE: Final = timedelta(days=7)
"""How long a message may be under way: mail servers try for five days (RFC 5321, section 4.5.4.1)."""

EARLY: Final = timedelta(days=1)
"""How far the clock of a sender may be ahead."""

_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Circumstances:
    """How a message came.

    Arguments:
        expected_sender: the legacy id that the JID names; None when it names none.
        ours: our own legacy ids that the user confirmed; empty when none is known.
        seen_as: the stanza id under which the same message by the same signer came before, if another.
        received: when it reached our server.
        notices: what the gateway and the formatter say about it, codes of :mod:`gre_core.notes` among them.
    """

    expected_sender: str | None
    ours: tuple[str, ...]
    seen_as: str | None
    received: datetime
    notices: tuple[Notice, ...] = ()


def judge(verdict: Verdict, message: Message, how: Circumstances) -> tuple[Verdict, tuple[Notice, ...]]:
    """Look at a verdict in the light of how the message came.

    Arguments:
        verdict: the encrypter's. Only a good one can change.
        message: its content.
        how: how it came.

    Result:
        The verdict, with the worst of what is wrong; and a notice, with the code of a
        :class:`~gre_core.model.Signature`, for each further thing.
    """
    if verdict.signature is not Signature.GOOD:
        return verdict, ()
    found = list(_doubts(message, how))
    if not found:
        return verdict, ()
    (worst, text), *others = found
    notices = tuple(Notice(signature.value, more) for signature, more in others)
    return replace(verdict, signature=worst, detail=text), notices


def _doubts(message: Message, how: Circumstances) -> Iterator[tuple[Signature, str]]:
    """Give all that speaks against a message, the worst first."""
    claimed, expected = message.claimed_sender, how.expected_sender
    if claimed is not None and expected is not None and not _same(claimed, expected):
        yield (
            Signature.WRONG_SIGNER,
            f"The message is signed by {expected}, from whom it came, but says that it is from {claimed}",
        )
    named = (*message.to, *message.cc)
    if named and how.ours and not any(_same(name, our) for name in named for our in how.ours):
        yield (
            Signature.OTHER_RECIPIENTS,
            f"Written to {_list(named)}. You got it as a blind copy, from a mailing list, or somebody passed it on",
        )
    if how.seen_as is not None:
        yield (
            Signature.REPLAYED,
            "The same message came before. Somebody on the way may send it again to deceive you",
        )
    if message.date is not None:
        if how.received - message.date > LATE:
            days = (how.received - message.date).days
            yield (
                Signature.STALE,
                f"Written on {message.date:%Y-%m-%d}, {days} days before it came. Somebody may have held it back",
            )
        elif message.date - how.received > EARLY:
            yield Signature.STALE, f"Dated {message.date:%Y-%m-%d}, which is in the future"
    incomplete = next((notice for notice in how.notices if notice.code in INCOMPLETE), None)
    if incomplete is not None:
        yield Signature.PARTIAL, incomplete.text


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _list(names: tuple[str, ...]) -> str:
    """Name the first few."""
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"

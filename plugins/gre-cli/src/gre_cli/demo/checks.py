"""What the demo checks: both messages arrived whole, signed by whom they say, and nobody in between could read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from gre_cli.demo.leaks import LeakSearch, Secret, self_test
from gre_cli.demo.stage import JULIET, ROMEO
from gre_cli.describe import pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gre_cli.demo.captures import Captures
    from gre_cli.demo.play import Outcome
    from gre_cli.demo.stage import Letter
    from gre_core.model import Message

_SLICE: Final = 32
"""Bytes of a file that are looked for at once, at three places of it."""

_BOTH: Final = 2


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked.

    Arguments:
        name: what should be so.
        right: whether it is.
        detail: what was seen, without any secret.
    """

    name: str
    right: bool
    detail: str


def check_all(outcome: Outcome, captures: Captures) -> list[Check]:
    """Check everything. The order is that of the play."""
    return [*_letter(outcome), *_answer(outcome), *_middle(outcome, captures)]


def _letter(outcome: Outcome) -> Iterator[Check]:
    sent, read = outcome.sent, outcome.read
    explanation = outcome.explanation
    agreement = (
        explanation.agreed.agreement if explanation is not None and explanation.agreed is not None else None
    )
    yield Check(
        "formatter and encrypter negotiated",
        agreement is not None,
        pair(agreement) if agreement is not None else "no agreement",
    )
    confirmed = [question.after for question in outcome.questions if question.code == "confirm-sender-id"]
    yield Check(
        "sender_id confirmed, nothing else asked",
        confirmed == [JULIET] and len(outcome.questions) == 1,
        ", ".join(f"{question.code}: {question.after}" for question in outcome.questions) or "no question",
    )
    yield Check(
        "relay took the letter, receipt came back",
        sent is not None and sent.state == "relayed",
        sent.state if sent is not None else "not sent",
    )
    yield Check(
        "Juliet's signature verified by Romeo's program",
        read.get("signature") == "good" and _same_key(read.get("signer"), outcome.juliet_key),
        f"{read.get('signature')}, key {_short(str(read.get('signer') or '?'))}, {outcome.key.get('program')}",
    )
    yield Check(
        "Romeo read everything unchanged",
        _mail_matches(read, outcome.letter),
        f"text, subject, sender, picture {_digest(outcome.letter.file)[:8]}…",
    )


def _answer(outcome: Outcome) -> Iterator[Check]:
    received = outcome.received
    verdict = None if received is None else received.verdict
    yield Check(
        "Romeo's signature verified by Juliet's client",
        verdict is not None
        and verdict.signature == "good"
        and _same_key(verdict.signer, outcome.key["fingerprint"]),
        "nothing came"
        if verdict is None
        else f"{verdict.signature}, key {_short(verdict.signer or '?')}, from {verdict.source or 'unknown'}",
    )
    yield Check(
        "Juliet read everything unchanged",
        received is not None and _message_matches(received.message, outcome.answer),
        f"text, subject, sender, file {_digest(outcome.answer.file)[:8]}…",
    )
    modules = cast("list[str]", outcome.answered.get("modules", ["?"]))
    yield Check(
        "Romeo's program has no gre module loaded",
        modules == [],
        ", ".join(modules) or "an independent process",
    )


def _middle(outcome: Outcome, captures: Captures) -> Iterator[Check]:
    server, gateway, relay = (captures.of(party) for party in captures.pieces)
    armor = b"-----BEGIN PGP MESSAGE-----"
    yield Check(
        "server, gateway, relay handled both, encrypted",
        server.count(b"<encrypted ") == _BOTH
        and gateway.count(b"<encrypted ") == _BOTH
        and relay.count(armor) == _BOTH
        and gateway.count(armor) >= _BOTH,
        "2 <encrypted/> elements, 2 PGP/MIME mails",
    )
    yield Check(
        "gateway keeps nothing that was confirmed",
        outcome.left == 0,
        f"{outcome.left} messages left in its database",
    )
    search = LeakSearch([*_secrets("letter", outcome.letter), *_secrets("answer", outcome.answer)])
    trust = self_test(search, {party: captures.of(party) for party in captures.pieces})
    yield Check(
        "search finds every leak that is planted",
        trust.planted > 0 and not trust.missed,
        f"{trust.planted} planted, {len(trust.missed)} missed"
        + (f": {trust.missed[0]}" if trust.missed else ""),
    )
    for party, pieces in captures.pieces.items():
        leaks = search.find(captures.of(party), party)
        size = sum(map(len, pieces.values()))
        yield Check(
            f"no plaintext reached the {party}",
            size > 0 and not leaks,
            f"{len(search.secrets)} secrets, {size:,} bytes searched"
            if not leaks
            else "; ".join(f"{leak.secret} as {leak.dress}" for leak in leaks),
        )


def _secrets(whose: str, letter: Letter) -> Iterator[Secret]:
    for part, value in (("text", letter.text), ("subject", letter.subject), ("file name", letter.file_name)):
        word = next(word for word in value.split() if "-" in word).strip(".,")
        yield Secret(f"{part} of the {whose}", word.encode())
    middle = len(letter.file) // 2
    for place, start in (("start", 0), ("middle", middle), ("end", len(letter.file) - 2 * _SLICE)):
        yield Secret(f"{place} of the file of the {whose}", letter.file[start : start + _SLICE])


def _mail_matches(read: dict[str, object], letter: Letter) -> bool:
    files = cast("list[dict[str, object]]", read.get("files", []))
    return (
        str(read.get("text", "")).replace("\r\n", "\n").strip() == letter.text
        and read.get("subject") == letter.subject
        and read.get("from") == JULIET
        and letter.subject not in str(read.get("outer_subject"))
        and [(file["name"], file["sha256"]) for file in files] == [(letter.file_name, _digest(letter.file))]
    )


def _message_matches(message: Message, letter: Letter) -> bool:
    return (
        message.text.replace("\r\n", "\n").strip() == letter.text
        and message.subject == letter.subject
        and message.claimed_sender == ROMEO
        and [(file.name, file.read()) for file in message.attachments] == [(letter.file_name, letter.file)]
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _same_key(one: object, other: object) -> bool:
    return bool(one) and str(one).upper() == str(other).upper()


def _short(fingerprint: str) -> str:
    return f"…{fingerprint[-16:]}"

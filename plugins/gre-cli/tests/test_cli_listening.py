"""How received messages are shown: loud verdicts, no terminal injection, attachments saved safely."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

import pytest
from gre_cli.asking import Asker, how_to_approve
from gre_cli.listening import _VERDICTS, _Inbox
from gre_cli.output import Output

from gre_core.api import encrypter, formatter
from gre_core.errors import NotForUs
from gre_core.model import Attachment, Direction, Message, Notice, Question, Signature, Verdict
from gre_core.opening import Received, Unopened
from gre_core.wire import MESSAGE_TAG

if TYPE_CHECKING:
    from pathlib import Path

PEER = "romeo\\40montague.example@mail.capulet.example"


def _received(
    signature: Signature = Signature.GOOD, text: str = "hello", *, direction: Direction = Direction.RECEIVED
) -> Received:
    message = Message(
        text=text,
        subject="a [bold]subject[/bold]\x1b[2J",
        attachments=(Attachment.from_bytes("../evil\x1b[31m.txt", "text/plain", b"content"),),
        claimed_sender="romeo@montague.example",
    )
    verdict = Verdict(signature, signer="AB" * 20, source="xep-0373", detail="why\x07")
    notices = (Notice("sender-mismatch", "not\x1b[0m who you think"),)
    return Received(
        message, verdict, notices, PEER, direction, formatter("mime"), encrypter("openpgp"), "id1"
    )


@pytest.mark.parametrize(
    ("signature", "shown", "untrusted"),
    [
        (Signature.GOOD, "good signature", 0),
        (Signature.UNSIGNED, "not signed", 0),
        (Signature.UNKNOWN_SIGNER, "nothing is proven", 0),
        (Signature.WRONG_SIGNER, "SIGNED BY SOMEBODY ELSE", 1),
        (Signature.BAD, "BAD SIGNATURE", 1),
        (Signature.OTHER_RECIPIENTS, "WRITTEN TO OTHERS", 0),
        (Signature.REPLAYED, "SAME MESSAGE CAME BEFORE", 1),
        (Signature.STALE, "NOT WRITTEN NOW", 0),
        (Signature.REFLECTED, "YOUR OWN MESSAGE", 1),
        (Signature.PARTIAL, "ONLY A PART", 0),
    ],
)
def test_verdicts_are_shown(
    signature: Signature, shown: str, untrusted: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inbox = _Inbox(Output(), tmp_path / "files", 1)
    inbox._received(_received(signature))
    screen = capsys.readouterr().out
    assert shown in screen
    assert "romeo@montague.example" in screen
    assert inbox.untrusted == untrusted
    assert inbox.full.is_set()


def test_every_verdict_has_words() -> None:
    assert set(_VERDICTS) == set(Signature)


def test_recipients_and_the_thread_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    came = _received(Signature.GOOD)
    message = replace(came.message, to=("juliet@capulet.example", "nurse@capulet.example"))
    _Inbox(Output(), tmp_path, None)._received(replace(came, message=message, reply_to="ours\x1b"))
    screen = capsys.readouterr().out
    assert "written to juliet@capulet.example, nurse@capulet.example" in screen
    assert "id id1, answers ours" in screen
    assert "\x1b" not in screen


def test_nothing_steers_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inbox = _Inbox(Output(), tmp_path, None)
    inbox._received(_received(Signature.BAD, "\x1b]0;title\x07[red]text[/red]\x9b31m\u202eback\rover"))
    screen = capsys.readouterr().out
    assert not set(screen) & set("\x1b\x07\x9b\r\u202e")
    assert "[red]text[/red]" in screen
    assert "a [bold]subject[/bold]" in screen
    assert not inbox.full.is_set()


def test_attachments_are_saved_safely(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inbox = _Inbox(Output(json=True), tmp_path / "files", None)
    inbox._received(_received())
    inbox._received(_received())
    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["attachments"] for one in objects] == [
        [str(tmp_path / "files" / "evil.txt")],
        [str(tmp_path / "files" / "evil (1).txt")],
    ]
    assert stat.S_IMODE((tmp_path / "files").stat().st_mode) == 0o700
    assert objects[0]["signature"] == "good"
    assert objects[0]["from"] == "romeo@montague.example"


def test_a_message_whose_files_cannot_be_saved_is_not_confirmed(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file where the folder should be")
    inbox = _Inbox(Output(), tmp_path / "files", 1)
    with pytest.raises(OSError, match="files"):
        inbox._received(_received())
    assert inbox.number == 0


def test_what_cannot_be_opened_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = Unopened(NotForUs("No key of yours."), Element(MESSAGE_TAG), PEER, Direction.RECEIVED, "id2")
    inbox = _Inbox(Output(), tmp_path, 1)
    inbox._unopened(failed)
    assert "COULD NOT BE OPENED: No key of yours." in capsys.readouterr().out
    assert inbox.untrusted == 1


QUESTION = Question("key-changed", PEER, "Changed?", before="AA", after="BB CC")


@pytest.mark.parametrize(
    ("approved", "answer"),
    [
        ((), False),
        (("key-changed",), True),
        (("key-changed=BB CC",), True),
        (("key-changed=DD", "key-added"), False),
    ],
)
async def test_only_what_was_approved_is_agreed_to(approved: tuple[str, ...], *, answer: bool) -> None:
    assert await Asker(Output(json=True), approved).decide(QUESTION) is answer


def test_how_to_approve_is_ready_for_a_shell() -> None:
    assert how_to_approve(QUESTION) == "--approve 'key-changed=BB CC'"

"""A peer and our user who know each other's keys, and what each sees of a letter of the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_openpgp.armor import PUBLIC_KEY, dearmor, is_armored
from gre_openpgp.xep0373 import PublicKey

from gre_core.client import Received
from gre_core.model import Attachment, Message
from peers.office import ADDRESS
from peers.peer import DEFAULT, Letter, autocrypt_key
from peers.table import READS, WRITES, Row

if TYPE_CHECKING:
    from peers.office import Office
    from peers.peer import Peer, Seen

FILES = {
    "map 1.bin": bytes(range(256)) * 40 + b"\r\n.\r\n\n",
    "Grüße an Olivia.txt": "Grüße\n.\nFrom here\n".encode(),
}


def to_peer(*, answers: str = "") -> Letter:
    """What our user writes."""
    return Letter(
        "Schöne Grüße: a secret subject", "Hello,\n\nFrom here — it’s fine.\n.\nJuliet", FILES, answers
    )


def from_peer(*, answers: str = "") -> Letter:
    """What the peer writes."""
    return Letter(
        "Über die Mauer: a secret answer", "Hello Juliet,\n\nFrom there — it’s fine.\n.\nO.", FILES, answers
    )


class Meeting:
    """Two people who exchanged keys by a first mail, as Autocrypt does.

    Arguments:
        peer: new.
        office: running.
    """

    def __init__(self, peer: Peer, office: Office) -> None:
        self.peer = peer
        self.office = office
        peer.prepare()
        certificate = peer.certificate()
        binary = dearmor(certificate.decode("ascii"), PUBLIC_KEY) if is_armored(certificate) else certificate
        self.key = PublicKey.read(binary)
        office.serve_key(peer.address, certificate)
        hello = office.send(peer.address, Message("Hello", subject="First"))
        self.fingerprint = PublicKey.read(autocrypt_key(hello)).fingerprint
        peer.meet(hello, ADDRESS)

    def reads(self, message: str = DEFAULT) -> tuple[Row, Seen]:
        """Let the peer read a letter of ours; give what the table says about it, and what the peer saw."""
        letter = to_peer()
        files = tuple(
            Attachment.from_bytes(name, "application/octet-stream", content)
            for name, content in letter.files.items()
        )
        mail = self.office.send(
            self.peer.address, Message(letter.text, subject=letter.subject, attachments=files)
        )
        seen = self.peer.open(mail)
        right = seen.signer == self.fingerprint
        header = "subject" if seen.subject == letter.subject else f"no, shows {seen.subject!r}"
        row = Row(
            self.program, READS, message,
            "yes" if seen.text == letter.text else "no",
            seen.signature if right or seen.signature != "good" else "good, by another key",
            header, _compare(seen.files),
        )  # fmt: skip
        return row, seen

    def writes(self, way: str, *, answers: str) -> tuple[Row, Received]:
        """Let our user read a letter of the peer; give what the table says about it, and what came."""
        letter = from_peer(answers=answers)
        mail = self.peer.write(letter, ADDRESS, way)
        for word in ("secret", "Mauer"):
            assert word.encode() not in mail
        came = self.office.deliver(mail, self.peer.address)
        assert isinstance(came, Received), came
        message, verdict = came.message, came.verdict
        right = verdict.signer == self.key.fingerprint
        understood = [
            name
            for name, good in (
                ("subject", message.subject == letter.subject),
                ("threading", message.in_reply_to == answers),
                ("sender", message.claimed_sender == self.peer.address),
            )
            if good
        ]
        row = Row(
            self.program, WRITES, way,
            "yes" if message.text.replace("\r\n", "\n").rstrip() == letter.text else "no",
            verdict.signature if right or verdict.signature != "good" else "good, by another key",
            ", ".join(understood), _compare({each.name: each.read() for each in message.attachments}),
        )  # fmt: skip
        return row, came

    @property
    def program(self) -> str:
        """The name for the table."""
        return self.peer.name + ("" if self.peer.knows_mail else " ¹")


def _compare(files: object) -> str:
    assert isinstance(files, dict)
    same = sum(files.get(name) == content for name, content in FILES.items())
    more = len(files.keys() - FILES.keys())
    return f"{same} of {len(FILES)}" + (f", and {more} more" if more else "")

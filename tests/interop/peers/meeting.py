"""A peer and our user who know each other's keys, and what each sees of a letter of the other."""

from __future__ import annotations

from dataclasses import replace
from email import message_from_bytes
from typing import TYPE_CHECKING

from gre_openpgp.armor import PUBLIC_KEY, dearmor, is_armored
from gre_openpgp.xep0373 import PublicKey

from gre_core.api import formatter
from gre_core.client import Received
from gre_core.model import Attachment, Message
from peers.office import ADDRESS
from peers.peer import Letter, autocrypt_key
from peers.table import DEFAULT, READS, WRITES, Row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from peers.office import Office
    from peers.peer import Peer, Seen

MIME = formatter("mime")
FILES = {
    "map 1.bin": bytes(range(256)) * 40 + b"\r\n.\r\n\n",
    "Grüße an Olivia.pdf": b"%PDF-1.4\n\xff\xfe\0\nFrom here\n.\n",
}


TO_PEER = Letter("Schöne Grüße: a subject", "Hello,\n\nFrom here — it’s fine.\n.\nJuliet", FILES)
FROM_PEER = Letter("Über die Mauer: an answer", "Hello Juliet,\n\nFrom there — it’s fine.\n.\nO.", FILES)


OPTIONS: dict[str, dict[str, str]] = {
    DEFAULT: {},
    "padded": {f"{{{MIME}}}padding": "padme"},
    "shy": {f"{{{MIME}}}header-confidentiality": "shy"},
}
"""What our user may wish, by the name in the table."""


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
        self.our_key = PublicKey.read(autocrypt_key(hello))
        self.first = str(message_from_bytes(hello)["Message-ID"]).strip("<>")
        peer.meet(hello, ADDRESS)

    def reads(self, message: str) -> tuple[Row, Seen]:
        """Let the peer read a letter of ours; give what the table says about it, and what the peer saw."""
        letter = TO_PEER
        files = tuple(
            Attachment.from_bytes(name, "application/octet-stream", content)
            for name, content in letter.files.items()
        )
        mail = self.office.send(
            self.peer.address,
            Message(letter.text, subject=letter.subject, attachments=files),
            OPTIONS[message],
        )
        seen = self.peer.open(mail)
        right = seen.signer == self.our_key.fingerprint
        header = "subject" if seen.subject == letter.subject else f"no, shows {seen.subject!r}"
        row = Row(
            self.program, READS, message,
            "yes" if seen.text == letter.text else "no",
            seen.signature if right or seen.signature != "good" else "good, by another key",
            header, _compare(seen.files, FILES),
        )  # fmt: skip
        return row, seen

    def writes(self, way: str) -> tuple[Row, Received]:
        """Let our user read an answer of the peer; give what the table says about it, and what came."""
        files = dict(list(FILES.items())[: self.peer.most_files])
        letter = replace(FROM_PEER, files=files, answers=self.first)
        written = self.peer.write(letter, ADDRESS, way)
        assert b"Hello Juliet" not in written.mail
        came = self.office.deliver(written.mail, self.peer.address)
        assert isinstance(came, Received), came
        message, verdict = came.message, came.verdict
        right = verdict.signer == self.key.fingerprint
        understood = [
            name
            for name, good in (
                ("subject", message.subject == written.subject),
                ("threading", message.in_reply_to == written.answers),
                ("sender", message.claimed_sender == self.peer.address),
            )
            if good
        ]
        row = Row(
            self.program, WRITES, way,
            "yes" if message.text.replace("\r\n", "\n").rstrip() == letter.text else "no",
            verdict.signature if right or verdict.signature != "good" else "good, by another key",
            ", ".join(understood) or "none, and we say so", _compare({each.name: each.read() for each in message.attachments}, files),
        )  # fmt: skip
        return row, came

    @property
    def program(self) -> str:
        """The name for the table."""
        return self.peer.name + ("" if self.peer.knows_mail else " ¹")


def _compare(came: Mapping[str, bytes], sent: Mapping[str, bytes]) -> str:
    same = sum(came.get(name) == content for name, content in sent.items())
    more = len(came.keys() - sent.keys())
    return f"{same} of {len(sent)}" + (f", and {more} more" if more else "")

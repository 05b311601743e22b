"""What every peer has in common: the methods that a test calls, and what a mail is to a program without mail."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from email.policy import default as modern
from email.utils import formatdate, make_msgid, parseaddr
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from gre_core.testing import require
from peers.table import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECONDS = 60
"""How long a program may take for one step."""


@dataclass(frozen=True)
class Letter:
    """What a person writes.

    Arguments:
        subject: hidden outside.
        text: with LF line ends.
        files: attachments by name, of type application/octet-stream.
        answers: Message-ID of the mail that this one answers, without angle brackets, or "".
    """

    subject: str
    text: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    answers: str = ""


@dataclass(frozen=True)
class Seen:
    """What a program shows of a mail.

    Arguments:
        signature: its own judgement: ``good``, or what it says otherwise.
        signer: fingerprint of the key that it names, in upper case.
        subject: the one that it shows.
        text: with LF line ends, without white space at its end.
        files: the attachments that it gives, by name.
        raw: what it decrypted, when it knows no mail.
    """

    signature: str
    signer: str
    subject: str
    text: str
    files: Mapping[str, bytes] = field(repr=False)
    raw: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Written:
    """What a program wrote.

    Arguments:
        mail: as it gives it to a mail server.
        subject: that the user wrote, or the program.
        answers: Message-ID of the mail that it answers, without angle brackets.
    """

    mail: bytes
    subject: str
    answers: str


class Peer:
    """A mail user with a program that is not ours, and a key of his own in a home of his own."""

    name: ClassVar[str]
    package: ClassVar[str]
    """How to get the program."""
    knows_mail: ClassVar[bool] = False
    """False: OpenPGP alone. What it decrypts is read by Python's ``email``, which also writes its mails."""
    ways: ClassVar[tuple[str, ...]] = (DEFAULT,)
    """What it writes: with the options that it has by default, or others."""
    most_files: ClassVar[int] = 2
    """How many attachments it puts into one mail."""

    def __init__(self, address: str) -> None:
        self.address = address
        # Short, because sockets lie in it and their paths have at most 107 characters; mkdtemp gives mode 0700.
        self.home = Path(tempfile.mkdtemp(prefix="gre-", dir="/tmp" if Path("/tmp").is_dir() else None))

    @classmethod
    def need(cls, *programs: str) -> None:
        """Skip or fail when a program is not there."""
        require(all(map(shutil.which, programs)), f"{cls.name} ({cls.package})")

    def run(
        self, *command: str | Path, data: bytes = b"", check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program in the home, with nothing of the user's configuration."""
        done = subprocess.run(
            [str(word) for word in command],
            input=data, capture_output=True, check=False, timeout=SECONDS, cwd=self.home, env=self.environment(),
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{command}: {done.stderr.decode(errors='replace')}"
        return done

    def environment(self) -> dict[str, str]:
        """Give the environment of its programs."""
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "SYSTEMROOT") if name in os.environ}
        return {**kept, "HOME": str(self.home), "LC_ALL": "C.UTF-8", "TERM": "xterm"}

    def prepare(self) -> None:
        """Make a key."""
        raise NotImplementedError

    def version(self) -> str:
        raise NotImplementedError

    def certificate(self) -> bytes:
        """Give the public key, binary or armored."""
        raise NotImplementedError

    def meet(self, mail: bytes, address: str) -> None:
        """Take the key of a correspondent from the first mail."""
        self.learn(autocrypt_key(mail), address)

    def learn(self, certificate: bytes, address: str) -> None:
        """Take the binary certificate of a correspondent."""
        raise NotImplementedError

    def open(self, mail: bytes) -> Seen:
        """Read a mail."""
        opened = self.decrypt(encrypted_part(mail))
        return read_mime(*opened)

    def write(self, letter: Letter, to: str, way: str) -> Written:
        """Answer a mail in one of its ways."""
        content = write_mime(letter, self.address, to)
        mail = pgp_mime(self.encrypt(content, to, way), self.address, to)
        return Written(mail, letter.subject, letter.answers)

    def decrypt(self, armored: bytes) -> tuple[bytes, str, str]:
        """Give the content, the judgement of the signature, and the signer's fingerprint."""
        raise NotImplementedError

    def encrypt(self, content: bytes, to: str, way: str) -> bytes:
        """Sign and encrypt; armored."""
        raise NotImplementedError

    def close(self) -> None:
        """End what runs, and remove the home."""
        shutil.rmtree(self.home, ignore_errors=True)


# -- mail, with nothing but the standard library ---------------------------------------------------


def encrypted_part(mail: bytes) -> bytes:
    """Give the OpenPGP message of a PGP/MIME mail (RFC 3156, section 4)."""
    message = message_from_bytes(mail, policy=modern)
    assert message.get_content_type() == "multipart/encrypted"
    assert message.get_param("protocol") == "application/pgp-encrypted"
    version, content = list(message.iter_parts())
    assert version.get_content_type() == "application/pgp-encrypted"
    return bytes(content.get_payload(decode=True))


def pgp_mime(armored: bytes, sender: str, to: str) -> bytes:
    """Put an OpenPGP message into a mail (RFC 3156, section 4)."""
    head = (
        f"From: {sender}\nTo: {to}\nDate: {formatdate()}\nMessage-ID: {make_msgid(domain='outside.example')}\n"
        'Subject: ...\nMIME-Version: 1.0\nContent-Type: multipart/encrypted; protocol="application/pgp-encrypted";\n'
        ' boundary="=_outside"\n\n--=_outside\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\n'
        "--=_outside\nContent-Type: application/octet-stream\n\n"
    ).encode()
    return (head + armored.strip() + b"\n\n--=_outside--\n").replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def write_mime(letter: Letter, sender: str, to: str) -> bytes:
    """Write what is to be encrypted: a mail with its header inside."""
    inner = EmailMessage(policy=SMTP.clone(max_line_length=998))
    inner["From"], inner["To"], inner["Date"], inner["Subject"] = sender, to, formatdate(), letter.subject
    inner["Message-ID"] = make_msgid(domain=sender.partition("@")[2])
    if letter.answers:
        inner["In-Reply-To"] = f"<{letter.answers}>"
    inner.set_content(letter.text + "\n")
    for name, content in letter.files.items():
        inner.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    inner.set_param("protected-headers", "v1")
    return inner.as_bytes()


def read_mime(content: bytes, signature: str, signer: str) -> Seen:
    """Read what was decrypted."""
    inner = message_from_bytes(content, policy=modern)
    text, files = "", {}
    for part in inner.walk():
        if part.is_multipart():
            continue
        name = part.get_filename()
        if name is not None:
            files[name] = bytes(part.get_payload(decode=True))
        elif part.get_content_type() == "text/plain":
            text = part.get_content().replace("\r\n", "\n").rstrip()
    return Seen(signature, signer.upper(), str(inner["Subject"] or ""), text, files, content)


def autocrypt_key(mail: bytes) -> bytes:
    """Give the key of the one Autocrypt header, which is about the address in From (Autocrypt 1.1, section 2.1)."""
    message = message_from_bytes(mail, policy=modern)
    (header,) = message.get_all("Autocrypt", [])
    attributes = dict(part.strip().split("=", 1) for part in str(header).split(";"))
    assert attributes["addr"] == parseaddr(str(message["From"]))[1]
    return base64.b64decode(re.sub(r"\s", "", attributes["keydata"]), validate=True)


def status_of_gnupg(status: bytes | str) -> tuple[str, str]:
    """Read what GnuPG says on its status descriptor: judgement and fingerprint of the primary key."""
    text = status.decode(errors="replace") if isinstance(status, bytes) else status
    words = {line.split()[1]: line.split()[2:] for line in text.splitlines() if line.startswith("[GNUPG:] ")}
    if "GOODSIG" in words and "VALIDSIG" in words:
        return "good", words["VALIDSIG"][-1]
    wrong: Sequence[str] = [
        word for word in ("BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG") if word in words
    ]
    return (wrong[0].lower() if wrong else "none"), ""

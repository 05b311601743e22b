"""The mail user of the demo: a mail program of its own that imports nothing of this framework.

Run as ``python -I mailuser.py`` with one line of JSON on standard input (see ``main``). It makes a key, waits for a
mail, reads it, and answers. It writes one line of JSON for each of these to standard output. OpenPGP is the work of
``gpg`` where that is installed, and of PGPy otherwise.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import smtplib
import subprocess
import sys
import time
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.policy import SMTP
from email.policy import default as modern
from email.utils import formatdate, make_msgid, parseaddr
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

_GPG_SECONDS = 30
_BOUNDARY = "=_mail-user-pgp"


class Failure(Exception):
    """Something that the mail user cannot go on from."""


class OpenPGP(Protocol):
    """What a mail program wants of OpenPGP."""

    name: str

    def make_key(self, address: str) -> tuple[str, bytes]:
        """Make a key; give its fingerprint and the armored certificate."""
        ...

    def import_key(self, certificate: bytes) -> None:
        """Take somebody's certificate."""
        ...

    def decrypt(self, message: bytes) -> tuple[bytes, str, str]:
        """Give the content, the verdict on the signature (``good`` or what is wrong), and the signer."""
        ...

    def encrypt(self, content: bytes, recipients: list[str]) -> bytes:
        """Sign and encrypt; give an armored message."""
        ...


class Gpg:
    """GnuPG with its default options, in a home of its own."""

    def __init__(self, program: str, home: Path) -> None:
        self._program = program
        self._home = home
        version = self._run("--version").decode().partition("\n")[0]
        self.name = f"GnuPG {version.rpartition(' ')[2]}"

    def _run(self, *arguments: str, content: bytes = b"") -> bytes:
        command = [self._program, "--homedir", str(self._home), "--batch", "--no-tty", "--quiet", *arguments]
        done = subprocess.run(command, input=content, capture_output=True, timeout=_GPG_SECONDS, check=False)
        if done.returncode != 0:
            raise Failure(f"gpg {arguments[0]}: {done.stderr.decode(errors='replace').strip()[-400:]}")
        return done.stdout

    def make_key(self, address: str) -> tuple[str, bytes]:
        """Make a key; give its fingerprint and the armored certificate."""
        self._run(
            "--pinentry-mode", "loopback", "--passphrase", "",
            "--quick-generate-key", f"Romeo <{address}>", "future-default", "default", "never",
        )  # fmt: skip
        listing = self._run("--with-colons", "--list-secret-keys", address).decode()
        fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))
        return fingerprint, self._run("--armor", "--export", address)

    def import_key(self, certificate: bytes) -> None:
        """Take somebody's certificate."""
        self._run("--import", content=certificate)

    def decrypt(self, message: bytes) -> tuple[bytes, str, str]:
        """Give content, verdict and signer."""
        status = self._home / "status"
        content = self._run("--status-file", str(status), "--decrypt", content=message)
        lines = [line.split() for line in status.read_text(errors="replace").splitlines()]
        status.unlink()
        words = {line[1]: line[2:] for line in lines if len(line) > 1}
        if "GOODSIG" in words and "VALIDSIG" in words:
            return content, "good", words["VALIDSIG"][-1]
        wrong = [word for word in ("BADSIG", "ERRSIG", "EXPKEYSIG", "REVKEYSIG") if word in words]
        return content, wrong[0].lower() if wrong else "unsigned", ""

    def encrypt(self, content: bytes, recipients: list[str]) -> bytes:
        """Sign and encrypt; give an armored message."""
        to = [word for address in recipients for word in ("--recipient", address)]
        # No web of trust stands behind a key from an Autocrypt header: a mail program says so to gpg.
        return self._run("--trust-model", "always", "--armor", "--sign", "--encrypt", *to, content=content)


class PgpyProgram:
    """PGPy, for machines without gpg."""

    def __init__(self) -> None:
        import pgpy

        self._pgpy: Any = pgpy
        self._own: Any = None
        self._others: dict[str, Any] = {}
        self.name = f"PGPy {version('pgpy')}"

    def make_key(self, address: str) -> tuple[str, bytes]:
        """Make a key; give its fingerprint and the armored certificate."""
        from pgpy.constants import (
            CompressionAlgorithm,
            EllipticCurveOID,
            HashAlgorithm,
            KeyFlags,
            PubKeyAlgorithm,
            SymmetricKeyAlgorithm,
        )

        key = self._pgpy.PGPKey.new(PubKeyAlgorithm.EdDSA, EllipticCurveOID.Ed25519)
        key.add_uid(
            self._pgpy.PGPUID.new("Romeo", email=address),
            usage={KeyFlags.Certify, KeyFlags.Sign},
            hashes=[HashAlgorithm.SHA256],
            ciphers=[SymmetricKeyAlgorithm.AES256],
            compression=[CompressionAlgorithm.Uncompressed],
        )
        subkey = self._pgpy.PGPKey.new(PubKeyAlgorithm.ECDH, EllipticCurveOID.Curve25519)
        key.add_subkey(subkey, usage={KeyFlags.EncryptCommunications, KeyFlags.EncryptStorage})
        self._own, self._others[address] = key, key.pubkey
        return str(key.fingerprint), str(key.pubkey).encode()

    def import_key(self, certificate: bytes) -> None:
        """Take somebody's certificate."""
        key, _ = self._pgpy.PGPKey.from_blob(certificate)
        for user in key.userids:
            self._others[user.email or parseaddr(user.name or "")[1] or user.name] = key

    def decrypt(self, message: bytes) -> tuple[bytes, str, str]:
        """Give content, verdict and signer."""
        # PGPy wants a checksum in every armor, which RFC 9580, section 6.1, made optional: give it the binary message.
        armored = message.replace(b"\r\n", b"\n").partition(b"\n\n")[2].partition(b"\n-----END")[0]
        lines = [line for line in armored.split(b"\n") if not line.startswith(b"=")]
        opened = self._own.decrypt(self._pgpy.PGPMessage.from_blob(base64.b64decode(b"".join(lines))))
        content = bytes(opened.message) if not isinstance(opened.message, str) else opened.message.encode()
        if not opened.is_signed:
            return content, "unsigned", ""
        for key in self._others.values():
            ours = {key.fingerprint.keyid, *key.subkeys}
            if ours.isdisjoint(opened.signers):
                continue
            result = key.verify(opened)
            good = list(result.good_signatures)
            return (content, "good", str(key.fingerprint)) if result and good else (content, "badsig", "")
        return content, "errsig", ""

    def encrypt(self, content: bytes, recipients: list[str]) -> bytes:
        """Sign and encrypt; give an armored message."""
        from pgpy.constants import CompressionAlgorithm, SymmetricKeyAlgorithm

        message = self._pgpy.PGPMessage.new(content, compression=CompressionAlgorithm.Uncompressed)
        message |= self._own.sign(message)
        cipher = SymmetricKeyAlgorithm.AES256
        session_key = cipher.gen_key()
        for address in recipients:
            message = self._others[address].encrypt(message, cipher=cipher, sessionkey=session_key)
        return str(message).encode()


# -- mail --------------------------------------------------------------------------------------------


def wait_for_mail(mailbox: Path, seconds: float) -> bytes:
    """Give the first mail that appears in the mailbox."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for path in sorted(mailbox.glob("[0-9]*.eml")):
            return path.read_bytes()
        time.sleep(0.02)
    raise Failure("no mail came")


def autocrypt_key(mail: Message) -> bytes:
    """Give the key in the Autocrypt header, which must be for the address in From (Autocrypt 1.1, section 2.1)."""
    headers = mail.get_all("Autocrypt", [])
    if len(headers) != 1:
        raise Failure(f"the mail has {len(headers)} Autocrypt headers, not one")
    attributes: dict[str, str] = {}
    for part in str(headers[0]).split(";"):
        name, _, value = part.strip().partition("=")
        attributes[name] = value
    if attributes.get("addr", "").casefold() != parseaddr(str(mail["From"]))[1].casefold():
        raise Failure("the Autocrypt header is for another address than From")
    return base64.b64decode(re.sub(r"\s+", "", attributes["keydata"]), validate=True)


def encrypted_part(mail: Message) -> bytes:
    """Give the OpenPGP message of a PGP/MIME mail (RFC 3156, section 4)."""
    parts = [part for part in mail.get_payload() if isinstance(part, Message)] if mail.is_multipart() else []
    if mail.get_content_type() != "multipart/encrypted" or len(parts) != 2:  # noqa: PLR2004
        raise Failure(f"the mail is {mail.get_content_type()}, not PGP/MIME")
    if parts[0].get_content_type() != "application/pgp-encrypted" or b"Version: 1" not in _content(parts[0]):
        raise Failure("the first part is not as RFC 3156 wants it")
    return _content(parts[1])


def _content(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""


def describe(payload: bytes) -> dict[str, object]:
    """Tell what stands in a decrypted mail."""
    inner = message_from_bytes(payload, policy=modern)
    text, files = "", []
    for part in inner.walk():
        if part.is_multipart():
            continue
        name = part.get_filename()
        if name is None and part.get_content_type() == "text/plain" and not text:
            text = part.get_content()
        elif name is not None:
            content = _content(part)
            files.append(
                {
                    "name": name,
                    "type": part.get_content_type(),
                    "size": len(content),
                    "sha256": hashlib.sha256(content).hexdigest(),
                }
            )
    return {
        "subject": str(inner["Subject"] or ""),
        "from": parseaddr(str(inner["From"] or ""))[1],
        "message_id": str(inner["Message-ID"] or ""),
        "text": text,
        "files": files,
    }


def build_answer(order: dict[str, Any], to: str, in_reply_to: str, program: OpenPGP) -> bytes:
    """Make the answer: a signed and encrypted mail with its real header inside (RFC 3156)."""
    answer = order["answer"]
    message_id, date = make_msgid(domain=order["address"].partition("@")[2]), formatdate()
    inner = EmailMessage(policy=SMTP)
    inner["From"], inner["To"], inner["Date"] = f"Romeo <{order['address']}>", to, date
    inner["Subject"], inner["Message-ID"] = answer["subject"], message_id
    if in_reply_to:
        inner["In-Reply-To"] = in_reply_to
    inner.set_content(answer["text"])
    inner.add_attachment(
        base64.b64decode(answer["file"]), maintype="application", subtype="pdf", filename=answer["file_name"]
    )
    inner.set_param("protected-headers", "v1")
    armored = program.encrypt(inner.as_bytes(), [to, order["address"]]).replace(b"\r\n", b"\n").strip()
    head = (
        f"From: Romeo <{order['address']}>\nTo: {to}\nDate: {date}\nMessage-ID: {message_id}\nSubject: ...\n"
        'MIME-Version: 1.0\nContent-Type: multipart/encrypted; protocol="application/pgp-encrypted";\n'
        f' boundary="{_BOUNDARY}"\n\n--{_BOUNDARY}\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\n'
        f'--{_BOUNDARY}\nContent-Type: application/octet-stream; name="encrypted.asc"\n\n'
    )
    return (head.encode() + armored + f"\n--{_BOUNDARY}--\n".encode()).replace(b"\n", b"\r\n")


def say(event: str, **fields: object) -> None:
    """Tell the demo what happened."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def run(order: dict[str, Any]) -> None:
    """Be a mail user: make a key, read one mail, answer it."""
    gpg, home = order["gpg"], Path(order["home"])
    program: OpenPGP = Gpg(gpg, home) if gpg else PgpyProgram()
    started = time.monotonic()
    fingerprint, certificate = program.make_key(order["address"])
    target = Path(order["certificate"])
    hidden = target.with_name(f".{target.name}")
    hidden.write_bytes(certificate)
    hidden.rename(target)
    say("key", fingerprint=fingerprint, program=program.name, ms=_ms(started))

    raw = wait_for_mail(Path(order["mailbox"]), order["seconds"])
    started = time.monotonic()
    mail = message_from_bytes(raw, policy=modern)
    program.import_key(autocrypt_key(mail))
    payload, verdict, signer = program.decrypt(encrypted_part(mail))
    seen = describe(payload)
    say("read", signature=verdict, signer=signer, outer_subject=str(mail["Subject"]), ms=_ms(started), **seen)

    started = time.monotonic()
    sender = parseaddr(str(mail["From"]))[1]
    answer = build_answer(order, sender, str(seen["message_id"]), program)
    with smtplib.SMTP("127.0.0.1", order["relay"], timeout=10) as connection:
        connection.sendmail(order["address"], [sender], answer)
    say("answered", ms=_ms(started), modules=sorted(name for name in sys.modules if name.startswith("gre")))


def _ms(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 1)


def main() -> int:
    """Read the order from standard input; see ``gre_cli.demo.world`` for its fields."""
    os.umask(0o077)
    try:
        run(json.loads(sys.stdin.readline()))
    except (
        Failure,
        OSError,
        ValueError,
        KeyError,
        smtplib.SMTPException,
        subprocess.SubprocessError,
    ) as error:
        say("failed", error=f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""A toy formatter and a toy encrypter for tests. INSECURE: everybody can read and forge what they make.

They keep the contract of :mod:`gre_core.api` to the letter, so that engines and hosts can be tested without
any cryptographic library. Their namespaces (``urn:xmpp:gre:formatter:test:0``) say what they are; never
announce them on a real network.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from gre_core.errors import (
    BadEncrypted,
    DecryptFailed,
    FormatFailed,
    NotForUs,
    NoUsableKey,
    ParseFailed,
    PeerError,
    PolicyChanged,
)
from gre_core.mime_text.file_names import safe_name
from gre_core.model import (
    Attachment,
    Body,
    Direction,
    Message,
    Opened,
    OpenJob,
    Question,
    SealJob,
    Signature,
    Verdict,
)

if TYPE_CHECKING:
    from gre_core.ports import Ports

KEY_NODE: Final = "urn:xmpp:gre:encrypter:test:keys"
"""Pubsub node whose item ids are the key names of a contact (only with ``keys=True``)."""

_PUBLIC_SECRET: Final = b"this is no secret: gre test-only toy encrypter"


class InsecureToyFormatter:
    """Writes a message as JSON. For tests only."""

    def format(self, message: Message, job: SealJob, /) -> bytes:
        """Give the message as JSON, with ``sender_id`` as its claimed sender; raises :class:`FormatFailed`."""
        to = message.to or tuple(recipient.legacy_id for recipient in job.recipients)
        named = replace(message, to=to, message_id=self.message_id(job), date=job.date)
        try:
            return toy_payload(named, job.data.sender_id)
        except OSError as error:
            raise FormatFailed("An attachment cannot be read. Attach it again.") from error

    def message_id(self, job: SealJob, /) -> str:
        """Give the id that a message will have."""
        return f"{job.origin_id}@{job.data.sender_id.rpartition('@')[2]}"

    def parse(self, payload: bytes, _job: OpenJob, /) -> Message:
        """Read what :func:`toy_payload` wrote; raises :class:`ParseFailed`."""
        try:
            fields = json.loads(payload)
            files = tuple(_toy_file(*map(_text, each[:3]), *each[3:]) for each in _list(fields["files"]))
            when = fields.get("date")
            return Message(
                _text(fields["text"]),
                _maybe(fields.get("html")),
                _maybe(fields["subject"]),
                files,
                tuple(map(_text, _list(fields.get("to", [])))),
                tuple(map(_text, _list(fields.get("cc", [])))),
                _maybe(fields["from"]),
                _maybe(fields.get("id")),
                _maybe(fields.get("answers")),
                tuple(map(_text, _list(fields.get("references", [])))),
                None if when is None else _date(when),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ParseFailed(f"This is no payload of the toy formatter ({type(error).__name__}).") from None


def _toy_file(name: str, kind: str, content: str, inline: object = False, cid: object = None) -> Attachment:  # noqa: FBT002
    if not isinstance(inline, bool):
        raise TypeError
    plain = base64.b64decode(content, validate=True)
    return Attachment.from_bytes(safe_name(name, kind), kind, plain, inline=inline, content_id=_maybe(cid))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _maybe(value: object) -> str | None:
    return None if value is None else _text(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _date(value: object) -> datetime:
    date = datetime.fromisoformat(_text(value))
    if date.tzinfo is None:
        raise ValueError
    return date


def toy_payload(message: Message, sender_id: str | None) -> bytes:
    """Give the payload of a message as the toy formatter writes it, for tests that play the legacy side."""
    files = [
        (file.name, file.media_type, base64.b64encode(file.read()).decode(), *_shown(file))
        for file in message.attachments
    ]
    fields = {"from": sender_id, "text": message.text, "subject": message.subject, "files": files}
    date = None if message.date is None else message.date.isoformat()
    more = {"to": message.to, "cc": message.cc, "id": message.message_id, "date": date}
    more |= {"answers": message.in_reply_to, "references": message.references, "html": message.html}
    return json.dumps(fields | {name: value for name, value in more.items() if value}).encode()


def _shown(file: Attachment) -> tuple[object, ...]:
    return (file.inline, file.content_id) if file.inline or file.content_id else ()


class InsecureToyEncrypter:
    """XORs with a key stream that everybody can compute, and signs likewise. For tests only.

    Arguments:
        keys: read the key names of contacts from :data:`KEY_NODE`, and ask before a changed or added one is
            used.
    """

    def __init__(self, *, keys: bool = False) -> None:
        """Make one."""
        self._keys = keys

    async def seal_keys(self, job: SealJob, ports: Ports, /) -> dict[str, Any]:
        """Give who can read it: the recipients and ourselves.

        Raises:
            NoUsableKey: a contact has published no key.
            PolicyChanged: the keys of a contact are others than before; the user has to decide.
        """
        if self._keys:
            for recipient in job.recipients:
                await self._require_keys(recipient.jid, ports)
        readers = [*(recipient.legacy_id for recipient in job.recipients), job.data.sender_id, job.account]
        return {"to": readers, "by": job.data.sender_id}

    async def _require_keys(self, jid: str, ports: Ports) -> None:
        try:
            names = " ".join(sorted(item.id for item in await ports.pubsub.items(jid, KEY_NODE)))
        except PeerError as error:
            raise NoUsableKey(f"{jid} has published no key. Ask them to.", peer=jid) from error
        known = ((await ports.store.get(f"toy/{jid}")) or b"").decode()
        if known and known != names:
            code = "key-added" if set(known.split()) < set(names.split()) else "key-changed"
            text = f"The keys of {jid} were {known} and are now {names}. Use the new ones?"
            question = Question(code, jid, text, before=known, after=names)
            if not await ports.decide(question):
                raise PolicyChanged(text, question=question)
        await ports.store.put(f"toy/{jid}", names.encode())

    async def encrypt(self, payload: bytes, keys: dict[str, Any], _ports: Ports, /) -> Body:
        """Disguise and sign the payload."""
        return toy_body(payload, to=keys["to"], signer=keys["by"], salt=secrets.token_hex(8))

    async def open_keys(self, body: Body, job: OpenJob, _ports: Ports, /) -> dict[str, Any]:
        """Read the envelope; raises :class:`BadEncrypted`."""
        return _envelope(body) | {"job": job}

    async def decrypt(self, _body: Body, keys: dict[str, Any], _ports: Ports, /) -> Opened:
        """Undo the disguise and judge the signature; raises :class:`NotForUs`, :class:`DecryptFailed`."""
        job: OpenJob = keys["job"]
        if job.account not in keys["to"]:
            raise NotForUs("The message is not for us.")
        payload = _xor(keys["sealed"], str(keys.get("salt", "")))
        if keys.get("sum") != hashlib.sha256(payload).hexdigest():
            raise DecryptFailed("The message is damaged.")
        return Opened(payload, _judge(payload, keys.get("by"), keys.get("mac"), job))


def _envelope(body: Body) -> dict[str, Any]:
    try:
        envelope: dict[str, Any] = json.loads(base64.b64decode(body.text, validate=True))
        envelope["sealed"] = bytes.fromhex(envelope["sealed"])
        if not isinstance(envelope["to"], list):
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadEncrypted("This is no body of the toy encrypter.") from None
    return envelope


def toy_body(payload: bytes, *, to: list[str], signer: str | None, salt: str = "") -> Body:
    """Make a body as the toy encrypter does, for tests that play the legacy side.

    Arguments:
        payload: the formatted message.
        to: who may open it: legacy ids and bare JIDs.
        signer: who signs; None leaves it unsigned.
        salt: what makes two bodies of the same payload different.
    """
    envelope = {
        "to": to,
        "by": signer,
        "mac": None if signer is None else _mac(payload, signer),
        "sum": hashlib.sha256(payload).hexdigest(),
        "sealed": _xor(payload, salt).hex(),
    }
    if salt:
        envelope["salt"] = salt
    return Body(base64.b64encode(json.dumps(envelope).encode()).decode())


def _judge(payload: bytes, signer: object, mac: object, job: OpenJob) -> Verdict:
    if not isinstance(signer, str):
        return Verdict(Signature.UNSIGNED)
    if not isinstance(mac, str) or not hmac.compare_digest(mac.encode(), _mac(payload, signer).encode()):
        return Verdict(Signature.BAD, signer)
    if job.direction is Direction.RECEIVED and signer != job.expected_sender:
        return Verdict(Signature.WRONG_SIGNER, signer)
    return Verdict(Signature.GOOD, signer, "toy")


def _mac(payload: bytes, signer: str) -> str:
    return hmac.new(_PUBLIC_SECRET, signer.encode() + b"\0" + payload, "sha256").hexdigest()


def _xor(data: bytes, salt: str) -> bytes:
    """XOR with a key stream that everybody can compute: done twice it is undone."""
    stream = hashlib.shake_256(_PUBLIC_SECRET + salt.encode("utf-8", "replace")).digest(len(data))
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")

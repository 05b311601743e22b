"""The host's side of the work in a worker process: names the keys, sends those that are asked for, reads the facts."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from gre_core.errors import DecryptFailed, EncryptFailed, WorkerFailed
from gre_openpgp.encrypting.engine import Judged
from gre_openpgp.encrypting.worker_frames import cert_name, pack, secret_name, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gre_core.model import SignedPart
    from gre_core.ports import Worker
    from gre_openpgp.encrypting.engine import Secret

OPEN: Final = "open_message"
OPEN_FILE: Final = "open_file"
JUDGE: Final = "judge_part"
NAME: Final = "name_signature"
SEAL: Final = "seal"
FUNCTIONS: Final = (OPEN, OPEN_FILE, JUDGE, NAME, SEAL)
"""The names of :class:`~gre_openpgp.encrypting.opening_worker.OpeningWorker` in the module of an engine."""

LARGE: Final = 256 << 10
"""Payloads that are longer are sealed in the worker: the libraries let nothing else run meanwhile."""

_ROUNDS: Final = 3
_MOST_NAMES: Final = 1024
_LONGEST_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Material:
    """What a piece of work needs.

    Arguments:
        module: where the functions of the engine are.
        secrets: ours.
        certs: binary public keys, of which each is named once.
    """

    module: str
    secrets: Sequence[Secret] = field(repr=False)
    certs: Sequence[bytes] = field(repr=False)


async def open_message(
    worker: Worker, message: bytes, material: Material, key_ids: Sequence[str], parser: str
) -> tuple[Judged, bytes | None]:
    """Decrypt and judge, as :meth:`~gre_openpgp.encrypting.engine.Engine.decrypt` does, and parse.

    Arguments:
        worker: of the host.
        message: see there.
        material: our keys, and the certs that may have signed.
        key_ids: of the subkeys to try, in their order.
        parser: see ``OpenJob.parser``.

    Result:
        The facts, and what the parser gave; the payload is empty then.

    Raises:
        NotForUs, DecryptFailed: see there.
        ParseFailed: by the parser.
    """
    outline = {"key_ids": key_ids, "parser": parser}
    facts, rest = await _opening(worker, OPEN, outline, material, message)
    if facts.get("parsed") is True:
        return _read(facts, b""), rest
    return _read(facts, rest), None


async def open_file(worker: Worker, source: Path, private: Path, material: Material) -> Judged:
    """Decrypt a file into a private one, as :meth:`~gre_openpgp.encrypting.engine.Engine.decrypt_into` does."""
    facts, _ = await _opening(worker, OPEN_FILE, _paths(source, private), material)
    return _read(facts, b"")


async def judge_part(worker: Worker, part: SignedPart, material: Material) -> Judged:
    """Judge a detached signature, as :func:`gre_openpgp.encrypting.detached.judge_detached` does."""
    outline = {"content": len(part.content), "protocol": part.protocol}
    facts, _ = await _opening(
        worker, JUDGE, outline, replace(material, secrets=()), part.content, part.signature
    )
    return _read(facts, b"")


async def name_signature(worker: Worker, message: bytes, part: SignedPart | None, material: Material) -> str:
    """Name the signature of a message, or of a part: see :mod:`gre_openpgp.encrypting.signature_names`."""
    outline = {"protocol": part and part.protocol, "content": len(part.content) if part else 0}
    data = (message,) if part is None else (part.content, part.signature)
    facts, _ = await _opening(worker, NAME, outline, material, *data)
    (name,) = _names([facts.get("name")])
    return name


async def seal(worker: Worker, payload: bytes, material: Material, lowered_by: bytes | None) -> bytes:
    """Sign and encrypt with the first of our keys to all certs; see ``Engine.encrypt``.

    Raises:
        EncryptFailed: it did not work.
    """
    try:
        _, sealed = await _ask(worker, SEAL, {"lowered_by": _hex(lowered_by)}, material, payload)
    except WorkerFailed as error:
        raise EncryptFailed(f"{_NOT_SENT}: {error.text}") from None
    return sealed


async def seal_file(
    worker: Worker, source: Path, private: Path, material: Material, lowered_by: bytes | None
) -> None:
    """Sign and encrypt a file into a private one; see :func:`seal`."""
    try:
        outline = {**_paths(source, private), "lowered_by": _hex(lowered_by)}
        await _ask(worker, SEAL, outline, material)
    except WorkerFailed as error:
        raise EncryptFailed(f"{_NOT_SENT}: {error.text}") from None


_NOT_OPENED: Final = "The message was not opened"
_NOT_SENT: Final = "The message was not encrypted, and nothing was sent"
_DAMAGED: Final = "The worker process gave something that is no answer"


def _hex(data: bytes | None) -> str | None:
    return None if data is None else data.hex()


def _paths(source: Path, private: Path) -> dict[str, str]:
    return {"source": str(source.absolute()), "private": str(private.absolute())}


async def _opening(
    worker: Worker, function: str, outline: dict[str, Any], material: Material, *data: bytes
) -> tuple[dict[str, Any], bytes]:
    try:
        return await _ask(worker, function, outline, material, *data)
    except WorkerFailed as error:
        raise DecryptFailed(
            f"{_NOT_OPENED}: {error.text}. Ask the sender to send it in another form"
        ) from None


async def _ask(
    worker: Worker, function: str, outline: dict[str, Any], material: Material, *data: bytes
) -> tuple[dict[str, Any], bytes]:
    """Call a function; when keys are missing there, once more with them (it was started anew, or forgot them)."""
    certs = {cert_name(cert): cert for cert in material.certs}
    secrets = {secret_name(secret.data): secret.data for secret in material.secrets}
    named = {**outline, "certs": list(certs), "secrets": list(secrets)}
    blobs: list[tuple[str, int]] = []
    pieces: list[bytes] = []
    for _ in range(_ROUNDS):
        answer = await worker.run(
            f"{material.module}:{function}", pack({**named, "blobs": blobs}, *pieces, *data)
        )
        try:
            facts, end = unpack(answer)
        except (ValueError, struct.error, RecursionError):
            raise WorkerFailed(_DAMAGED) from None
        missing = facts.get("missing")
        if not missing:
            return facts, answer[end:]
        blobs.clear()
        pieces.clear()
        for name in missing if isinstance(missing, list) else ():
            if name in certs:
                blobs.append(("cert", len(certs[name])))
                pieces.append(certs[name])
            elif name in secrets:
                blobs.append(("secret", len(secrets[name])))
                pieces.append(secrets[name])
    raise WorkerFailed(_DAMAGED)


def _read(facts: dict[str, Any], payload: bytes) -> Judged:
    """Take the facts of a process that may have been taken over: names of keys, and nothing else."""
    return Judged(payload, _names(facts.get("signers")), _names(facts.get("asked")))


def _names(found: object) -> tuple[str, ...]:
    if not isinstance(found, list) or len(found) > _MOST_NAMES:
        raise DecryptFailed(f"{_NOT_OPENED}: {_DAMAGED}")
    for name in found:
        if not (isinstance(name, str) and len(name) <= _LONGEST_NAME and set(name) <= _HEX):
            raise DecryptFailed(f"{_NOT_OPENED}: {_DAMAGED}")
    return tuple(found)


_HEX: Final = frozenset("0123456789abcdef")

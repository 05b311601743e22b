"""What of the encrypter runs inside a worker process. Each function takes a frame of the host and gives one back.

The same code judges here and in the host, so the verdicts are the same. Parsed keys are kept; a secret key that was not
used for a while is forgotten, and a panic of the library ends the process.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from gre_openpgp.xep0373 import PublicKey

from gre_core import worker_functions
from gre_core.model import SignedPart
from gre_encrypter_openpgp.certs import ParsedCert, by_id, parse_cert
from gre_encrypter_openpgp.choosing import choose
from gre_encrypter_openpgp.detached import judge_detached
from gre_encrypter_openpgp.files import decrypt_into
from gre_encrypter_openpgp.formats import encrypt, encrypt_file
from gre_encrypter_openpgp.own import OwnKey
from gre_encrypter_openpgp.sequoia import Judged, Panicked, decrypt
from gre_encrypter_openpgp.signature_names import name_of_message, name_of_part
from gre_encrypter_openpgp.worker_frames import cert_name, cut, pack, secret_name, unpack

if TYPE_CHECKING:
    import pysequoia
    from gre_openpgp.messages import CheckedMessage

    from gre_encrypter_openpgp.choosing import Chosen

MAX_CERTS: Final = 4096
MAX_SECRETS: Final = 64

SECRET_SECONDS: Final = 600.0
"""How long a secret key is kept without being used."""

T = TypeVar("T")


class _Kept(Generic[T]):
    """Parsed keys by digest, the least used one first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[str, tuple[T, float]] = OrderedDict()

    def get(self, name: str) -> T | None:
        found = self._known.get(name)
        if found is None:
            return None
        self._known[name] = (found[0], time.monotonic())
        self._known.move_to_end(name)
        return found[0]

    def put(self, name: str, value: T) -> None:
        self._known[name] = (value, time.monotonic())
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def forget(self, seconds: float) -> None:
        now = time.monotonic()
        while self._known and now - next(iter(self._known.values()))[1] > seconds:
            self._known.popitem(last=False)


_certs: Final[_Kept[ParsedCert]] = _Kept(MAX_CERTS)
_secrets: Final[_Kept[OwnKey]] = _Kept(MAX_SECRETS)


class _Job:
    """A request: its keys found, its data cut off."""

    def __init__(self, data: bytes) -> None:
        _secrets.forget(SECRET_SECONDS)
        self.outline, end = unpack(data)
        *blobs, self.data = cut(data, end, [length for _, length in self.outline["blobs"]])
        for (kind, _), blob in zip(self.outline["blobs"], blobs, strict=True):
            if kind == "cert":
                _certs.put(cert_name(blob), parse_cert(PublicKey.read(blob)))
            else:
                _secrets.put(secret_name(blob), OwnKey.read(blob))
        certs = {name: _certs.get(name) for name in self.outline["certs"]}
        secrets = {name: _secrets.get(name) for name in self.outline["secrets"]}
        self.missing = [name for name, found in (certs | secrets).items() if found is None]
        self.certs = [cert for cert in certs.values() if cert is not None]
        self.keys = [key for key in secrets.values() if key is not None]
        self.secrets = [key.numbers for key in self.keys]

    def decryptors(self) -> dict[str, pysequoia.PyDecryptor]:
        """Give those of all our keys, by key id."""
        return {name: found for key in self.keys for name, found in key.decryptors().items()}


def _with_keys(work: Callable[[_Job], bytes], data: bytes) -> bytes:
    """Do the work, or ask for keys; a panic ends the process, so that nothing poisoned is used again."""
    try:
        job = _Job(data)
        del data
        return pack({"missing": job.missing}) if job.missing else work(job)
    except Panicked:
        _secrets.forget(-1)
        raise SystemExit from None


def _judged(judged: Judged, **more: Any) -> dict[str, Any]:
    return {"signers": judged.signers, "asked": judged.asked, **more}


def _open(job: _Job) -> bytes:
    ours = job.decryptors()
    decryptors = [ours[name] for name in job.outline["key_ids"] if name in ours]
    judged = decrypt(job.data, decryptors, by_id(job.certs), job.secrets)
    parser = job.outline["parser"]
    if not parser:
        return pack(_judged(judged, parsed=False), judged.payload)
    return pack(_judged(judged, parsed=True), worker_functions.get(parser)(judged.payload))


def _open_file(job: _Job) -> bytes:
    source, private = Path(job.outline["source"]), Path(job.outline["private"])

    def chosen(checked: CheckedMessage) -> Chosen:
        return choose(checked, job.decryptors())

    return pack(_judged(decrypt_into(source, private, chosen, by_id(job.certs), job.secrets)))


def _judge_part(job: _Job) -> bytes:
    content, signature = cut(job.data, 0, [job.outline["content"]])
    part = SignedPart(content, signature, job.outline["protocol"])
    return pack(_judged(judge_detached(part, by_id(job.certs))))


def _name_signature(job: _Job) -> bytes:
    certs, protocol = by_id(job.certs), job.outline["protocol"]
    if protocol is None:
        return pack({"name": name_of_message(job.data, certs, job.secrets)})
    content, signature = cut(job.data, 0, [job.outline["content"]])
    return pack({"name": name_of_part(SignedPart(content, signature, protocol), certs)})


def _seal(job: _Job) -> bytes:
    signer = job.keys[0].signer(datetime.now(UTC))
    certs = [cert.cert for cert in job.certs]
    named = job.outline["lowered_by"]
    lowered_by = None if named is None else bytes.fromhex(named)
    if "source" not in job.outline:
        return pack({}, encrypt(job.data, certs, signer, lowered_by))
    source, private = Path(job.outline["source"]), Path(job.outline["private"])
    encrypt_file(source, private, certs, signer, lowered_by)
    return pack({})


open_message = partial(_with_keys, _open)
open_file = partial(_with_keys, _open_file)
judge_part = partial(_with_keys, _judge_part)
name_signature = partial(_with_keys, _name_signature)
seal = partial(_with_keys, _seal)

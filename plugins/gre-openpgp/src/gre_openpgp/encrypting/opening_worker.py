"""What of an encrypter runs inside a worker process. Each function takes a frame of the host and gives one back.

The same code judges here and in the host, so the verdicts are the same. Parsed keys are kept; a secret key that was not
used for a while is forgotten, and a failure of the library ends the process.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from gre_core import worker_functions
from gre_core.model import SignedPart
from gre_openpgp.encrypting.choosing import choose
from gre_openpgp.encrypting.detached import judge_detached
from gre_openpgp.encrypting.engine import Engine, Judged, LibraryFailed, ParsedCert, by_id
from gre_openpgp.encrypting.own import OwnKey
from gre_openpgp.encrypting.signature_names import name_of_message, name_of_part
from gre_openpgp.encrypting.worker_frames import cert_name, cut, pack, secret_name, unpack
from gre_openpgp.xep0373 import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_openpgp.encrypting.choosing import Chosen
    from gre_openpgp.messages import CheckedMessage

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


class _Job:
    """A request: its keys found, its data cut off."""

    def __init__(
        self, engine: Engine, known_certs: _Kept[ParsedCert], known_secrets: _Kept[OwnKey], data: bytes
    ) -> None:
        self.outline, end = unpack(data)
        *blobs, self.data = cut(data, end, [length for _, length in self.outline["blobs"]])
        for (kind, _), blob in zip(self.outline["blobs"], blobs, strict=True):
            if kind == "cert":
                known_certs.put(cert_name(blob), engine.read(PublicKey.read(blob)))
            else:
                known_secrets.put(secret_name(blob), OwnKey.read(engine, blob))
        certs = {name: known_certs.get(name) for name in self.outline["certs"]}
        secrets = {name: known_secrets.get(name) for name in self.outline["secrets"]}
        self.missing = [name for name, found in (certs | secrets).items() if found is None]
        self.certs = [cert for cert in certs.values() if cert is not None]
        self.keys = [key for key in secrets.values() if key is not None]
        self.secrets = [key.numbers for key in self.keys]

    def decryptors(self) -> dict[str, Any]:
        """Give those of all our keys, by key id."""
        return {name: found for key in self.keys for name, found in key.decryptors().items()}


class OpeningWorker:
    """The functions for one engine. The module that :attr:`Engine.worker_module` names has one, and its methods."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._certs: _Kept[ParsedCert] = _Kept(MAX_CERTS)
        self._secrets: _Kept[OwnKey] = _Kept(MAX_SECRETS)

    def open_message(self, data: bytes) -> bytes:
        """Decrypt, judge and parse a message."""
        return self._with_keys(self._open, data)

    def open_file(self, data: bytes) -> bytes:
        """Decrypt and judge a file."""
        return self._with_keys(self._open_file, data)

    def judge_part(self, data: bytes) -> bytes:
        """Judge a detached signature."""
        return self._with_keys(self._judge_part, data)

    def name_signature(self, data: bytes) -> bytes:
        """Name the signature of a message or a part."""
        return self._with_keys(self._name_signature, data)

    def seal(self, data: bytes) -> bytes:
        """Sign and encrypt a message or a file."""
        return self._with_keys(self._seal, data)

    def _with_keys(self, work: Callable[[_Job], bytes], data: bytes) -> bytes:
        """Do the work, or ask for keys; a broken library ends the process, so that nothing poisoned is used again."""
        try:
            self._secrets.forget(SECRET_SECONDS)
            job = _Job(self._engine, self._certs, self._secrets, data)
            del data
            return pack({"missing": job.missing}) if job.missing else work(job)
        except LibraryFailed:
            self._secrets.forget(-1)
            raise SystemExit from None

    def _open(self, job: _Job) -> bytes:
        ours = job.decryptors()
        decryptors = [ours[name] for name in job.outline["key_ids"] if name in ours]
        judged = self._engine.decrypt(job.data, decryptors, by_id(job.certs), job.secrets)
        parser = job.outline["parser"]
        if not parser:
            return pack(_judged(judged, parsed=False), judged.payload)
        return pack(_judged(judged, parsed=True), worker_functions.get(parser)(judged.payload))

    def _open_file(self, job: _Job) -> bytes:
        source, private = Path(job.outline["source"]), Path(job.outline["private"])

        def chosen(checked: CheckedMessage) -> Chosen:
            return choose(checked, job.decryptors())

        return pack(
            _judged(self._engine.decrypt_into(source, private, chosen, by_id(job.certs), job.secrets))
        )

    def _judge_part(self, job: _Job) -> bytes:
        content, signature = cut(job.data, 0, [job.outline["content"]])
        part = SignedPart(content, signature, job.outline["protocol"])
        return pack(_judged(judge_detached(self._engine, part, by_id(job.certs))))

    def _name_signature(self, job: _Job) -> bytes:
        engine, certs, protocol = self._engine, by_id(job.certs), job.outline["protocol"]
        if protocol is None:
            return pack({"name": name_of_message(engine, job.data, certs, job.secrets)})
        content, signature = cut(job.data, 0, [job.outline["content"]])
        return pack({"name": name_of_part(engine, SignedPart(content, signature, protocol), certs)})

    def _seal(self, job: _Job) -> bytes:
        signer = job.keys[0].signer(datetime.now(UTC))
        certs = [cert.cert for cert in job.certs]
        named = job.outline["lowered_by"]
        lowered_by = None if named is None else bytes.fromhex(named)
        if "source" not in job.outline:
            return pack({}, self._engine.encrypt(job.data, certs, signer, lowered_by))
        source, private = Path(job.outline["source"]), Path(job.outline["private"])
        self._engine.encrypt_file(source, private, certs, signer, lowered_by)
        return pack({})


def _judged(judged: Judged, **more: Any) -> dict[str, Any]:
    return {"signers": judged.signers, "asked": judged.asked, **more}

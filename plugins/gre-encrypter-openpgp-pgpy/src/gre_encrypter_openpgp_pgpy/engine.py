"""PGPy as the engine of the encrypter: puts the modules beside it into one shape."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from gre_openpgp.certificate_parts import ENCRYPTS, Parts
from gre_openpgp.encrypting.engine import Engine, Judged, ParsedCert, Secret
from gre_openpgp.encrypting.files import mapped
from gre_openpgp.encrypting.opening import open_message, signed_inside
from gre_openpgp.encrypting.secretkeys import is_locked, public_part
from gre_openpgp.encrypting.transferable import merged
from gre_openpgp.encrypting.unwrap import MAX_CONTENT, unwrap
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.messages import check_message
from gre_openpgp.packets import PUBLIC_SUBKEY, key_id

from gre_core.errors import DecryptFailed, EncryptFailed, NoUsableKey
from gre_core.model import Notice
from gre_encrypter_openpgp_pgpy import sealing, vault
from gre_encrypter_openpgp_pgpy.certificate import Certificate
from gre_encrypter_openpgp_pgpy.judging import judge
from gre_encrypter_openpgp_pgpy.signatures import moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from gre_openpgp.encrypting.files import Choose
    from gre_openpgp.xep0373 import PublicKey

_LARGEST: Final = MAX_CONTENT + (1 << 20)
_TOO_LARGE: Final = (
    f"The message is larger than the {MAX_CONTENT} bytes that this package reads. The package gre-encrypter-openpgp "
    f"(Sequoia) reads larger ones"
)


class PgpyEngine:
    """See :class:`~gre_openpgp.encrypting.engine.Engine`."""

    worker_module = "gre_encrypter_openpgp_pgpy.opening_worker"

    def read(self, key: PublicKey) -> ParsedCert:
        """Parse a public key and verify every signature of its owner on it. Takes some milliseconds."""
        cert = Certificate(key.data)
        if cert.fingerprint != key.fingerprint:
            raise BadOpenPGP("The key has another fingerprint than announced")
        ids = tuple(name.lower() for part in cert.keys for name in (part.fingerprint, part.key_id))
        now = datetime.now(UTC).timestamp()
        if not cert.said(now):
            return ParsedCert(key, cert, ids, (), "it is not valid (no signature of its owner on it counts)")
        lifetime = cert.lifetime(now)
        ends = moment(cert.primary.created + lifetime) if lifetime else None
        problem, expires = _use(cert, ends, now)
        return ParsedCert(key, cert, ids, cert.user_ids(now), problem, expires, cert.revoked(now), ends)

    def merge(self, mine: PublicKey, other: PublicKey) -> bytes:
        """Put the packets of two forms of a key together. None is written anew."""
        for each in (mine, other):
            self.read(each)
        if mine.fingerprint != other.fingerprint:
            raise BadOpenPGP(f"The key {other.fingerprint} cannot be joined with another one")
        return merged(mine.data, other.data)

    def check_secret(self, secret: bytes) -> None:
        """Make sure that a secret key is whole, not locked, and of a kind that is read here."""
        try:
            if is_locked(secret):
                raise NoUsableKey("Your key cannot be read: it is locked with a passphrase")
            Certificate(public_part(secret))
            _ = Secret(secret).subkeys
        except BadOpenPGP as error:
            raise NoUsableKey(f"Your key cannot be read: {error.text}") from None

    def signer(self, secret: bytes) -> Any:
        """See :func:`gre_encrypter_openpgp_pgpy.sealing.signer`."""
        return sealing.signer(secret)

    def decryptors(self, secret: bytes) -> dict[str, Any]:
        """Give the numbers of each subkey that its owner ever encrypted to, by key id."""
        numbers = Secret(secret).subkeys
        parts = Parts(public_part(secret))
        meant = {
            key_id(parts.name(group.packet))
            for group in parts.groups
            if (group.tag == PUBLIC_SUBKEY or group is parts.primary)
            and any(facts.flags & ENCRYPTS for facts in group.signatures)
        }
        return {name: found for name, found in numbers.items() if name in meant}

    def lock(self, data: bytes, password: str) -> bytes:
        """See :func:`gre_encrypter_openpgp_pgpy.vault.lock`."""
        return vault.lock(data, password)

    def unlock(self, message: bytes, password: str) -> bytes | None:
        """See :func:`gre_encrypter_openpgp_pgpy.vault.unlock`."""
        return vault.unlock(message, password)

    def lowered_by(self, certs: Sequence[ParsedCert]) -> bytes | None:  # noqa: ARG002
        """Nothing: every message is of the format that all programs read."""
        return None

    def explain_format(self, certs: Sequence[ParsedCert]) -> Notice:  # noqa: ARG002
        """Say that it is always the older format."""
        text = "Format: SEIPD version 1 (RFC 4880), which every program reads, since PGPy writes no other"
        return Notice("openpgp-format", text, {"seipd": "1"})

    def encrypt(
        self,
        payload: bytes,
        certs: Sequence[Any],
        signer: Any,
        lowered_by: bytes | None,  # noqa: ARG002 - it is always None
        *,
        now: datetime | None = None,
    ) -> bytes:
        """See :func:`gre_encrypter_openpgp_pgpy.sealing.seal`."""
        return sealing.seal(payload, certs, signer, _seconds(now))

    def encrypt_file(
        self,
        source: Path,
        private: Path,
        certs: Sequence[Any],
        signer: Any,
        lowered_by: bytes | None,
        *,
        now: datetime | None = None,
    ) -> None:
        """Sign and encrypt a file, in memory."""
        if source.stat().st_size > MAX_CONTENT:
            raise EncryptFailed(
                f"The file is larger than the {MAX_CONTENT} bytes that this package encrypts. The package "
                f"gre-encrypter-openpgp (Sequoia) takes larger ones",
                limit=MAX_CONTENT,
            )
        private.write_bytes(self.encrypt(source.read_bytes(), certs, signer, lowered_by, now=now))

    def decrypt(
        self,
        message: bytes,
        decryptors: Sequence[Any],  # noqa: ARG002 - the secrets are the same keys
        certs: Mapping[str, Any],
        secrets: Sequence[Secret],
        *,
        bounded: bool = False,  # noqa: ARG002 - it always is
        now: datetime | None = None,
    ) -> Judged:
        """Decrypt and decompress by our own reader, within its limits, then judge each signature."""
        if len(message) > _LARGEST:
            raise DecryptFailed(_TOO_LARGE, limit=MAX_CONTENT)
        content, signatures = unwrap(open_message(message, secrets))
        judged = Judged(content, *judge(content, signatures, certs, _seconds(now)))
        return judged if judged.asked else signed_inside(self, judged, certs, now)

    def decrypt_into(
        self,
        source: Path,
        private: Path,
        choose: Choose,
        certs: Mapping[str, Any],
        secrets: Sequence[Secret],
        *,
        bounded: bool = False,  # noqa: ARG002 - it always is
        now: datetime | None = None,
    ) -> Judged:
        """Check and decrypt a file, in memory."""
        with mapped(source) as data:
            checked = check_message(data)
            wanted, _ = choose(checked)
            if len(data) > _LARGEST:
                raise DecryptFailed(_TOO_LARGE, limit=MAX_CONTENT)
            content, signatures = unwrap(open_message(checked.keep(data[:], wanted), secrets))
        private.write_bytes(content)
        return Judged(b"", *judge(content, signatures, certs, _seconds(now)))

    def verify(
        self,
        content: bytes,
        signatures: Sequence[bytes],
        certs: Mapping[str, Any],
        *,
        now: datetime | None = None,
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """See :func:`gre_encrypter_openpgp_pgpy.judging.judge`."""
        return judge(content, signatures, certs, _seconds(now))


ENGINE: Final[Engine] = PgpyEngine()


def _seconds(now: datetime | None) -> float:
    return (now or datetime.now(UTC)).timestamp()


def _use(cert: Certificate, ends: datetime | None, now: float) -> tuple[str, datetime | None]:
    """Tell why nothing may be encrypted to a key, and when it expires for encryption."""
    if cert.revoked(now):
        return "its owner revoked it", None
    parts = [until for _, until in cert.encrypting(now, ended=True)]
    if not parts:
        return "it cannot be encrypted to", None
    last = None if None in parts else moment(max(until for until in parts if until is not None))
    expires = min((each for each in (ends, last) if each is not None), default=None)
    if expires is not None and expires.timestamp() <= now:
        return f"it expired on {expires:%Y-%m-%d}", expires
    return "", expires

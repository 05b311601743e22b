"""Sequoia as the engine of the encrypter: puts the modules beside it into one shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from gre_openpgp.encrypting.engine import Engine, Judged, first_line
from gre_openpgp.encrypting.opening import signed_inside

from gre_core.errors import EncryptFailed, GreError
from gre_encrypter_openpgp import certs as public_keys
from gre_encrypter_openpgp import files, formats, own_secrets, sequoia, vault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from gre_openpgp.encrypting.engine import ParsedCert, Secret
    from gre_openpgp.encrypting.files import Choose
    from gre_openpgp.xep0373 import PublicKey

    from gre_core.model import Notice

T = TypeVar("T")


class SequoiaEngine:
    """See :class:`~gre_openpgp.encrypting.engine.Engine`."""

    worker_module = "gre_encrypter_openpgp.opening_worker"

    def read(self, key: PublicKey) -> ParsedCert:
        """See :func:`gre_encrypter_openpgp.certs.parse_cert`."""
        return public_keys.parse_cert(key)

    def merge(self, mine: PublicKey, other: PublicKey) -> bytes:
        """See :func:`gre_encrypter_openpgp.certs.merge`."""
        return public_keys.merge(mine, other)

    def check_secret(self, secret: bytes) -> None:
        """See :func:`gre_encrypter_openpgp.own_secrets.check_secret`."""
        own_secrets.check_secret(secret)

    def signer(self, secret: bytes) -> Any:
        """See :func:`gre_encrypter_openpgp.own_secrets.signer`."""
        return own_secrets.signer(secret)

    def decryptors(self, secret: bytes) -> dict[str, Any]:
        """See :func:`gre_encrypter_openpgp.own_secrets.decryptors`."""
        return own_secrets.decryptors(secret)

    def lock(self, data: bytes, password: str) -> bytes:
        """See :func:`gre_encrypter_openpgp.vault.lock`."""
        return vault.lock(data, password)

    def unlock(self, message: bytes, password: str) -> bytes | None:
        """See :func:`gre_encrypter_openpgp.vault.unlock`."""
        return vault.unlock(message, password)

    def lowered_by(self, certs: Sequence[ParsedCert]) -> bytes | None:
        """See :mod:`gre_encrypter_openpgp.formats`."""
        return (
            formats.throw_away() if formats.must_lower([cert.key.data for cert in reversed(certs)]) else None
        )

    def explain_format(self, certs: Sequence[ParsedCert]) -> Notice:
        """See :func:`gre_encrypter_openpgp.formats.explain_format`."""
        return formats.explain_format(certs)

    def encrypt(
        self,
        payload: bytes,
        certs: Sequence[Any],
        signer: Any,
        lowered_by: bytes | None,
        *,
        now: datetime | None = None,  # noqa: ARG002 - Sequoia asks the system
    ) -> bytes:
        """See :func:`gre_encrypter_openpgp.formats.encrypt`."""
        return _sealing(lambda: formats.encrypt(payload, list(certs), signer, lowered_by))

    def encrypt_file(
        self,
        source: Path,
        private: Path,
        certs: Sequence[Any],
        signer: Any,
        lowered_by: bytes | None,
        *,
        now: datetime | None = None,  # noqa: ARG002 - Sequoia asks the system
    ) -> None:
        """See :func:`gre_encrypter_openpgp.formats.encrypt_file`."""
        _sealing(lambda: formats.encrypt_file(source, private, list(certs), signer, lowered_by))

    def decrypt(
        self,
        message: bytes,
        decryptors: Sequence[Any],
        certs: Mapping[str, Any],
        secrets: Sequence[Secret],
        *,
        bounded: bool = False,
        now: datetime | None = None,
    ) -> Judged:
        """See :func:`gre_encrypter_openpgp.sequoia.decrypt`."""
        judged = sequoia.decrypt(message, decryptors, certs, secrets, bounded=bounded)
        return judged if judged.asked else signed_inside(self, judged, certs, now)

    def decrypt_into(
        self,
        source: Path,
        private: Path,
        choose: Choose,
        certs: Mapping[str, Any],
        secrets: Sequence[Secret],
        *,
        bounded: bool = False,
        now: datetime | None = None,  # noqa: ARG002 - Sequoia asks the system
    ) -> Judged:
        """See :func:`gre_encrypter_openpgp.files.decrypt_into`."""
        return files.decrypt_into(source, private, choose, certs, secrets, bounded=bounded)

    def verify(
        self,
        content: bytes,
        signatures: Sequence[bytes],
        certs: Mapping[str, Any],
        *,
        now: datetime | None = None,  # noqa: ARG002 - Sequoia asks the system
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """See :func:`gre_encrypter_openpgp.sequoia.verify`."""
        return sequoia.verify(content, signatures, certs)


ENGINE: Final[Engine] = SequoiaEngine()


def _sealing(work: Callable[[], T]) -> T:
    try:
        return work()
    except GreError:
        raise
    except BaseException as error:  # noqa: BLE001 - a panic is no Exception
        sequoia.guard_panic(error)
        raise EncryptFailed(f"The message could not be encrypted: {first_line(error)}") from None

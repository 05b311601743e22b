"""What an OpenPGP library has to do for an encrypter: the seam between this package and those that hold a library.

An engine judges keys and signatures, and makes messages. It decides nothing about trust, keeps nothing, and never
awaits. What goes wrong is one of our errors: that of the method, or :class:`LibraryFailed`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol

from gre_core.errors import GreError
from gre_openpgp.packets import key_id
from gre_openpgp.user_ids import is_bound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from gre_core.model import Notice
    from gre_openpgp.encrypting.files import Choose
    from gre_openpgp.encrypting.secretkeys import SecretSubkey
    from gre_openpgp.xep0373 import PublicKey

MAX_TRIES: Final = 128
"""How many public-key operations it may take to find out which of our keys opens a message."""


class LibraryFailed(GreError):
    """The OpenPGP library broke: the decryptor or signer that was in use must be made anew."""

    code = "openpgp-library-failed"


@dataclass(frozen=True, slots=True)
class ParsedCert:
    """A public key that the library has read.

    Arguments:
        key: what was fetched.
        cert: the parsed form of the library.
        ids: fingerprint and key id of each of its keys, in lower-case hex: what a signature may name.
        user_ids: those that its owner bound to it and did not revoke.
        problem: why nothing may be encrypted to it, for people, or ``""``.
        expires: when that changes, if it does.
        revoked: its owner gave it up.
        ends: when the whole key expires, whatever its subkeys do; None: never.
    """

    key: PublicKey
    cert: Any = field(repr=False)
    ids: tuple[str, ...]
    user_ids: tuple[str, ...]
    problem: str = ""
    expires: datetime | None = None
    revoked: bool = False
    ends: datetime | None = None

    def usable_problem(self, address: str, now: datetime) -> str:
        """Say why nothing may be encrypted to it for this address now, or ``""``."""
        if self.problem:
            return self.problem
        if self.expires is not None and self.expires <= now:
            return f"it expired on {self.expires:%Y-%m-%d}"
        if not is_bound(self.user_ids, address):
            return f"it does not bear the name {address}"
        return ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A decrypted message.

    Arguments:
        payload: the plaintext; empty for work from file to file.
        signers: fingerprints of the certs with a valid signature, in lower-case hex.
        asked: ids of the signers that the message names, in lower-case hex.
    """

    payload: bytes = field(repr=False)
    signers: tuple[str, ...]
    asked: tuple[str, ...]


@dataclass(frozen=True)
class Secret:
    """A secret key of ours as bytes, for our own reading of messages.

    Arguments:
        data: the binary secret key, as it was made or imported.
        password: of a locked key.
    """

    data: bytes = field(repr=False)
    password: str | None = field(default=None, repr=False)

    @cached_property
    def subkeys(self) -> dict[str, SecretSubkey]:
        """The keys that decrypt, by key id in upper-case hex, read once.

        Raises:
            NoUsableKey: the password is wrong, or the key is damaged.
        """
        from gre_openpgp.encrypting.secretkeys import read_subkeys  # noqa: PLC0415 - a host with a worker needs none

        found = read_subkeys(self.data, self.password)
        return {key_id(fingerprint): subkey for fingerprint, subkey in found.items()}


class Engine(Protocol):
    """An OpenPGP library, in the shape that an encrypter needs. It is used by several threads."""

    @property
    def worker_module(self) -> str:
        """The module that holds the functions of :mod:`gre_openpgp.encrypting.opening_worker` for this engine."""
        ...

    # -- public keys -------------------------------------------------------------------------------

    def read(self, key: PublicKey) -> ParsedCert:
        """Parse a public key and find out what it may be used for.

        Raises:
            BadOpenPGP: the library cannot read it.
        """
        ...

    def merge(self, mine: PublicKey, other: PublicKey) -> bytes:
        """Put together what two forms of one key say, revocations of both included.

        Raises:
            BadOpenPGP: one cannot be read.
        """
        ...

    # -- our keys ----------------------------------------------------------------------------------

    def check_secret(self, secret: bytes) -> None:
        """Make sure that the library reads a binary secret key.

        Raises:
            NoUsableKey: it does not.
        """
        ...

    def signer(self, secret: bytes) -> Any:
        """Give what signs with a secret key.

        Raises:
            NoUsableKey: it cannot sign.
        """
        ...

    def decryptors(self, secret: bytes) -> dict[str, Any]:
        """Give what decrypts with each subkey, by key id in upper-case hex; expired and revoked ones included."""
        ...

    def lock(self, data: bytes, password: str) -> bytes:
        """Encrypt with a password, so that ``gpg --decrypt`` reads it (SKESK version 4, SEIPD version 1)."""
        ...

    def unlock(self, message: bytes, password: str) -> bytes | None:
        """Decrypt what :meth:`lock` of any engine gave, and passed the check; None when the password is another one.

        Raises:
            NoUsableKey: the message is damaged.
        """
        ...

    # -- messages ----------------------------------------------------------------------------------

    def lowered_by(self, certs: Sequence[ParsedCert]) -> bytes | None:
        """Give what :meth:`encrypt` needs for a format that every recipient's program reads; None for nothing."""
        ...

    def explain_format(self, certs: Sequence[ParsedCert]) -> Notice:
        """Say in which format a message to these certs is written, and why."""
        ...

    def encrypt(
        self,
        payload: bytes,
        certs: Sequence[Any],
        signer: Any,
        lowered_by: bytes | None,
        *,
        now: datetime | None = None,
    ) -> bytes:
        """Sign and encrypt.

        Arguments:
            payload: what is encrypted.
            certs: to whom: parsed forms.
            signer: ours.
            lowered_by: see :meth:`lowered_by`.
            now: the time of the host; the system's otherwise. Sequoia asks the system in any case.

        Raises:
            EncryptFailed: it did not work.
        """
        ...

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
        """Sign and encrypt a file into an existing private one; see :meth:`encrypt`."""
        ...

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
        """Decrypt a message that passed the check, and judge its signatures.

        Arguments:
            message: binary.
            decryptors: tried in order.
            certs: those that may have signed; see :func:`by_id`.
            secrets: the same keys as the decryptors, as bytes.
            bounded: decompress nothing without a limit: this process has no limit of memory.
            now: see :meth:`encrypt`.

        Raises:
            NotForUs: none of the decryptors opens it, and it names none of the keys.
            DecryptFailed: damaged or forged.
        """
        ...

    def decrypt_into(
        self,
        source: Path,
        private: Path,
        choose: Choose,
        certs: Mapping[str, Any],
        secrets: Sequence[Secret],
        *,
        bounded: bool = False,
        now: datetime | None = None,
    ) -> Judged:
        """Check and decrypt a file.

        Arguments:
            source: the binary message.
            private: an existing file. After a failure it may hold anything.
            choose: picks the session keys that are ours, and the decryptors for them.
            certs: see :meth:`decrypt`.
            secrets: see there.
            bounded: see there.
            now: see there.

        Raises:
            BadEncrypted, NotForUs, DecryptFailed: see there.
            OSError: the file system failed.
        """
        ...

    def verify(
        self,
        content: bytes,
        signatures: Sequence[bytes],
        certs: Mapping[str, Any],
        *,
        now: datetime | None = None,
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Judge signatures over a content, each for itself.

        Arguments:
            content: what they should cover, and nothing else.
            signatures: one packet each.
            certs: see :meth:`decrypt`.
            now: see :meth:`encrypt`.

        Returns:
            ``signers`` and ``asked`` of :class:`Judged`. A signature that the library cannot read counts for nothing.
        """
        ...


def by_id(certs: Iterable[ParsedCert]) -> dict[str, Any]:
    """Index certs by what signatures name."""
    return {name: parsed.cert for parsed in certs for name in parsed.ids}


def first_line(error: BaseException) -> str:
    """Give the first line of an error's text: the rest may be a stack trace."""
    return str(error).split("\n", 1)[0]

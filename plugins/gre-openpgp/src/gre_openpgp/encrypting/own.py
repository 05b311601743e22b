"""Our own key pairs: parsed once, locked while nobody gave the passphrase."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from gre_core.errors import NoUsableKey, OpenError
from gre_openpgp.certificate_parts import Parts
from gre_openpgp.encrypting import vault
from gre_openpgp.encrypting.engine import Secret
from gre_openpgp.encrypting.secretkeys import public_part
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.user_ids import XMPP, is_bound
from gre_openpgp.xep0373 import PublicKey

if TYPE_CHECKING:
    from datetime import timedelta

    from gre_openpgp.encrypting.engine import Engine, ParsedCert

_KEY_ID: Final = 16
_MAX_SENDER_ID: Final = 254


class KeyLocked(NoUsableKey, OpenError):
    """A key of ours is needed, and nobody gave its passphrase. A message that came stays kept."""

    code = "key-locked"


@dataclass(slots=True)
class OwnKey:
    """A key pair of ours.

    Arguments:
        engine: works with it.
        stored: what lies in the store: the binary secret key, or that encrypted with the passphrase.
        parsed: its public part.
    """

    engine: Engine = field(repr=False)
    stored: bytes = field(repr=False)
    parsed: ParsedCert
    _secret: bytes | None = field(default=None, repr=False)
    _passphrase: str | None = field(default=None, repr=False)
    _signer: Any = field(default=None, repr=False)
    _decryptors: dict[str, Any] | None = field(default=None, repr=False)
    _numbers: Secret | None = field(default=None, repr=False)

    @classmethod
    def read(cls, engine: Engine, secret: bytes, passphrase: str | None = None) -> OwnKey:
        """Parse a binary secret key that no other program has locked.

        Arguments:
            engine: works with it.
            secret: the key.
            passphrase: protects it in the store; None or empty: nothing does.

        Raises:
            NoUsableKey: it is no secret key that the engine reads.
        """
        parsed = _parsed_secret(engine, secret)
        stored = engine.lock(secret, passphrase) if passphrase else secret
        return cls(engine, stored, parsed, secret, passphrase or None)

    @classmethod
    def from_store(cls, engine: Engine, stored: bytes, public: bytes | None) -> OwnKey:
        """Take what lies in the store; a protected key is locked at first.

        Raises:
            NoUsableKey: it is damaged.
        """
        if not vault.is_locked(stored):
            return cls.read(engine, stored)
        if public is None:
            raise NoUsableKey("The public part of your key is missing in the store. Restore it from a backup")
        return cls(engine, stored, _parsed(engine, public))

    def changed(self, secret: bytes) -> OwnKey:
        """Give this key in a new form, protected by the same passphrase.

        Raises:
            NoUsableKey: it cannot be read, or it is another key.
        """
        new = OwnKey.read(self.engine, secret, self._passphrase)
        if new.fingerprint != self.fingerprint:
            raise NoUsableKey(f"Your key {self.fingerprint} could not be changed. Nothing was")
        return new

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the primary key, in upper-case hex."""
        return self.parsed.key.fingerprint

    @property
    def key_ids(self) -> frozenset[str]:
        """The key ids of the primary key and all subkeys, in upper-case hex."""
        return frozenset(name.upper() for name in self.parsed.ids if len(name) == _KEY_ID)

    @property
    def lifetime(self) -> timedelta | None:
        """How long it lives from its making on; None: for ever."""
        return None if self.parsed.ends is None else self.parsed.ends - self.created

    @property
    def created(self) -> datetime:
        """When it was made."""
        parts = Parts(self.parsed.key.data)
        return datetime.fromtimestamp(parts.created(parts.primary.packet), UTC)

    def bears(self, sender_id: str) -> bool:
        """Tell whether a user id names this sender."""
        return is_bound(self.parsed.user_ids, sender_id)

    # -- the lock ----------------------------------------------------------------------------------

    @property
    def protected(self) -> bool:
        """Whether a passphrase protects it in the store."""
        return vault.is_locked(self.stored)

    @property
    def locked(self) -> bool:
        """Whether its passphrase is needed now."""
        return self._secret is None

    @property
    def secret(self) -> bytes:
        """The binary secret key.

        Raises:
            KeyLocked: nobody unlocked it.
        """
        if self._secret is None:
            raise KeyLocked(
                f"Your key {self.fingerprint} is locked. Unlock it with its passphrase, and try again",
                fingerprint=self.fingerprint,
            )
        return self._secret

    def unlock(self, passphrase: str) -> bool:
        """Unlock it; tell whether that was its passphrase. Takes some 50 ms.

        Raises:
            NoUsableKey: it is damaged.
        """
        secret = vault.unlock(self.engine, self.stored, passphrase)
        if secret is None:
            return False
        if _parsed_secret(self.engine, secret).key.fingerprint != self.fingerprint:
            raise NoUsableKey(
                f"The store holds another key than {self.fingerprint}. Restore it from a backup"
            )
        self._secret, self._passphrase = secret, passphrase
        return True

    def lock(self) -> None:
        """Forget the secret part and the passphrase, if it is protected."""
        if self.protected:
            self._secret = self._passphrase = None
            self.renew()

    # -- use ---------------------------------------------------------------------------------------

    def problem(self, now: datetime) -> str:
        """Say why it signs nothing now, or ``""``."""
        if self.parsed.problem or self.parsed.expires is None or self.parsed.expires > now:
            return self.parsed.problem
        return f"it expired on {self.parsed.expires:%Y-%m-%d}"

    def signer(self, now: datetime) -> Any:
        """Give the signer.

        Raises:
            NoUsableKey: the key is revoked, expired, or cannot sign.
            KeyLocked: nobody unlocked it.
        """
        problem = self.problem(now)
        if problem:
            remedy = "Extend it (gre keys extend)" if "expired" in problem else "Make or import another one"
            raise NoUsableKey(
                f"Your own key {self.fingerprint} cannot be used any more: {problem}. {remedy}",
                fingerprint=self.fingerprint,
            )
        if self._signer is None:
            self._signer = self.engine.signer(self.secret)
        return self._signer

    def decryptors(self) -> dict[str, Any]:
        """Give one decryptor for each subkey, expired and revoked ones too, by key id in upper-case hex.

        Raises:
            KeyLocked: nobody unlocked it.
        """
        if self._decryptors is None:
            self._decryptors = self.engine.decryptors(self.secret)
        return self._decryptors

    @property
    def numbers(self) -> Secret:
        """The secret key for our own reading of messages, parsed at the first use.

        Raises:
            KeyLocked: nobody unlocked it.
        """
        if self._numbers is None:
            self._numbers = Secret(self.secret)
        return self._numbers

    def renew(self) -> None:
        """Drop what a failure of the library may have poisoned."""
        self._signer = None
        self._decryptors = None
        self._numbers = None


def _parsed_secret(engine: Engine, secret: bytes) -> ParsedCert:
    engine.check_secret(secret)
    try:
        return _parsed(engine, public_part(secret))
    except BadOpenPGP as error:
        raise NoUsableKey(f"Your key cannot be used: {error.text}") from None


def _parsed(engine: Engine, public: bytes) -> ParsedCert:
    try:
        return engine.read(PublicKey.read(public))
    except BadOpenPGP as error:
        raise NoUsableKey(f"Your key cannot be used: {error.text}") from None


def user_id_for(sender_id: str) -> str:
    """Give the user id for a sender: the address in angle brackets, as mail programs write it.

    An XMPP user, ``xmpp:juliet@example.org``, is written as it is (XEP-0373, section 8.5).

    Raises:
        NoUsableKey: it is no address.
    """
    plain = sender_id.strip()
    if not 0 < len(plain) <= _MAX_SENDER_ID or not plain.isprintable() or set(plain) & set("<>"):
        raise NoUsableKey(f"No key can be made for the name {sender_id[:80]!r}: it is no address")
    return plain if plain.startswith(XMPP) else f"<{plain}>"

"""What the encrypter keeps for one account during a session, and how it comes by its own key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.trust import accept, allowed, remember, remembered
from gre_openpgp.xep0373 import (
    PUBLIC_KEYS,
    SECRET_KEY,
    Announced,
    fetch_keys,
    publish,
    read_announced,
    timestamp,
)

from gre_core.errors import NoUsableKey, PeerError, PeerTimeout, PolicyChanged
from gre_core.model import Notice, Question
from gre_encrypter_openpgp.certs import ParsedCert, by_id, parse_cert
from gre_encrypter_openpgp.contacts import Contacts
from gre_encrypter_openpgp.own import ANNOUNCED, OUTDATED, OwnKey, load_own, save_own
from gre_encrypter_openpgp.sequoia import Secret

if TYPE_CHECKING:
    import pysequoia

    from gre_core.ports import Ports, PubSub

_MAX_SENDER_ID: Final = 254


class Ours(NamedTuple):
    """Our public keys: fingerprints in upper-case hex; certs by what signatures name, in lower-case hex."""

    fingerprints: frozenset[str]
    certs: dict[str, pysequoia.Cert]


class Account:
    """One account: our keys, the keys of contacts.

    Arguments:
        jid: our bare JID.
    """

    def __init__(self, jid: str) -> None:
        self.jid = jid
        self.contacts = Contacts()
        self.own: OwnKey | None = None
        self.older: tuple[OwnKey, ...] = ()
        self.others: tuple[ParsedCert, ...] = ()
        """Keys of our other devices and programs that the user agreed to."""
        self._loaded = False
        self._unsaved = False
        self._announced = False
        self._decryptors: dict[str, pysequoia.PyDecryptor] | None = None
        self._ours: Ours | None = None

    async def load(self, ports: Ports) -> OwnKey | None:
        """Give our key that signs, from the store; None when there is none.

        Raises:
            NoUsableKey, StoreError: it cannot be read.
        """
        if not self._loaded:
            keys = await load_own(ports.store)
            accepted = await remembered(self.jid, ports.store)
            ours = {key.fingerprint: key.parsed.key for key in keys}
            others = [key for key in accepted if key.fingerprint not in ours]
            if len(accepted) - len(others) < len(ours):  # an imported key: the import was the user's word
                await remember(self.jid, [*ours.values(), *others], ports.store)
            if self.own is None and keys:
                self.own, self.older = keys[0], keys[1:]
                self.others, self._ours = tuple(parse_cert(key) for key in others), None
            self._loaded = self.own is not None
        return self.own

    def decryptors(self) -> dict[str, pysequoia.PyDecryptor]:
        """Give the decryptors of all our keys, by key id in upper-case hex."""
        if self._decryptors is None:
            self._decryptors = {}
            for key in (self.own, *self.older):
                if key is not None:
                    self._decryptors.update(key.decryptors())
        return self._decryptors

    def secrets(self) -> tuple[Secret, ...]:
        """Give the secret keys as bytes, for what the decryptors cannot do."""
        return tuple(Secret(key.secret, key.password) for key in (self.own, *self.older) if key is not None)

    @property
    def ours(self) -> Ours:
        """All keys of ours that the user agreed to."""
        if self._ours is None:
            own = [key.parsed for key in (self.own, *self.older) if key is not None]
            certs = [*own, *self.others]
            self._ours = Ours(frozenset(cert.key.fingerprint for cert in certs), by_id(certs))
        return self._ours

    def renew(self) -> None:
        """Drop what a panic may have poisoned."""
        self._decryptors = None
        for key in (self.own, *self.older):
            if key is not None:
                key.renew()

    # -- for sealing -------------------------------------------------------------------------------

    async def signing_key(self, sender_id: str, ports: Ports) -> OwnKey:
        """Give our key for a sender; make and publish one when there is none anywhere.

        Arguments:
            sender_id: our identifier on the legacy network, which the user confirmed.
            ports: of the host.

        Raises:
            NoUsableKey: there is none, and it is not safe or not possible to make one; the text says what to
                do.
            PolicyChanged: the user has to agree first.
            StoreError: the store failed.
        """
        own = await self.load(ports) or await self._make(sender_id, ports)
        if self._unsaved:
            await self._save(own, ports)
        if not own.bears(sender_id):
            own = await self._add_user_id(own, sender_id, ports)
        if not self._announced:
            await self._announce(own, ports)
        return own

    async def _make(self, sender_id: str, ports: Ports) -> OwnKey:
        user_id = _user_id(sender_id)
        await self._refuse_second_key(ports)
        await self.load(ports)  # another message may have made it meanwhile
        if self.own is None:
            from gre_encrypter_openpgp.keymaking import make_key  # noqa: PLC0415 - loads PGPy

            self.own = OwnKey.read(make_key(user_id))  # no await since the look: only one task comes here
            self._unsaved, self._decryptors, self._ours = True, None, None
        return self.own

    async def _save(self, own: OwnKey, ports: Ports) -> None:
        """Keep a new key. Each task does this that wants to use it: none may publish what was not kept."""
        await save_own(own, ports.store)
        await remember(self.jid, [own.parsed.key], ports.store)
        self._unsaved, self._loaded = False, True

    async def _refuse_second_key(self, ports: Ports) -> None:
        """Stop unless it is certain that this account has no key yet, here or elsewhere."""
        for node, what, remedy in (
            (
                PUBLIC_KEYS,
                "announces an OpenPGP key that is not on this device",
                "Import it from the other device",
            ),
            (SECRET_KEY, "holds a backup of a secret key", "Restore it with its backup code"),
        ):
            try:
                found = await _holds_something(self.jid, node, ports.pubsub)
            except (PeerError, PeerTimeout) as error:
                raise NoUsableKey(
                    f"Nobody can tell whether {self.jid} has an OpenPGP key already: {error.text}. No key "
                    f"is made, since a second one would make messages unreadable on the other device. Try "
                    f"again later, or import your key",
                    account=self.jid,
                    node=node,
                ) from error
            if found:
                raise NoUsableKey(
                    f"{self.jid} {what}. {remedy}: a second key is never made by itself",
                    account=self.jid,
                    node=node,
                )

    async def _announce(self, own: OwnKey, ports: Ports) -> None:
        """Publish our key unless it is, as it is now. Beside other keys only with the user's word."""
        published = await ports.store.get(ANNOUNCED + own.fingerprint)
        if published:
            self._announced = True
            return
        try:
            present = await read_announced(self.jid, ports.pubsub)
            names = [entry.fingerprint for entry in present]
            if own.fingerprint not in names or published == OUTDATED:
                if names and own.fingerprint not in names:
                    await self._ask_second(own, names, ports)
                await publish(own.parsed.key, present, ports)
        except (PeerError, PeerTimeout, BadOpenPGP) as error:
            raise NoUsableKey(
                f"Your key {own.fingerprint} is kept on this device, but could not be published, so that "
                f"nobody could verify or answer your messages: {error.text}. Try again; if it goes on, ask "
                f"the operator of your server for personal eventing (XEP-0163)",
                account=self.jid,
            ) from error
        await ports.store.put(ANNOUNCED + own.fingerprint, timestamp(ports.now()).encode("ascii"))
        self._announced = True

    async def _ask_second(self, own: OwnKey, names: list[str], ports: Ports) -> None:
        question = Question(
            "own-key-second",
            self.jid,
            f"{self.jid} announces {', '.join(names)} already. If you agree, {own.fingerprint} is announced "
            f"as well, and others encrypt to both.",
            ", ".join(names),
            own.fingerprint,
        )
        if not await allowed(question, ports):
            raise PolicyChanged(question.text, question)

    async def _add_user_id(self, own: OwnKey, sender_id: str, ports: Ports) -> OwnKey:
        """Put a further name on our key. Never unasked: everybody who sees the key sees all names on it."""
        question = Question(
            "own-key-user-id",
            self.jid,
            f"Your key bears the names {', '.join(own.parsed.user_ids)}; this gateway knows you as "
            f"{sender_id}. If you agree, that name is added, and everybody who has your key sees that all "
            f"of them are you.",
            ", ".join(own.parsed.user_ids),
            sender_id,
        )
        user_id = _user_id(sender_id)
        if not await allowed(question, ports):
            raise PolicyChanged(question.text, question)
        from gre_encrypter_openpgp.keymaking import add_user_id  # noqa: PLC0415 - loads PGPy

        new = OwnKey.read(add_user_id(own.secret, user_id, own.password), own.password)
        if new.fingerprint != own.fingerprint or not new.bears(sender_id):
            raise NoUsableKey(f"The name {sender_id} could not be added to your key {own.fingerprint}")
        await ports.store.put(ANNOUNCED + new.fingerprint, OUTDATED)
        await save_own(new, ports.store)
        self.own, self._decryptors, self._ours, self._announced = new, None, None, False
        return new

    # -- for a session -----------------------------------------------------------------------------

    async def check_announced(self, ports: Ports) -> list[Notice]:
        """Look whether our key is still in our list, and whether others came (XEP-0373, section 7.3).

        Raises:
            StoreError: the store failed.
        """
        try:
            own = await self.load(ports)
        except NoUsableKey as error:
            return [Notice("own-key-unusable", error.text)]
        if own is None:
            return []
        notices: list[Notice] = []
        try:
            present = await read_announced(self.jid, ports.pubsub)
            if own.fingerprint not in {entry.fingerprint for entry in present}:
                if await ports.store.get(ANNOUNCED + own.fingerprint) is None:
                    return []  # not published yet: the first message does it
                await publish(own.parsed.key, present, ports)
                notices.append(
                    Notice(
                        "own-key-reannounced",
                        f"Somebody removed your key {own.fingerprint} from the list of {self.jid}; it was "
                        f"announced again. If that was not one of your own programs, change your password",
                        {"fingerprint": own.fingerprint},
                    )
                )
            notices += await self._look_at_others(own, present, ports)
        except (PeerError, PeerTimeout, BadOpenPGP) as error:
            notices.append(
                Notice("own-key-unchecked", f"Your own key list cannot be read or written: {error.text}")
            )
        return notices

    async def _look_at_others(
        self, own: OwnKey, present: tuple[Announced, ...], ports: Ports
    ) -> list[Notice]:
        """Take in keys of our other programs, if the user agrees: what we send is encrypted to them too."""
        ours = {own.fingerprint, *(key.fingerprint for key in self.older)}
        if all(entry.fingerprint in ours for entry in present):
            self.others, self._ours = (), None
            return []
        known = {cert.key.fingerprint: cert.key for cert in self.others}
        fetched = await fetch_keys(self.jid, ports.pubsub, known)
        others = [key for key in fetched.keys if key.fingerprint not in ours]
        try:
            await accept(
                self.jid,
                [own.parsed.key, *(key.parsed.key for key in self.older), *others],
                ports,
                note="This is your own account: if you agree, your other program reads what you send.",
            )
            self.others, self._ours = tuple(parse_cert(key) for key in others), None
        except PolicyChanged as error:
            return [Notice("own-" + error.question.code, error.question.text, {"account": self.jid})]
        except BadOpenPGP as error:
            return [Notice("own-key-unreadable", error.text)]
        return []


async def _holds_something(jid: str, node: str, pubsub: PubSub) -> bool:
    try:
        items = await pubsub.items(jid, node, max_items=1)
    except PeerError as error:
        if error.condition == "item-not-found":
            return False
        raise
    return any(
        item.payload is None or len(item.payload) > 0 or (item.payload.text or "").strip() for item in items
    )


def _user_id(sender_id: str) -> str:
    """Give the user id for a sender: the address in angle brackets, as mail programs write it."""
    plain = sender_id.strip()
    if not 0 < len(plain) <= _MAX_SENDER_ID or not plain.isprintable() or set(plain) & set("<>"):
        raise NoUsableKey(f"No key can be made for the name {sender_id[:80]!r}: it is no address")
    return f"<{plain}>"

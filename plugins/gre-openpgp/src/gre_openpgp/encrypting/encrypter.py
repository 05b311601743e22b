"""GRE Encrypter: OpenPGP, for any OpenPGP library. Keys come by XEP-0373."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gre_core.errors import DecryptFailed, EncryptFailed, GreError
from gre_core.model import Direction
from gre_openpgp.encrypting import autocrypt_fields, in_worker
from gre_openpgp.encrypting.account import Account
from gre_openpgp.encrypting.choosing import choose
from gre_openpgp.encrypting.codec import body_of, message_of
from gre_openpgp.encrypting.contacts import Contact
from gre_openpgp.encrypting.detached import judge_detached
from gre_openpgp.encrypting.engine import Engine, Judged, LibraryFailed, ParsedCert, first_line
from gre_openpgp.encrypting.explaining import explain
from gre_openpgp.encrypting.files import check_file, decrypt_to, published
from gre_openpgp.encrypting.in_worker import LARGE, Material
from gre_openpgp.encrypting.own_watch import watch_own
from gre_openpgp.encrypting.verdicts import opened
from gre_openpgp.key_choice import TrustPolicy
from gre_openpgp.messages import check_message
from gre_openpgp.xep0373 import PUBLIC_KEYS

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping
    from pathlib import Path

    from gre_core.model import Body, Message, Notice, Opened, OpenJob, SealJob, SignedPart
    from gre_core.ports import Ports, Store
    from gre_openpgp.encrypting.choosing import Chosen
    from gre_openpgp.encrypting.contact_keys import ContactKeys
    from gre_openpgp.encrypting.keyring import Unlocking
    from gre_openpgp.encrypting.management import OwnKeys
    from gre_openpgp.messages import CheckedMessage

NAMESPACE = "urn:xmpp:gre:encrypter:openpgp:0"
_LIBRARY_FAILED = (
    "The OpenPGP library failed on this message; it was not opened. Ask the sender to send it again"
)


@dataclass(frozen=True, slots=True)
class SealKeys:
    """What one message is sealed with.

    Arguments:
        certs: all that it is encrypted to, as the library parsed them: the recipients' and ours.
        public: the same as bytes.
        signer: ours.
        account: to renew the signer when the library failed.
        own: our public key.
        theirs: the address and the first public key of each recipient.
        lowered_by: keeps the format readable; see :meth:`~gre_openpgp.encrypting.engine.Engine.lowered_by`.
    """

    certs: list[Any] = field(repr=False)
    public: list[bytes] = field(repr=False)
    signer: Any = field(repr=False)
    account: Account = field(repr=False)
    own: bytes = field(repr=False)
    theirs: tuple[tuple[str, bytes], ...] = field(repr=False)
    lowered_by: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class OpenKeys:
    """What one message is opened with.

    Arguments:
        body: the one that it is for.
        message: binary, checked, without the session keys of strangers.
        decryptors: by key id, in the order to try.
        certs: those that may have signed, by lower-case fingerprint and key id.
        contact: the sender's keys.
        account: ours.
        job: who should have signed.
    """

    body: Body = field(repr=False)
    message: bytes = field(repr=False)
    decryptors: Mapping[str, Any] = field(repr=False)
    certs: Mapping[str, Any] = field(repr=False)
    contact: Contact = field(repr=False)
    account: Account = field(repr=False)
    job: OpenJob


KeyMaterial = SealKeys | OpenKeys


class OpenPGPEncrypter:
    """The encrypter ``urn:xmpp:gre:encrypter:openpgp:0``; see ``gre_core.api.Encrypter`` for each method.

    It may serve several accounts: what it keeps hangs on the account's store.

    Arguments:
        engine: the OpenPGP library.
        unlocking: how long our keys stay unlocked; 10 minutes without use, at most 2 hours otherwise.
    """

    def __init__(self, engine: Engine, unlocking: Unlocking | None = None) -> None:
        self._engine = engine
        self._accounts: dict[int, tuple[Store, Account]] = {}
        self._unlocking = unlocking

    def _account(self, jid: str, ports: Ports) -> Account:
        found = self._accounts.get(id(ports.store))
        if found is None:
            found = self._accounts[id(ports.store)] = (
                ports.store,
                Account(self._engine, jid, self._unlocking),
            )
        return found[1]

    def own_keys(self, account: str, ports: Ports) -> OwnKeys:
        """Give the management of an account's keys; what it unlocks is unlocked here too."""
        from gre_openpgp.encrypting.management import OwnKeys  # noqa: PLC0415 - most sessions do not need it

        return OwnKeys(self._engine, account, ports, self._account(account, ports).ring)

    def contact_keys(self, account: str, ports: Ports) -> ContactKeys:
        """Give the management of the keys of an account's contacts."""
        from gre_openpgp.encrypting.contact_keys import ContactKeys  # noqa: PLC0415 - most sessions do not need it

        return ContactKeys(self._engine, account, ports)

    # -- sealing -----------------------------------------------------------------------------------

    async def seal_keys(self, job: SealJob, ports: Ports, /) -> KeyMaterial:
        """Find all keys of all recipients and our own; without a round trip when all are known.

        Raises:
            NoUsableKey: see :meth:`Contacts.to_encrypt` and :meth:`Account.signing_key`.
            PolicyChanged: a key changed or was added; the user has to agree first.
        """
        account = self._account(job.account, ports)
        # Our key first: once it is published, a contact without a key can already write to us.
        own = await account.signing_key(job.data.sender_id, ports)
        policy = TrustPolicy.read(job.option(NAMESPACE, "trust"))
        certs: list[ParsedCert] = []
        theirs: list[tuple[str, bytes]] = []
        for recipient in job.recipients:
            form = job.data_for(recipient.jid).values(NAMESPACE, "fingerprints")
            keys = await account.contacts.to_encrypt(recipient, form, policy, ports)
            certs += keys
            theirs.append((recipient.legacy_id, keys[0].key.data))
        await account.ring.unlock((own,), ports)  # a question to the user may have taken long
        signer = own.signer(ports.now())
        certs += [own.parsed, *(cert for cert in account.others if not cert.problem)]
        lowered_by = self._engine.lowered_by(certs)
        parsed, public = [cert.cert for cert in certs], [cert.key.data for cert in certs]
        return SealKeys(parsed, public, signer, account, own.parsed.key.data, tuple(theirs), lowered_by)

    def protected_fields(self, keys: KeyMaterial, job: SealJob, /) -> Iterable[tuple[str, str]]:
        """Give the Autocrypt fields: our key, and with several recipients theirs (Autocrypt Level 1)."""
        assert isinstance(keys, SealKeys)
        return autocrypt_fields.fields_for(job.data.sender_id, keys.own, keys.theirs)

    async def explain(self, job: SealJob, ports: Ports, /) -> Iterable[Notice]:
        """Tell which keys a message would be encrypted to, and in which format, without asking the user.

        Raises:
            NoUsableKey: there is no key for a recipient.
            PeerTimeout, StoreError: it cannot be found out.
        """
        return await explain(self._engine, self._account(job.account, ports), job, NAMESPACE, ports)

    async def encrypt(self, payload: bytes, keys: KeyMaterial, ports: Ports, /) -> Body:
        """Sign, encrypt to everybody including ourselves, and write base64.

        Raises:
            EncryptFailed: it did not work.
        """
        assert isinstance(keys, SealKeys)
        with _sealing(keys.account):
            if ports.worker is not None and len(payload) > LARGE:
                material = self._sealing_material(keys)
                return body_of(await in_worker.seal(ports.worker, payload, material, keys.lowered_by))
            sealed = self._engine.encrypt(
                bytes(payload), keys.certs, keys.signer, keys.lowered_by, now=ports.now()
            )
            return body_of(sealed)

    async def encrypt_file(self, source: Path, target: Path, keys: KeyMaterial, ports: Ports, /) -> None:
        """Sign and encrypt a file into a new one of mode 0600. On failure there is no target.

        Raises:
            EncryptFailed: it did not work.
        """
        assert isinstance(keys, SealKeys)
        with _sealing(keys.account):
            if ports.worker is not None:
                with published(target) as private:
                    material = self._sealing_material(keys)
                    await in_worker.seal_file(ports.worker, source, private, material, keys.lowered_by)
                return
            with published(target) as private:
                self._engine.encrypt_file(
                    source, private, keys.certs, keys.signer, keys.lowered_by, now=ports.now()
                )

    # -- opening -----------------------------------------------------------------------------------

    async def open_keys(self, body: Body, job: OpenJob, ports: Ports, /) -> KeyMaterial:
        """Check the message, and find what opens it and who may have signed it.

        Raises:
            BadEncrypted: it is no OpenPGP message of the one shape that is allowed.
            NotForUs: it is not encrypted to a key of ours.
            KeyLocked: it is, and nobody gave the passphrase of that key.
        """
        message = message_of(body)
        checked = check_message(message)
        account, contact, certs = await self._signers(job, ports)
        await account.unlock_for(checked.key_ids, ports)
        wanted, decryptors = choose(checked, account.decryptors())
        return OpenKeys(body, checked.keep(message, wanted), decryptors, certs, contact, account, job)

    async def decrypt(self, body: Body, keys: KeyMaterial, ports: Ports, /) -> Opened:
        """Decrypt, and judge the signature.

        Raises:
            DecryptFailed: damaged or forged.
            NotForUs: no key of ours opens it.
            BadEncrypted: see :meth:`open_keys`.
        """
        assert isinstance(keys, OpenKeys)
        if keys.body is not body and keys.body != body:
            keys = await self.open_keys(body, keys.job, ports)
            assert isinstance(keys, OpenKeys)
        judged, parsed = await self._judge(keys, ports)
        account, contact = keys.account, keys.contact
        result = opened(judged, keys.job, contact.parsed, account.ours.fingerprints, keys.certs)
        if parsed is not None:
            result = replace(result, parsed=parsed)
        return await account.contacts.judged(result, contact, keys.job, ports)

    async def _judge(self, keys: OpenKeys, ports: Ports) -> tuple[Judged, bytes | None]:
        """Decrypt and judge: in the worker, which parses too, or here."""
        if ports.worker is not None:
            material = self._opening_material(keys.account, keys.contact)
            key_ids = list(keys.decryptors)
            return await in_worker.open_message(
                ports.worker, keys.message, material, key_ids, keys.job.parser
            )
        decryptors, secrets, now = list(keys.decryptors.values()), keys.account.secrets(), ports.now()
        try:
            return self._engine.decrypt(
                keys.message, decryptors, keys.certs, secrets, bounded=True, now=now
            ), None
        except LibraryFailed:
            keys.account.renew()
            raise DecryptFailed(_LIBRARY_FAILED) from None

    async def decrypt_file(self, source: Path, target: Path, job: OpenJob, ports: Ports, /) -> Opened:
        """Decrypt into a new file of mode 0600, and judge the signature. On failure there is no target.

        Raises:
            BadEncrypted, NotForUs, KeyLocked, DecryptFailed: as :meth:`open_keys` and :meth:`decrypt`.
        """
        account, contact, certs = await self._signers(job, ports)
        while True:
            await account.unlock_for(check_file(source).key_ids, ports)
            judged = await self._judge_file(source, target, account, contact, certs, ports)
            result = opened(judged, job, contact.parsed, account.ours.fingerprints, certs)
            result = await account.contacts.judged(result, contact, job, ports)
            if not result.missing or job.missing:
                return result
            job = replace(job, missing=result.missing)
            account, contact, certs = await self._signers(job, ports)

    async def _judge_file(
        self,
        source: Path,
        target: Path,
        account: Account,
        contact: Contact,
        certs: Mapping[str, Any],
        ports: Ports,
    ) -> Judged:
        """Decrypt a file and judge it: in the worker, or here."""
        if ports.worker is not None:
            with published(target) as private:
                material = self._opening_material(account, contact)
                return await in_worker.open_file(ports.worker, source, private, material)

        def chosen(checked: CheckedMessage) -> Chosen:
            return choose(checked, account.decryptors())

        secrets, now = account.secrets(), ports.now()
        try:
            return decrypt_to(self._engine, source, target, chosen, certs, secrets, bounded=True, now=now)
        except LibraryFailed:
            account.renew()
            raise DecryptFailed(_LIBRARY_FAILED) from None

    def _opening_material(self, account: Account, contact: Contact) -> Material:
        """Name the keys for the worker: ours, and all that may have signed."""
        own = [key.parsed for key in (account.own, *account.older) if key is not None]
        certs = [cert.key.data for cert in (*own, *account.others, *contact.parsed)]
        return Material(self._engine.worker_module, account.secrets(), certs)

    def _sealing_material(self, keys: SealKeys) -> Material:
        return Material(self._engine.worker_module, keys.account.secrets()[:1], keys.public)

    async def judge_signed(self, part: SignedPart, job: OpenJob, ports: Ports, /) -> Opened:
        """Judge a signed part inside the encryption (RFC 3156, section 6.1). The payload of the result is empty.

        Raises:
            ParseFailed: it is no OpenPGP signature, or cannot be read.
            StoreError: see :meth:`open_keys`.
        """
        account, contact, certs = await self._signers(job, ports)
        if ports.worker is None:
            judged = judge_detached(self._engine, part, certs, ports.now())
        else:
            material = self._opening_material(account, contact)
            judged = await in_worker.judge_part(ports.worker, part, material)
        result = opened(judged, job, contact.parsed, account.ours.fingerprints, certs)
        return await account.contacts.judged(result, contact, job, ports)

    async def signature_id(self, body: Body, part: SignedPart | None, job: OpenJob, ports: Ports, /) -> str:
        """Name the valid signature of a message, or of a signed part inside it; ``""`` when there is none.

        Raises:
            GreError: it cannot be opened.
        """
        account, contact, certs = await self._signers(job, ports)
        message = message_of(body)
        if ports.worker is not None:
            material = self._opening_material(account, contact)
            return await in_worker.name_signature(ports.worker, message, part, material)
        from gre_openpgp.encrypting.signature_names import (  # noqa: PLC0415 - few messages need it
            name_of_message,
            name_of_part,
        )

        if part is None:
            return name_of_message(self._engine, message, certs, account.secrets())
        return name_of_part(self._engine, part, certs)

    async def _signers(self, job: OpenJob, ports: Ports) -> tuple[Account, Contact, Mapping[str, Any]]:
        """Give the account, the contact, and all certs that may have signed."""
        account = self._account(job.account, ports)
        await account.load(ports)
        if job.direction is Direction.SENT:
            return account, Contact(self._engine), account.ours.certs
        contact = await account.contacts.to_verify(job.peer, ports, again=bool(job.missing))
        return account, contact, {**account.ours.certs, **contact.by_id}

    @property
    def worker_functions(self) -> Iterable[str]:
        """What runs in a worker process."""
        return tuple(f"{self._engine.worker_module}:{name}" for name in in_worker.FUNCTIONS)

    # -- sessions and notifications ----------------------------------------------------------------

    async def prepare(self, account: str, ports: Ports, /) -> Iterable[Notice]:
        """Begin a session: look after our published key, and fetch the contacts' keys that were missing."""
        ours = self._account(account, ports)
        notices = await ours.check_announced(ports)
        if ours.own is not None:
            notices += await watch_own(ours.own.parsed.user_ids, ours.ours.fingerprints, ports)
        return [*notices, *await ours.contacts.refresh_wanted(ports)]

    @property
    def nodes(self) -> Iterable[str]:
        """The node of key lists."""
        return (PUBLIC_KEYS,)

    async def notified(self, jid: str, node: str, ports: Ports, /) -> Iterable[Notice]:
        """Read a contact's keys anew; guard our own list."""
        found = self._accounts.get(id(ports.store))
        if node != PUBLIC_KEYS or found is None:
            return ()
        account = found[1]
        if jid == account.jid:
            return await account.check_announced(ports)
        return await account.contacts.changed(jid, ports)

    async def acquaint(self, account: str, contacts: Iterable[str], ports: Ports, /) -> Iterable[Notice]:
        """Fetch the keys of contacts that nothing is known of, once this account has a key."""
        ours = self._account(account, ports)
        return () if await ours.load(ports) is None else await ours.contacts.acquaint(contacts, ports)

    async def learn(
        self, message: Message, opened: Opened, job: OpenJob, ports: Ports, /
    ) -> Iterable[Notice]:
        """Take in the Autocrypt fields of a message, once its signature is judged (Autocrypt Level 1)."""
        account = self._account(job.account, ports)
        names = () if account.own is None else account.own.parsed.user_ids
        return await autocrypt_fields.learn(account.contacts, message, opened, job, ports, names)


@contextlib.contextmanager
def _sealing(account: Account) -> Generator[None]:
    """Turn what happens while sealing into our errors."""
    try:
        yield
    except LibraryFailed:
        account.renew()
        raise EncryptFailed("The OpenPGP library failed; nothing was sent. Try again") from None
    except (GreError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - nothing is sent, whatever it was
        raise EncryptFailed(f"The message could not be encrypted: {first_line(error)}") from None

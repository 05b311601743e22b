"""The keys of contacts for one session: fetched when needed first, kept parsed until something changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.trust import accept, remembered
from gre_openpgp.xep0373 import Fetched, PublicKey, fetch_keys, normal_fingerprint

from gre_core.errors import NoUsableKey, PeerError, PeerTimeout, PolicyChanged
from gre_core.model import Notice
from gre_encrypter_openpgp.certs import ParsedCert, by_id, parse_cert

if TYPE_CHECKING:
    import pysequoia

    from gre_core.model import Recipient
    from gre_core.ports import Ports

ASK_AGAIN: Final = timedelta(minutes=1)
"""How long no key list is fetched again for an unknown signer: such messages cost an attacker nothing."""

MAX_CONTACTS: Final = 4096
"""How many contacts are kept parsed at a time (some 20 KB each)."""

_NEVER: Final = (None,)
FormValues = tuple[str, ...] | None


@dataclass(slots=True)
class Contact:
    """What is known of one contact in this session.

    Arguments:
        parsed: all accepted keys, also those that nothing may be encrypted to any more.
        by_id: the same by what signatures name, in lower-case hex.
        usable: what is encrypted to; empty until a message is sealed.
        until: when one of the usable keys expires.
        form: the gateway's data field when the keys were last compared with it.
        current: False when the list must be fetched before the next message is sealed.
        asked: when the list was last fetched.
        warnings: what the user should know when a message of the contact is opened.
    """

    parsed: tuple[ParsedCert, ...] = ()
    by_id: dict[str, pysequoia.Cert] = field(default_factory=dict)
    usable: tuple[pysequoia.Cert, ...] = ()
    until: datetime | None = None
    form: FormValues | tuple[None] = _NEVER
    current: bool = False
    asked: datetime | None = None
    warnings: tuple[Notice, ...] = ()

    def ended(self, ports: Ports) -> bool:
        """Tell whether one of the usable keys expired since they were looked at."""
        return self.until is not None and self.until <= ports.now()

    def hold(self, keys: tuple[ParsedCert, ...]) -> None:
        """Take these keys as the accepted ones."""
        self.parsed = keys
        self.by_id = by_id(keys)
        self.warnings = ()


class Contacts:
    """The contacts of one account."""

    def __init__(self) -> None:
        self._known: dict[str, Contact] = {}

    def changed(self, jid: str) -> bool:
        """Fetch the keys of a contact again before the next message to it; tell whether it was known."""
        contact = self._known.get(jid)
        if contact is None:
            return False
        contact.current = False
        contact.asked = None
        return True

    # -- sealing -----------------------------------------------------------------------------------

    async def to_encrypt(
        self, recipient: Recipient, form: FormValues, ports: Ports
    ) -> tuple[pysequoia.Cert, ...]:
        """Give all usable keys of a recipient; without any round trip when nothing changed.

        Arguments:
            recipient: whose.
            form: the fingerprints in the gateway's data form; None when it has no such field.
            ports: of the host.

        Raises:
            NoUsableKey: there is none; the text says why and what to do.
            PolicyChanged: the keys changed and the user has to agree first.
            PeerTimeout, StoreError: they cannot be found out.
        """
        contact = self._known.get(recipient.jid)
        if contact is not None and contact.current and contact.form == form and not contact.ended(ports):
            return contact.usable
        if form == ():
            raise NoUsableKey(
                f"The gateway knows no OpenPGP key of {recipient.legacy_id}. Ask your contact for one, and "
                f"the gateway's operator for adding it",
                peer=recipient.jid,
            )
        contact = contact or await self._recall(recipient.jid, ports)
        fetched = await self._fetch(recipient.jid, contact, ports)
        await self._take(recipient, contact, fetched, form, ports)
        return contact.usable

    async def _fetch(self, jid: str, contact: Contact, ports: Ports) -> Fetched:
        try:
            return await fetch_keys(jid, ports.pubsub, {p.key.fingerprint: p.key for p in contact.parsed})
        except (PeerError, BadOpenPGP) as error:
            raise NoUsableKey(f"The keys of {jid} cannot be fetched: {error.text}", peer=jid) from error

    async def _take(
        self, recipient: Recipient, contact: Contact, fetched: Fetched, form: FormValues, ports: Ports
    ) -> None:
        """Check fetched keys, ask the user where needed, and hold them for this session."""
        problems = dict(fetched.problems)
        parsed = _parse(fetched.keys, contact, problems)
        usable: list[ParsedCert] = []
        now = ports.now()
        for cert in parsed:
            problem = cert.usable_problem(recipient.legacy_id, now)
            if problem:
                problems[cert.key.fingerprint] = problem
            else:
                usable.append(cert)
        if not usable:
            reasons = "; ".join(f"{name}: {text}" for name, text in problems.items()) or "none is announced"
            raise NoUsableKey(
                f"No key of {recipient.legacy_id} can be used ({reasons}). Ask your contact for a new one",
                peer=recipient.jid,
            )
        keys = [cert.key for cert in parsed]
        note = _contradiction(recipient.jid, keys, form, first_use=not contact.parsed)
        await accept(recipient.jid, keys, ports, note=note)
        contact.hold(parsed)
        contact.usable = tuple(cert.cert for cert in usable)
        contact.until = min((cert.expires for cert in usable if cert.expires is not None), default=None)
        contact.form, contact.current, contact.asked = form, True, now

    # -- opening -----------------------------------------------------------------------------------

    async def to_verify(self, jid: str, missing: tuple[str, ...], ports: Ports) -> Contact:
        """Give what is known of a contact. Only a missing signer makes this fetch anything.

        Arguments:
            jid: the sender.
            missing: ids of signers that ``decrypt`` did not find, upper or lower case.
            ports: of the host.

        Raises:
            StoreError: the memory cannot be read.
        """
        contact = self._known.get(jid) or await self._recall(jid, ports)
        if all(name.lower() in contact.by_id for name in missing):
            return contact
        now = ports.now()
        if contact.asked is not None and now - contact.asked < ASK_AGAIN:
            return contact
        contact.asked = now
        try:
            fetched = await fetch_keys(jid, ports.pubsub, {p.key.fingerprint: p.key for p in contact.parsed})
            parsed = _parse(fetched.keys, contact, {})
            if parsed:
                await accept(jid, [cert.key for cert in parsed], ports)
                contact.hold(parsed)
                contact.current = False
        except PolicyChanged as error:
            contact.warnings = (Notice(error.question.code, error.question.text, {"peer": jid}),)
        except (PeerError, PeerTimeout, BadOpenPGP) as error:
            contact.warnings = (
                Notice("keys-not-fetched", f"The keys of {jid} cannot be fetched: {error.text}"),
            )
        return contact

    async def _recall(self, jid: str, ports: Ports) -> Contact:
        """Make an entry from the memory of earlier sessions."""
        contact = Contact()
        contact.hold(_parse(await remembered(jid, ports.store), contact, {}))
        while len(self._known) >= MAX_CONTACTS:
            del self._known[next(iter(self._known))]
        return self._known.setdefault(jid, contact)


def _parse(keys: tuple[PublicKey, ...], contact: Contact, problems: dict[str, str]) -> tuple[ParsedCert, ...]:
    """Parse keys, reusing what is parsed; note what cannot be read."""
    have = {cert.key: cert for cert in contact.parsed}
    parsed: list[ParsedCert] = []
    for key in keys:
        try:
            parsed.append(have.get(key) or parse_cert(key))
        except BadOpenPGP as error:
            problems[key.fingerprint] = error.text
    return tuple(parsed)


def _contradiction(jid: str, keys: list[PublicKey], form: FormValues, *, first_use: bool) -> str:
    """Compare served keys with those that the data form names; give a sentence for the user's question.

    Raises:
        NoUsableKey: the gateway says two different things about a contact that we know nothing of.
    """
    if form is None:
        return ""
    named = {normal_fingerprint(text) for text in form}
    others = [key.fingerprint for key in keys if key.fingerprint not in named]
    if not others:
        return ""
    text = f"The gateway serves the key {', '.join(others)} for {jid}, which its data form does not name."
    if first_use:
        raise NoUsableKey(
            f"{text} Nothing is sent while the gateway contradicts itself. Try again later, or ask its "
            f"operator",
            peer=jid,
        )
    return text

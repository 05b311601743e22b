"""Keys: our own in the store; those of contacts in the gateway's data form or in pubsub nodes, and then remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element

from gre_core.api import Question
from gre_core.errors import NoUsableKey, PeerError, PolicyChanged
from pyrage import IdentityError, x25519

from gre_encrypter_age.directory import FIELD, NAMESPACE, RECIPIENT

if TYPE_CHECKING:
    from gre_core.api import SealJob
    from gre_core.ports import Ports

NODE: Final = f"{NAMESPACE}:recipients"
MOST_KEYS: Final = 8
"""How many keys of one person are used."""

_OWN: Final = "gre-encrypter-age/own-key"
_TAG: Final = f"{{{NAMESPACE}}}recipient"


async def own_key(ports: Ports) -> x25519.Identity:
    """Give our key from the store; make it the first time. Its text is the secret: it is never shown.

    Raises:
        NoUsableKey: what the store holds is no key.
    """
    kept = await ports.store.get(_OWN)
    if kept is None:
        made = x25519.Identity.generate()
        await ports.store.put(_OWN, str(made).encode())
        return made
    try:
        return x25519.Identity.from_str(kept.decode())
    except (IdentityError, ValueError):
        raise NoUsableKey("Our own key in the store is damaged. Remove it, and a new one is made.") from None


async def publish(key: x25519.Identity, account: str, ports: Ports) -> None:
    """Publish our recipient, when it is not there yet."""
    recipient = str(key.to_public())
    try:
        items = await ports.pubsub.items(account, NODE)
    except PeerError:
        items = ()  # there is no node yet
    if any(item.id == recipient for item in items):
        return
    payload = Element(_TAG)
    payload.text = recipient
    await ports.pubsub.publish(NODE, recipient, payload, access_model="open", max_items=MOST_KEYS)


async def contact_keys(jid: str, job: SealJob, ports: Ports) -> tuple[str, ...]:
    """Give the recipients of a contact. Those that changed are used only when the user says so.

    Raises:
        NoUsableKey: the contact has none.
        PolicyChanged: they changed, and the user did not agree.
    """
    found = job.data_for(jid).values(NAMESPACE, FIELD) or await _published(jid, ports)
    recipients = tuple(sorted({each for each in found[:MOST_KEYS] if RECIPIENT.fullmatch(each)}))
    if not recipients:
        raise NoUsableKey(f"Neither the gateway nor {jid} names an age key. Ask them for one.", peer=jid)
    before = (await ports.store.get(f"gre-encrypter-age/contacts/{jid}") or b"").decode(errors="replace")
    after = " ".join(recipients)
    if before not in {"", after}:
        code = "key-added" if set(before.split()) < set(recipients) else "key-changed"
        text = (
            f"The age keys of {jid} changed. Compare the new ones with them over another channel. Use them?"
        )
        question = Question(code, jid, text, before=before, after=after)
        if not await ports.decide(question):
            raise PolicyChanged(text, question)
    await ports.store.put(f"gre-encrypter-age/contacts/{jid}", after.encode())
    return recipients


async def _published(jid: str, ports: Ports) -> tuple[str, ...]:
    try:
        items = await ports.pubsub.items(jid, NODE, max_items=MOST_KEYS)
    except PeerError:
        return ()
    payloads = [item.payload for item in items if item.payload is not None and item.payload.tag == _TAG]
    return tuple((payload.text or "").strip() for payload in payloads[-MOST_KEYS:])

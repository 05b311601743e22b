"""The memory of contacts' keys: trust on first use, a visible change, the user's word (GRE, "Security").

The first key set that is seen of a contact is remembered. Later ones:

========================  =======================================================================
same, or a part of it     used
with a further key        ``key-added``: we encrypt to every announced key, so the user has to agree
other keys                ``key-changed``: the user has to agree
========================  =======================================================================
"""

from __future__ import annotations

import binascii
import json
from typing import TYPE_CHECKING, Final

from gre_core.errors import PolicyChanged, StoreError
from gre_core.model import Question
from gre_openpgp.errors import BadOpenPGP
from gre_openpgp.xep0373 import MAX_KEYS, PublicKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gre_core.ports import Ports, Store

KEY_ADDED: Final = "key-added"
KEY_CHANGED: Final = "key-changed"

_PREFIX: Final = "openpgp/contacts/"


async def allowed(question: Question, ports: Ports) -> bool:
    """Ask for the user's word. The one place where a decision about keys is asked for.

    An approval that the user gave earlier is the work of the host's ``decide`` port.
    """
    return await ports.decide(question)


def compare(
    jid: str, remembered: Iterable[str], announced: Iterable[str], *, note: str = ""
) -> Question | None:
    """Give the question that a new key set raises, or None when the memory allows it.

    Arguments:
        jid: whose keys.
        remembered: fingerprints that the user knows; none means that this is the first use.
        announced: fingerprints that are served now; not empty.
        note: a further sentence for the user.
    """
    before, after = set(remembered), set(announced)
    if not before or after <= before:
        return None
    old, new = ", ".join(sorted(before)), ", ".join(sorted(after))
    if before < after:
        added = ", ".join(sorted(after - before))
        text = (
            f"{jid} announces a further key: {added}. If you agree, messages to {jid} are readable with it "
            f"too. Compare it with your contact by another way first; if you do not agree, nothing is sent."
        )
        return Question(KEY_ADDED, jid, f"{text} {note}".strip(), old, new)
    text = (
        f"The keys of {jid} changed from {old} to {new}. That is so when your contact made a new key, and "
        f"also when somebody wants to read your messages. Compare them with your contact by another way "
        f"first; if you do not agree, nothing is sent."
    )
    return Question(KEY_CHANGED, jid, f"{text} {note}".strip(), old, new)


async def remembered(jid: str, store: Store) -> tuple[PublicKey, ...]:
    """Give the keys of a contact that were accepted, or nothing.

    Raises:
        StoreError: the memory cannot be read. It is never taken for a first use.
    """
    raw = await store.get(_PREFIX + jid)
    if raw is None:
        return ()
    try:
        entries = json.loads(raw)["keys"]
        return tuple(
            PublicKey(entry["fingerprint"], binascii.a2b_base64(entry["data"]), entry["date"])
            for entry in entries[:MAX_KEYS]
        )
    except (ValueError, TypeError, KeyError):
        raise StoreError(
            f"What was remembered of the keys of {jid} is damaged. Restore the store, or delete the entry "
            f"{_PREFIX}{jid} after you compared the keys with your contact",
            jid=jid,
        ) from None


async def remember(jid: str, keys: Sequence[PublicKey], store: Store) -> None:
    """Keep a key set as the accepted one; raises :class:`StoreError`."""
    entries = [
        {
            "fingerprint": key.fingerprint,
            "date": key.date,
            "data": binascii.b2a_base64(key.data, newline=False).decode("ascii"),
        }
        for key in keys
    ]
    await store.put(_PREFIX + jid, json.dumps({"version": 1, "keys": entries}).encode("ascii"))


async def accept(jid: str, keys: Sequence[PublicKey], ports: Ports, *, note: str = "") -> None:
    """Compare a key set with the memory, ask the user where it has to be, and remember it.

    Arguments:
        jid: the contact.
        keys: all keys that are announced now.
        ports: of the host.
        note: a further sentence for the user's question.

    Raises:
        BadOpenPGP: there is no key.
        PolicyChanged: the user has to agree first, and did not yet.
        StoreError: the memory cannot be read or written.
    """
    if not keys:
        raise BadOpenPGP(f"{jid} announces no key")
    old = await remembered(jid, ports.store)
    question = compare(jid, (key.fingerprint for key in old), (key.fingerprint for key in keys), note=note)
    if question is not None and not await allowed(question, ports):
        raise PolicyChanged(question.text, question)
    if list(old) != list(keys):
        await remember(jid, keys, ports.store)

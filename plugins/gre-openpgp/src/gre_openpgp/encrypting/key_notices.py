"""What users are told about contacts' keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_core.errors import NoUsableKey
from gre_core.model import Notice
from gre_openpgp.contact_record import KeyState, KnownKey, Source
from gre_openpgp.xep0373 import normal_fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gre_core.model import Question, Recipient
    from gre_openpgp.contact_record import ContactRecord

_HOW: Final = {
    Source.XEP0373: "Only the gateway says that this is their key",
    Source.AUTOCRYPT: "The message brought this key itself",
    Source.GOSSIP: "Somebody else's message named this key",
}


def not_verified(jid: str, known: KnownKey) -> Notice:
    """Say, once, that nothing but one source stands behind a key."""
    how = _HOW.get(known.source or Source.XEP0373, "Nobody confirmed this key")
    if known.source in {Source.XEP0373, None} and known.origin:
        how = f"{how}: {known.origin}"
    code = "key-from-gateway-only" if known.source in {Source.XEP0373, None} else "key-not-verified"
    return Notice(
        code,
        f"The signature is good, by the key {known.fingerprint}. {how}. Compare the fingerprint with your contact by "
        f"another way, then: gre keys verify {jid} {known.fingerprint}",
        {"peer": jid, "fingerprint": known.fingerprint},
    )


def missing_signer(jid: str, named: str, known: KnownKey | None) -> Notice:
    """Say what is known of a signer whose signature could not be checked."""
    params = {"peer": jid, "fingerprint": named if known is None else known.fingerprint}
    if known is None:
        text = (
            f"The key {named} of {jid} is not known here, and nothing is looked up because a message came. It is "
            f"fetched when you write to {jid}, or now by: gre keys fetch {jid}"
        )
        return Notice("signer-unknown", text, params)
    if known.state is KeyState.BLOCKED:
        text = f"The message is signed by the key {known.fingerprint}, which you blocked."
        return Notice("signer-blocked", text, params)
    text = (
        f"The message is signed by the key {known.fingerprint}, which you did not accept for {jid}. Compare it with "
        f"your contact by another way, then: gre keys trust {jid} {known.fingerprint}"
    )
    return Notice("signer-not-accepted", text, params)


def changed(question: Question) -> Notice:
    """Tell of a question that will be asked when something is sent."""
    return Notice(question.code, question.text, {"peer": question.peer, "after": question.after})


def origins(record: ContactRecord, served: Iterable[str]) -> str:
    """Tell where the gateway says that it has keys from which the user did not accept yet; ``""`` for nothing."""
    known = [record.keys[name] for name in served if name in record.keys]
    texts = [f"About {one.fingerprint}: {one.origin}." for one in known if one.origin and not one.trusted]
    return " ".join(texts)


def no_key(
    recipient: Recipient, problems: Mapping[str, str], *, pinned: bool, empty_form: bool, why_none: str = ""
) -> NoUsableKey:
    """Say why there is no key to encrypt to, and what to do.

    Arguments:
        recipient: whose.
        problems: why keys cannot be used, by fingerprint or source.
        pinned: the key is one that the user pinned.
        empty_form: the gateway's data form names no key.
        why_none: what the gateway itself says about it.
    """
    if (empty_form or why_none) and not problems:
        said = (
            f"It says: {why_none} You can"
            if why_none
            else "Ask your contact for one, and the gateway's operator for adding it, or"
        )
        return NoUsableKey(
            f"The gateway knows no OpenPGP key of {recipient.legacy_id}. {said} pin it: gre keys pin "
            f"{recipient.jid} FILE",
            peer=recipient.jid,
        )
    if why_none:
        problems = {**problems, str(Source.XEP0373): why_none}
    reasons = "; ".join(f"{name}: {text}" for name, text in problems.items()) or "none is announced"
    what = "The key that you pinned for" if pinned else "No key of"
    how = "cannot be used" if pinned else "can be used"
    return NoUsableKey(
        f"{what} {recipient.legacy_id} {how} ({reasons}). Ask your contact for a new one", peer=recipient.jid
    )


def form_contradiction(jid: str, keys: Sequence[str], form: tuple[str, ...], *, first_use: bool) -> str:
    """Compare served keys with those that the data form names; give a sentence for the user's question.

    Raises:
        NoUsableKey: the gateway says two different things about a contact that we know nothing of.
    """
    named = {normal_fingerprint(text) for text in form}
    others = [name for name in keys if name not in named]
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

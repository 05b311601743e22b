"""Telling what a message would be encrypted to, in which format, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_core.model import Notice
from gre_openpgp.contact_record import By, KeyState
from gre_openpgp.key_choice import NAMES, TrustPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gre_core.model import SealJob
    from gre_core.ports import Ports
    from gre_openpgp.contact_record import KnownKey
    from gre_openpgp.encrypting.account import Account
    from gre_openpgp.encrypting.contacts import Contact, Plan
    from gre_openpgp.encrypting.engine import Engine, ParsedCert

_STATES = {
    KeyState.NEW: "not accepted yet",
    KeyState.ACCEPTED: "accepted",
    KeyState.VERIFIED: "verified by you",
    KeyState.PINNED: "pinned by you",
    KeyState.FORMER: "no longer served, so no longer accepted",
    KeyState.BLOCKED: "blocked by you",
}
_BY = {
    By.FIRST_USE: " at its first use",
    By.CONFIRMED: " because an independent source agreed",
    By.ANSWER: " by your answer",
    By.USER: " by your word",
}


async def explain(
    engine: Engine, account: Account, job: SealJob, namespace: str, ports: Ports
) -> list[Notice]:
    """Give the keys for a message, their sources and trust, and the format. Nothing is asked or remembered.

    Raises:
        NoUsableKey: there is no key for a recipient; the text says why.
        PeerTimeout, StoreError: it cannot be found out.
    """
    policy = TrustPolicy.read(job.option(namespace, "trust"))
    notices = [Notice("openpgp-trust", f"Keys of contacts: policy {policy.value}", {"policy": policy.value})]
    form = job.data.values(namespace, "fingerprints")
    certs: list[ParsedCert] = []
    for recipient in job.recipients:
        contact = await account.contacts.recall(recipient.jid, ports)
        plan = await account.contacts.plan(contact, recipient, form, policy, ports)
        plan.require_key(recipient, form)
        form = None
        view = plan.view(contact)
        certs += [view.cert(name) for name in plan.choice.use]
        notices += _of_contact(view, plan)
    own = await account.load(ports)
    if own is None:
        text = (
            "You have no key on this device yet. One is made, or asked for, when you send the first message"
        )
        return [*notices, Notice("openpgp-own-key", text)]
    notices.append(Notice("openpgp-own-key", f"Signed by your key {own.fingerprint}, and encrypted to it"))
    certs += [own.parsed, *(cert for cert in account.others if not cert.problem)]
    return [*notices, engine.explain_format(certs)]


def _of_contact(view: Contact, plan: Plan) -> Iterator[Notice]:
    choice = plan.choice
    for known in view.record.keys.values():
        params = {"peer": view.jid, "fingerprint": known.fingerprint, "state": known.state.value}
        if known.fingerprint in choice.use:
            yield Notice("openpgp-key", f"Encrypted to {_describe(known)}", params)
            continue
        reason = plan.problems.get(known.fingerprint)
        if reason is None and known.fingerprint in choice.left_out:
            reason = "the contact's own mail domain does not serve it"
        if reason is None and choice.source is not None:
            reason = f"{NAMES[choice.source]} decides, and says otherwise"
        yield Notice("openpgp-key-unused", f"Not used: {_describe(known)}: {reason}", params)
    for source, text in plan.problems.items():
        if source not in view.record.keys:
            yield Notice("openpgp-source", f"{source}: {text}", {"peer": view.jid, "source": source})
    if choice.question is not None:
        question = choice.question
        yield Notice(
            question.code, f"Before anything is sent, you will be asked: {question.text}", {"peer": view.jid}
        )


def _describe(known: KnownKey) -> str:
    how = _STATES[known.state] + (_BY.get(known.by, "") if known.state is KeyState.ACCEPTED else "")
    sources = "; ".join(
        f"{source.value} since {seen.first:%Y-%m-%d}" for source, seen in known.sources.items()
    )
    said = f" ({known.origin})" if known.origin else ""
    return f"key {known.fingerprint}, {how}, from {sources or 'an earlier version of this program'}{said}"

"""Telling what a message would be encrypted to, in which format, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pysequoia
from gre_openpgp.contact_record import By, KeyState
from gre_openpgp.key_choice import NAMES, TrustPolicy
from gre_openpgp.messages import check_message

from gre_core.model import Notice
from gre_encrypter_openpgp.formats import announces_v2, held_by_old, must_lower
from gre_encrypter_openpgp.sequoia import guard_panic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gre_openpgp.contact_record import KnownKey

    from gre_core.model import SealJob
    from gre_core.ports import Ports
    from gre_encrypter_openpgp.account import Account
    from gre_encrypter_openpgp.certs import ParsedCert
    from gre_encrypter_openpgp.contacts import Contact, Plan

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


async def explain(account: Account, job: SealJob, namespace: str, ports: Ports) -> list[Notice]:
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
    return [*notices, _format(certs)]


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


def _format(certs: Sequence[ParsedCert]) -> Notice:
    version = _seipd([cert.cert for cert in certs])
    if version is None:
        return Notice("openpgp-format", "These keys cannot be encrypted to together")
    datas = {cert.key.fingerprint: cert.key.data for cert in certs}
    if version == 1:
        why = _announce_less([name for name, data in datas.items() if not announces_v2(data)])
    elif must_lower(list(datas.values())):
        version = 1
        old = ", ".join(name for name, data in datas.items() if held_by_old(data))
        why = f"a program such as GnuPG 2.2 may hold {old}: it takes such keys, and cannot read version 2"
    else:
        why = "every key announces it, and is of a kind that older programs cannot hold"
        text = f"Format: SEIPD version 2 (RFC 9580), since {why}"
        return Notice("openpgp-format", text, {"seipd": "2"})
    return Notice(
        "openpgp-format",
        f"Format: SEIPD version 1 (RFC 4880), which every program reads, since {why}",
        {"seipd": str(version)},
    )


def _announce_less(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'announces' if len(names) == 1 else 'announce'} no more"


def _seipd(certs: list[pysequoia.Cert]) -> int | None:
    """Ask the library itself, by encrypting nothing."""
    try:
        return check_message(pysequoia.encrypt(b"", certs, armor=False)).version
    except BaseException as error:  # noqa: BLE001 - a panic is no Exception
        guard_panic(error)
        return None

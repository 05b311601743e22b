"""What is erased is gone from the file, not only from the tables (SQLite's ``secure_delete``; docs/reference/email-gateway-data.md)."""

from __future__ import annotations

import pytest
from gre_gateway_email.store import HarvestedKey, InboundMessage, OutboundMail, User, default_url, open_store

JULIET, ROMEO = "juliet-capulet@localhost", "romeo-montague@localhost"
LARGE = 40_000
"""Bytes that fill pages of their own in the file."""


def traces(name):
    """What could be found of a person: who, with whom, what, and which keys."""
    return (
        name.encode(),
        f"{name}-said".encode() * (LARGE // len(name)),
        f"about-{name}".encode(),
        f"friend-of-{name}".encode(),
        f"certificate-of-{name}".encode() * 100,
    )


async def fill(store, jid, *, rounds=20):
    name = jid.partition("@")[0]
    _, said, about, friend, key = (each.decode() for each in traces(name))
    await store.users.put(User(jid, (f"{name}@example.org", f"2-{name}@example.org")))
    for number in range(rounds):
        id_ = f"{name}-{number}"
        mail = OutboundMail(
            id=id_, key=f"key {id_}".encode(), user=jid, user_full=f"{jid}/phone", stanza_id=f"stanza {id_}",
            stanza_to=f"{friend}@mail.localhost", stanza_type="chat", wants_receipt=True, sender=f"{name}@example.org",
            recipients=(f"{friend}@example.net",), message_id=f"{id_}@example.org", mail=said.encode(), created_at=1.0,
            next_at=1.0,
        )  # fmt: skip
        message = InboundMessage(
            id=f"in {id_}", user=jid, address=f"{name}@example.org", sender=f"{friend}@example.net", kind="plain",
            subject=about, thread=f"{about}@example.net", message_id=f"{id_}@example.net", size=len(said),
            expires_at=9e9,
        )  # fmt: skip
        await store.outbox.add(mail)
        await store.inbox.add([(message, said.encode())])
        fate = number % 4
        if fate == 0:
            await store.outbox.sent(mail)
            await store.inbox.arrived([message.id])
        elif fate == 1:
            await store.outbox.bury(mail, f"{friend} said no")
            await store.inbox.bury(message.id, f"{friend} said no")
        elif fate == 2:
            await store.outbox.later(mail, 2.0, f"{friend} is away")
        await store.contact_keys.put(
            HarvestedKey(jid, f"{friend}-{number}@example.net", key.encode(), "autocrypt", False, 1.0)
        )


def in_files(folder, words):
    content = b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    # A part of a long one is enough: pages cut it.
    return [word[:40] for word in words if word[:40] in content]


@pytest.mark.parametrize("running", [True, False], ids=["while the gateway ran", "before it ran again"])
async def test_nothing_of_a_forgotten_user_is_in_the_file(tmp_path, running):
    store = await open_store(default_url(tmp_path))
    await fill(store, JULIET)
    await fill(store, ROMEO)
    hashed = store._hashes.user(JULIET)
    if not running:
        await store.close()
        assert len(in_files(tmp_path, [*traces("juliet-capulet"), hashed])) == 6, "it was there"
        store = await open_store(default_url(tmp_path))
    assert await store.forget(JULIET) > 60
    await store.close()
    assert in_files(tmp_path, [*traces("juliet-capulet"), hashed]) == []
    assert len(in_files(tmp_path, traces("romeo-montague"))) == 5, "nobody else is forgotten"
    assert not list(tmp_path.rglob("*-wal")), "a clean stop empties it"


async def test_of_what_is_through_only_hashes_are_in_the_file(tmp_path):
    store = await open_store(default_url(tmp_path))
    await fill(store, JULIET, rounds=1)
    await store.users.remove(JULIET)
    await store.close()
    assert in_files(tmp_path, traces("juliet-capulet")[1:3]) == []
    assert in_files(tmp_path, [b"@example.org", b"phone", b"stanza "]) == []


async def test_forget_that_was_interrupted_is_finished_by_the_next_one(tmp_path, monkeypatch):
    store = await open_store(default_url(tmp_path))
    await fill(store, JULIET, rounds=8)
    monkeypatch.setattr("gre_gateway_email.store.sql_store.hashes_of", _killed)
    with pytest.raises(KeyboardInterrupt):
        await store.forget(JULIET)
    monkeypatch.undo()
    assert await store.users.get(JULIET) is None
    assert await store.forget(JULIET) == 2 * 3, "the hashes of two mails and two messages"
    await store.close()


def _killed(*_):
    raise KeyboardInterrupt

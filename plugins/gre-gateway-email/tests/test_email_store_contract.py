"""The contract of the store, as a machine that does at random what a gateway does, beside a model in dictionaries."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count

import pytest
from gre_gateway_email.store import AddressTaken, HarvestedKey, InboundMessage, OutboundMail, User, open_store
from gre_gateway_email.store.schema import metadata
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

USERS = ("juliet@localhost", "romeo@localhost")
DAY = 86_400.0
KEPT, DEAD_KEPT = 7 * DAY, 14 * DAY
NEVER = "never-stored"

who = st.sampled_from(USERS)
numbers = st.integers(0, 3)


def outbound(identity, user, key, now, **changes):
    made = OutboundMail(
        id=identity, key=key, user=user, user_full=f"{user}/r", stanza_id="s", stanza_to="bob@mail.localhost",
        stanza_type="chat", wants_receipt=True, sender="x@example.org",
        recipients=("bob@example.net", "carol@example.net"), message_id=f"{identity}@example.org",
        mail=b"the mail " + identity.encode(), created_at=now, next_at=now,
    )  # fmt: skip
    return replace(made, **changes)


class Contract(RuleBasedStateMachine):
    url = ""

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.now = 1_800_000_000.0
        self.numbers = count()
        self.out: dict[str, OutboundMail] = {}
        self.into: dict[str, tuple[InboundMessage, bytes]] = {}
        self.hashes: dict[tuple[str, ...], tuple[str, float]] = {}
        self.users: dict[str, User] = {}
        self.keys: set[tuple[str, str]] = set()
        self.store = self.do(open_store(self.url, lambda: self.now))
        self.do(self.store._database.write(self._empty, marked=False))

    @staticmethod
    def _empty(connection):
        for table in reversed(metadata.sorted_tables):
            if table.name not in {"secrets", "versions"}:
                connection.execute(table.delete())

    def do(self, work):
        return self.runner.run(work)

    def teardown(self):
        self.do(self.store.close())
        self.runner.close()

    def pick(self, data, rows, *states):
        fitting = sorted(identity for identity, row in rows.items() if self.state_of(row) in states)
        return data.draw(st.sampled_from(fitting)) if fitting else None

    @staticmethod
    def state_of(row):
        return (row[0] if isinstance(row, tuple) else row).state

    # -- out -----------------------------------------------------------------------------------------

    def said_of(self, key):
        if ("key", key) in self.hashes:
            return "done"
        states = {mail.state for mail in self.out.values() if mail.key == key}
        return "waiting" if "waiting" in states else "new"

    def put_out(self, mail):
        said = self.said_of(mail.key)
        if said == "new":
            self.out = {name: each for name, each in self.out.items() if each.key != mail.key}
            self.out[mail.id] = replace(mail, size=len(mail.mail))
        return said

    @rule(user=who, number=numbers)
    def add_mail(self, user, number):
        mail = outbound(f"m{next(self.numbers)}", user, f"{user} {number}".encode(), self.now)
        assert self.do(self.store.outbox.is_known(mail.key)) == self.said_of(mail.key)
        assert self.do(self.store.outbox.add(mail)) == self.put_out(mail)

    @rule(data=st.data())
    def sent(self, data):
        if (identity := self.pick(data, self.out, "waiting")) is None:
            return
        mail = self.out.pop(identity)
        for _ in range(2):  # a second note says nothing new
            self.do(self.store.outbox.sent(mail))
        if mail.kind != "report":
            assert self.do(self.store.outbox.was_sent(mail.user, mail.message_id, "BOB@example.net"))
        assert not self.do(self.store.outbox.was_sent(mail.user, mail.message_id, "eve@example.net"))
        names = [("key", mail.key), *(("to", mail.user, mail.message_id, each) for each in mail.recipients)]
        for name in names:
            self.hashes.setdefault(name, (mail.user, self.now))

    @rule(data=st.data(), seconds=st.floats(0, DAY), end=st.sampled_from(["later", "bury", "refused"]))
    def not_sent(self, data, seconds, end):
        if (identity := self.pick(data, self.out, "waiting", "dead")) is None:
            return
        mail = self.out[identity]
        alive = mail.state == "waiting"
        if end == "later":
            self.do(self.store.outbox.later(mail, self.now + seconds, "busy"))
            changes = {"attempts": mail.attempts + 1, "next_at": self.now + seconds, "reason": "busy"}
        elif end == "bury":
            self.do(self.store.outbox.bury(mail, "no"))
            changes = {"state": "dead", "next_at": self.now, "reason": "no"}
        else:
            if alive:
                self.do(self.store.outbox.refused(mail))
                del self.out[identity]
            return
        if alive:  # what is dead stays as it is
            self.out[identity] = replace(mail, **changes)

    # -- in ------------------------------------------------------------------------------------------

    @rule(
        wanted=st.lists(st.tuples(who, numbers, st.sampled_from(["waiting", "held"])), min_size=1, max_size=3)
    )
    def add_messages(self, wanted):
        messages, said = [], []
        for user, number, state in wanted:
            identity = f"{user} {number}"
            message = InboundMessage(
                id=identity, user=user, address="x@example.org", sender="bob@example.net", kind="plain", size=4,
                state=state, received_at=self.now, next_at=self.now, expires_at=self.now + 5 * DAY,
                thread="first@example.net",
            )  # fmt: skip
            content = f"text {next(self.numbers)}".encode()
            messages.append((message, content))
            if ("in", identity) in self.hashes:
                said.append("done")
            elif identity in self.into and self.into[identity][0].state != "dead":
                said.append("waiting")
            else:
                said.append("new")
                self.into[identity] = message, content
            if len(wanted) == 1:
                assert self.do(self.store.inbox.is_known(identity)) == said[0]
        assert list(self.do(self.store.inbox.add(messages))) == said

    @rule(data=st.data())
    def arrived(self, data):
        if (identity := self.pick(data, self.into, "waiting", "held")) is None:
            return
        for _ in range(2):
            self.do(self.store.inbox.arrived([identity, NEVER]))
        message, _ = self.into.pop(identity)
        self.hashes["in", identity] = message.user, self.now

    @rule(data=st.data(), seconds=st.floats(0, DAY), bury=st.booleans())
    def not_arrived(self, data, seconds, bury):
        if (identity := self.pick(data, self.into, "waiting", "held", "dead")) is None:
            return
        message, content = self.into[identity]
        alive = message.state != "dead"
        if bury:
            name = f"r{next(self.numbers)}"
            report = outbound(name, message.user, name.encode(), self.now, kind="report")
            self.do(self.store.inbox.bury(identity, "no", report))
            if alive:
                assert self.put_out(report) == "new"
            changes = {"state": "dead", "next_at": self.now, "reason": "no"}
        else:
            self.do(self.store.inbox.later(identity, self.now + seconds, "busy"))
            changes = {"attempts": message.attempts + 1, "next_at": self.now + seconds, "reason": "busy"}
        if alive:
            self.into[identity] = replace(message, **changes), content

    # -- people --------------------------------------------------------------------------------------

    @rule(data=st.data(), replay=st.booleans())
    def dead_letter(self, data, replay):
        rows = {**self.out, **self.into}
        identity = self.pick(data, rows, "dead") or NEVER
        work = self.store.dead.replay if replay else self.store.dead.drop
        assert self.do(work(identity)) is (identity != NEVER)
        assert self.do(work(NEVER)) is False
        if not replay:
            self.out.pop(identity, None)
            self.into.pop(identity, None)
        elif identity in self.out:
            again = {
                "state": "waiting",
                "attempts": 0,
                "reason": "",
                "next_at": self.now,
                "created_at": self.now,
            }
            self.out[identity] = replace(self.out[identity], **again)
        elif identity in self.into:
            message, content = self.into[identity]
            ends = self.now + message.expires_at - message.received_at
            again = {"state": "waiting", "attempts": 0, "reason": "", "next_at": self.now, "expires_at": ends}
            self.into[identity] = replace(message, **again), content

    @rule(user=who, addresses=st.sets(numbers, min_size=1))
    def put_user(self, user, addresses):
        made = User(user, tuple(f"A{number}@example.org" for number in sorted(addresses)), registered_at=1.0)
        others = {each for jid, one in self.users.items() if jid != user for each in one.addresses}
        if others & set(made.addresses):
            with pytest.raises(AddressTaken):
                self.do(self.store.users.put(made))
        else:
            self.do(self.store.users.put(made))
            self.users[user] = made

    @rule(user=who, number=numbers)
    def put_key(self, user, number):
        key = HarvestedKey(
            user, f"bob{number}@example.net", b"key", "autocrypt", authenticated=False, seen_at=1.0
        )
        self.do(self.store.contact_keys.put(key))
        self.keys.add((user, key.address))

    @rule(user=who)
    def forget(self, user):
        gone = [name for name, (owner, _) in self.hashes.items() if owner == user]
        mails = [name for name, mail in self.out.items() if mail.user == user]
        messages = [name for name, (message, _) in self.into.items() if message.user == user]
        keys = {each for each in self.keys if each[0] == user}
        person = self.users.pop(user, None)
        rows = 0 if person is None else 1 + len(person.addresses)
        assert self.do(self.store.forget(user)) == len([*gone, *mails, *messages, *keys]) + rows
        for rows_of, names in ((self.hashes, gone), (self.out, mails), (self.into, messages)):
            for name in names:
                del rows_of[name]
        self.keys -= keys
        assert self.do(self.store.forget(user)) == 0

    # -- time ----------------------------------------------------------------------------------------

    @rule(days=st.sampled_from([0.01, 1.0]))
    def time_passes(self, days):
        self.now += days * DAY

    @rule(days=st.sampled_from([0.0, 8.0, 15.0]))
    def prune(self, days):
        self.now += days * DAY
        self.do(self.store.prune(KEPT, DEAD_KEPT))
        self.hashes = {
            name: (user, at) for name, (user, at) in self.hashes.items() if int(at) >= int(self.now - KEPT)
        }
        for rows in (self.out, self.into):
            for name, row in list(rows.items()):
                one = row[0] if isinstance(row, tuple) else row
                if one.state == "dead" and one.next_at < self.now - DEAD_KEPT:
                    del rows[name]

    @precondition(lambda self: self.out or self.into)
    @rule()
    def restart(self):
        self.do(self.store.close())
        self.store = self.do(open_store(self.url, lambda: self.now))

    @initialize()
    def nothing_yet(self):
        assert self.do(self.store.queue()) == []

    # -- what holds at any time ----------------------------------------------------------------------

    @invariant()
    def the_queues_are_right(self):
        there = {one.id: one for one in self.do(self.store.queue())}
        wanted = {name: replace(mail, mail=b"") for name, mail in self.out.items()}
        wanted |= {name: message for name, (message, _) in self.into.items()}
        assert there == wanted
        for direction, rows in zip(
            self.do(self.store.counts()),
            (self.out.values(), [one for one, _ in self.into.values()]),
            strict=True,
        ):
            states = [one.state for one in rows]
            found = (direction.waiting, direction.held, direction.dead)
            assert found == tuple(map(states.count, ("waiting", "held", "dead")))

    @invariant()
    def what_is_due_is_right(self):
        due = self.do(self.store.outbox.due(self.now, 1000))
        wanted = [mail for mail in self.out.values() if mail.state == "waiting" and mail.next_at <= self.now]
        assert {mail.id: mail.mail for mail in due} == {mail.id: mail.mail for mail in wanted}
        assert [mail.next_at for mail in due] == sorted(mail.next_at for mail in wanted)
        messages = [one for one, _ in self.into.values()]
        inbound = self.do(self.store.inbox.due(self.now, 1000))
        assert {one.id for one in inbound} == {
            one.id for one in messages if one.state == "waiting" and one.next_at <= self.now
        }
        expired = self.do(self.store.inbox.expired(self.now, 1000))
        assert {one.id for one in expired} == {
            one.id for one in messages if one.state != "dead" and one.expires_at <= self.now
        }
        for user in USERS:
            alive = [one for one in messages if one.user == user and one.state != "dead"]
            assert self.do(self.store.inbox.waiting_of(user)) == (len(alive), sum(one.size for one in alive))

    @invariant()
    def what_is_kept_comes_back(self):
        for name, (_, content) in self.into.items():
            assert self.do(self.store.inbox.content(name)) == content
        for user in USERS:
            assert self.do(self.store.users.get(user)) == self.users.get(user)


def test_the_store_does_what_it_promises(database_url):
    machine = type("Machine", (Contract,), {"url": database_url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.explicit, Phase.generate),  # to shrink what fails takes minutes
        ),
    )

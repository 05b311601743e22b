"""Keys out of received mail: which headers count, whose key takes whose place, and what hostile mails gain."""

from __future__ import annotations

import base64
from dataclasses import replace
from email.utils import format_datetime

import pytest
from gre_gateway_email.keys.harvest import Harvest, author
from gre_gateway_email.mail.mime_scan import read
from gre_gateway_email.store.records import User
from gre_openpgp.autocrypt import header_value
from gre_openpgp.packets import read_certificate

from gre_core.errors import StoreError

BOB = "bob@example.net"
JULIET = User("juliet@localhost", ("juliet@example.org", "jule@example.org"))
ROMEO = User("romeo@localhost", ("romeo@example.org",))
NOW = 1_800_000_000.0
DAY = 86_400.0


@pytest.fixture
def key(fakes):
    return fakes.public_key(f"Bob <{BOB}>")


@pytest.fixture
def other(fakes):
    return fakes.public_key(f"Bob <{BOB}>", seed=1)


def header(key, address=BOB):
    return f"Autocrypt: {header_value(address, key, mutual=True)}"


def mail(*fields, sender=BOB, date=NOW, body="Hello"):
    from datetime import UTC, datetime

    written = format_datetime(datetime.fromtimestamp(date, UTC))
    lines = [f"From: Bob <{sender}>", f"Date: {written}", *fields, "To: juliet@example.org", "", body, ""]
    return "\r\n".join(lines).encode()


class Scene:
    def __init__(self, fakes):
        self.keys = fakes.ContactKeys()
        self.clock = fakes.Clock(NOW)
        self.dkim = False
        self.told = []
        self.harvest = Harvest(self.keys, self.vouches, lambda *who: self.told.append(who), self.clock)

    async def vouches(self, _mail, _sender, _address):
        return self.dkim

    async def take(self, content, sender=BOB, users=(JULIET,)):
        await self.harvest.mail(users, sender, content)
        return (await self.keys.get("juliet@localhost", BOB) or [None])[0]


@pytest.fixture
def scene(fakes):
    return Scene(fakes)


async def test_a_key_is_kept_for_who_received_it_and_nobody_else(scene, key):
    kept = await scene.take(mail(header(key)))
    assert (kept.user, kept.address, kept.authenticated, kept.seen_at) == (JULIET.jid, BOB, False, NOW)
    assert read_certificate(kept.data).fingerprint == read_certificate(key).fingerprint
    assert len(scene.keys.keys) == 1
    await scene.take(mail(header(key)), users=(JULIET, ROMEO))
    assert {jid for jid, _, _ in scene.keys.keys} == {JULIET.jid, ROMEO.jid}


async def test_case_does_not_matter(scene, key):
    assert await scene.take(mail(header(key), sender="Bob@Example.NET"), sender="BOB@example.net")


async def test_the_newest_mail_wins_and_one_without_header_changes_nothing(scene, key, other):
    await scene.take(mail(header(key), date=NOW - DAY))
    assert (await scene.take(mail(header(other), date=NOW - 2 * DAY))).data == (await scene.take(mail())).data
    kept = await scene.take(mail(header(other)))
    assert read_certificate(kept.data).fingerprint == read_certificate(other).fingerprint


async def test_a_date_in_the_future_counts_as_now(scene, key, other):
    assert (await scene.take(mail(header(key), date=NOW + 900 * DAY))).seen_at == NOW
    scene.clock.now += 1
    kept = await scene.take(mail(header(other), date=NOW + 1))
    assert read_certificate(kept.data).fingerprint == read_certificate(other).fingerprint


async def test_a_clock_that_was_wrong_does_not_keep_newer_keys_away(scene, key, other):
    scene.clock.now = NOW + 5000 * DAY
    await scene.take(mail(header(key), date=NOW + 6000 * DAY))
    scene.clock.now = NOW
    kept = await scene.take(mail(header(other), date=NOW - 60))
    assert read_certificate(kept.data).fingerprint == read_certificate(other).fingerprint
    assert kept.seen_at == NOW - 60


@pytest.mark.parametrize(
    "date", ["", "Date: rubbish", "Date: Mon, 99 Foo 99999 99:99:99 +9999", "Date: " + "9" * 5000]
)
async def test_without_a_date_the_time_of_arrival_counts(scene, key, date):
    content = f"From: {BOB}\r\n{header(key)}\r\n{date}\r\n\r\nx\r\n".replace(
        "\r\n\r\n\r\n", "\r\n\r\n"
    ).encode()
    assert (await scene.take(content)).seen_at == NOW


async def test_a_key_that_is_not_authenticated_never_replaces_one_that_is(scene, key, other):
    scene.dkim = True
    first = await scene.take(mail(header(key)))
    assert first.authenticated
    scene.dkim = False
    scene.clock.now += 10 * DAY
    assert await scene.take(mail(header(other), date=NOW + DAY)) == first
    scene.dkim = True
    assert (await scene.take(mail(header(other), date=NOW + DAY))).data != first.data


async def test_an_authenticated_key_replaces_one_that_is_not(scene, key, other):
    await scene.take(mail(header(key)))
    scene.dkim = True
    kept = await scene.take(mail(header(other)))
    assert kept.authenticated
    assert read_certificate(kept.data).fingerprint == read_certificate(other).fingerprint


async def test_who_only_says_to_be_bob_brings_no_key_for_bob(scene, key):
    assert await scene.take(mail(header(key)), sender="eve@example.com") is None
    assert await scene.take(mail(header(key)), sender="") is None
    scene.dkim = True
    assert await scene.take(mail(header(key)), sender="bounce+bob@lists.example.com")


@pytest.mark.parametrize(
    "fields",
    [
        ["From: eve@example.com"],
        ["Autocrypt: {key}"],
        ["Content-Type: multipart/report; report-type=delivery-status"],
        ["Autocrypt: addr=bob@example.net; keydata=!!!"] * 16,
    ],
    ids=["two authors", "two headers", "a report", "too many headers"],
)
async def test_such_mails_are_not_looked_at(scene, key, other, fields):
    value = header_value(BOB, other)
    assert await scene.take(mail(header(key), *(field.format(key=value) for field in fields))) is None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "addr=eve@example.com; keydata={data}",
        "addr=bob@example.net; keydata=",
        "addr=bob@example.net; keydata=AAAA",
        "addr=bob@example.net; critical=1; keydata={data}",
        "addr=bob@example.net; addr=eve@example.com; keydata={data}",
        "addr=b\u202eob@example.net; keydata={data}",
        "addr=b\u00f6b@example.net; keydata={data}",
        "addr=bob@example.net; keydata={data}" + "A" * 12_000,
    ],
)
async def test_other_headers_are_none(scene, key, value):
    data = base64.b64encode(key).decode()
    assert await scene.take(mail("Autocrypt: " + value.format(data=data))) is None


async def test_one_good_header_among_others_counts(scene, key):
    others = ["Autocrypt: addr=eve@example.com; keydata=AAAA", "Autocrypt: rubbish"]
    assert await scene.take(mail(*others, header(key)))


async def test_names_of_others_are_left_out_and_a_key_without_the_address_stays_as_it_is(scene, fakes):
    both = fakes.public_key(f"Bob <{BOB}>", "Eve <eve@example.com>")
    data = base64.b64encode(both).decode()
    kept = await scene.take(mail(f"Autocrypt: addr={BOB}; keydata={data}"))
    assert read_certificate(kept.data).user_ids == (f"Bob <{BOB}>",)
    foreign = fakes.public_key("Eve <eve@example.com>")
    data = base64.b64encode(foreign).decode()
    kept = await scene.take(mail(f"Autocrypt: addr={BOB}; keydata={data}"))
    assert kept.data == foreign


async def test_a_users_own_address_and_blocked_users_get_nothing(scene, fakes):
    own = fakes.public_key("jule@example.org")
    await scene.take(
        mail(header(own, "jule@example.org"), sender="jule@example.org"), sender="jule@example.org"
    )
    blocked = replace(ROMEO, blocked=True)
    await scene.take(mail(header(fakes.public_key(BOB))), users=(blocked,))
    assert not scene.keys.keys


async def test_clients_are_told_of_another_key_only(scene, key, other):
    await scene.take(mail(header(key), date=NOW - 3 * DAY))
    assert scene.told == [(JULIET.jid, BOB)]
    await scene.take(mail(header(key)))
    await scene.take(mail())
    assert len(scene.told) == 1
    await scene.take(mail(header(other)))
    assert len(scene.told) == 2


async def test_not_every_mail_writes_to_the_store(scene, key):
    for hour in range(10):
        scene.clock.now = NOW + hour * 3600
        await scene.take(mail(header(key), date=scene.clock.now))
    assert scene.keys.writes == 1
    scene.clock.now = NOW + 2 * DAY
    assert (await scene.take(mail(header(key), date=scene.clock.now))).seen_at == NOW + 2 * DAY


async def test_a_store_that_fails_costs_no_mail(scene, key):
    scene.keys.error = StoreError("full")
    await scene.harvest.mail((JULIET,), BOB, mail(header(key)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bob@example.net", BOB),
        ("<bob@example.net>", BOB),
        ("Bob <bob@example.net>", BOB),
        ('"Bob, B. \\"the\\" <x@y.org>" <bob@example.net>', BOB),
        ("=?utf-8?q?B=C3=B6b?= <bob@example.net>", BOB),
        ("bob@example.net (Bob)", BOB),
        ("BOB@EXAMPLE.NET", BOB),
        ("Bob <bob@example.net>, Eve <eve@example.com>", None),
        ("bob@example.net, eve@example.com", None),
        ("Team: bob@example.net;", None),
        ("bob@example.net <eve@example.com>", None),
        ("Bob <bob@example.net> <eve@example.com>", None),
        ("Bob <bob@example.net", None),
        ("Bob", None),
        ("", None),
        ('"bob"@example.net', None),
        ("(" * 2000 + "bob@example.net", None),
        ('"' * 2001 + " <bob@example.net>", None),
        ("a" * 3000 + " <bob@example.net>", None),
    ],
)
def test_the_one_author(value, expected):
    assert author(read(f"From: {value}\r\n\r\n".encode())) == expected

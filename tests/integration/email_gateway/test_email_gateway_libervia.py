"""What the other known implementation sends, stanza for stanza: it does not follow the specification everywhere.

It asks for the data without saying for which pair, before discovery and once for each message; asks the contact, not the
domain; takes the first formatter and the first encrypter that it finds; and leaves in clear all but body and subject.
"""

from __future__ import annotations

import base64

import pytest

BOB = "bob\\40example.net@mail.localhost"
GRE, FORM = "{urn:xmpp:gre:0}", "{jabber:x:data}"
INFO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
FORMATTER, ENCRYPTER = "urn:xmpp:gre:formatter:", "urn:xmpp:gre:encrypter:"


async def prepare(juliet):
    """What it asks before each message; give the pair that it takes."""
    answer = await juliet.iq(BOB, "<data xmlns='urn:xmpp:gre:0'/>")
    (form,) = answer.findall(f"{GRE}data/{FORM}x")
    fields = {each.get("var"): (each.get("type"), [value.text for value in each]) for each in form}
    assert form.get("type") == "result"
    assert fields["FORM_TYPE"] == ("hidden", ["urn:xmpp:gre:data"])
    assert fields["sender_id"][1] == ["juliet@example.org"]
    info = (await juliet.iq(BOB, INFO))[0]
    names = [each.get("var") for each in info if each.tag.endswith("feature")]
    assert "urn:xmpp:gre:0" in names
    found = (next(name for name in names if name.startswith(kind)) for kind in (FORMATTER, ENCRYPTER))
    return "formatter='{}' encrypter='{}'".format(*found)


def wrapped(data):
    return "\n  " + "\n  ".join(base64.encodebytes(data).decode().splitlines()) + "\n"


def armored(data):
    return f"-----BEGIN PGP MESSAGE-----\n\n{base64.encodebytes(data).decode()}-----END PGP MESSAGE-----\n"


BODIES = {
    "base64": lambda data: base64.b64encode(data).decode(),
    "with white space": wrapped,
    "armored": armored,
    "in an element": lambda data: f"<openpgp xmlns='urn:xmpp:openpgp:0'>{wrapped(data)}</openpgp>",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_its_message_is_mailed_as_it_is(start, juliet, relay, kit, body):
    await start()
    data = kit.openpgp(900, seed=3)
    juliet.send(
        f"<message to='{BOB}'><encrypted xmlns='urn:xmpp:gre:0' {await prepare(juliet)}>{body(data)}</encrypted></message>"
    )
    sender, recipients, mail = await relay.next()
    assert (sender, recipients) == ("juliet@example.org", ["bob@example.net"])
    assert kit.binary_of(mail) == data


async def test_what_it_leaves_in_clear_does_not_leave_the_gateway(start, juliet, relay, kit):
    await start()
    pair = await prepare(juliet)
    data = kit.openpgp(seed=4)
    juliet.send(
        f"<message to='{BOB}' type='chat' id='x1'><thread>in-clear-1</thread>"
        "<html xmlns='http://jabber.org/protocol/xhtml-im'><body xmlns='http://www.w3.org/1999/xhtml'>"
        "<p>in-clear-2</p></body></html><x xmlns='jabber:x:oob'><url>https://localhost/in-clear-3</url></x>"
        "<active xmlns='http://jabber.org/protocol/chatstates'/><body/><subject/>"
        f"<encrypted xmlns='urn:xmpp:gre:0' {pair}>{base64.b64encode(data).decode()}</encrypted></message>"
    )
    mail = (await relay.next())[2]
    assert kit.binary_of(mail) == data
    assert b"in-clear" not in mail


async def test_its_messages_without_ids_are_all_mailed_and_need_no_receipt(start, juliet, relay, kit):
    await start()
    data = kit.openpgp(seed=7)
    text = base64.b64encode(data).decode()
    for _ in range(2):
        pair = await prepare(juliet)
        juliet.send(
            f"<message to='{BOB}'><encrypted xmlns='urn:xmpp:gre:0' {pair}>{text}</encrypted></message>"
        )
    mails = [(await relay.next())[2] for _ in range(2)]
    assert [kit.binary_of(mail) for mail in mails] == [data, data], "nothing is taken for a repetition"
    assert len({mail.partition(b"Message-ID:")[2].split()[0] for mail in mails}) == 2
    juliet.send(
        f"<message to='{BOB}'><encrypted xmlns='urn:xmpp:gre:0' {pair}>garbage!</encrypted></message>"
    )
    error = await juliet.until("{jabber:client}error")
    kind, condition, words = kit.error_of(error)
    assert (kind, condition) == ("modify", "bad-request")
    assert words, "the only stanza that came back for three messages"


async def test_it_gets_what_it_can_open(start, juliet, kit):
    gateway = await start()
    pair = await prepare(juliet)
    data = kit.openpgp(seed=8)
    assert await gateway.deliver(kit.pgp_mime(data)) == ["250 2.1.5 Stored"]
    got = await juliet.until(f"{GRE}encrypted")
    encrypted = got.find(f"{GRE}encrypted")
    assert got.get("from") == BOB
    assert f"formatter='{encrypted.get('formatter')}' encrypter='{encrypted.get('encrypter')}'" == pair
    assert (len(encrypted), base64.b64decode(encrypted.text)) == (0, data)

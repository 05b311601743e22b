"""Asking a verifier about a mail: the dialogue of a mail server with a milter, and what a strange one can do."""

from __future__ import annotations

import asyncio
import struct
from types import SimpleNamespace

import pytest
from gre_gateway_email.keys import vouching as vouching_module
from gre_gateway_email.keys.vouching import Vouching
from gre_gateway_email.mail import milter as module
from gre_gateway_email.mail.milter import Milter, MilterFailed, ask, greet
from gre_gateway_email.mail.mime_scan import read

TO = ["juliet@example.org"]
PASS = "mx.example.org; dkim=pass header.d=example.net"
MAIL = (
    b"DKIM-Signature: v=1;\r\n\tb=x\r\nFrom:Bob <bob@example.net>\r\nSubject: a\r\n b\r\n\r\n" + b"x" * 70_000
)


def packet(letter, data=b""):
    return struct.pack("!I", len(data) + 1) + letter + data


def results(value=PASS, letter=b"i"):
    return packet(
        letter,
        (b"\0\0\0\1" if letter == b"i" else b"") + b"Authentication-Results\0" + value.encode() + b"\0",
    )


class FakeMilter:
    """Answers each step as told, and keeps what it heard."""

    def __init__(self):
        self.heard = []
        self.protocol = 0
        self.answers = {}
        self.at_end = results() + packet(b"c")
        self.connections = 0

    async def handle(self, reader, writer):
        self.connections += 1
        try:
            while True:
                size = struct.unpack("!I", await reader.readexactly(4))[0]
                data = await reader.readexactly(size)
                letter = data[:1]
                self.heard.append((letter.decode(), data[1:]))
                if letter == b"Q":
                    break
                answer = self.answers.get(letter.decode(), packet(b"c"))
                if letter == b"O" and "O" not in self.answers:
                    answer = packet(b"O", struct.pack("!III", 6, 0x1F, self.protocol))
                if letter == b"E":
                    answer = self.at_end
                writer.write(answer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    def steps(self):
        return "".join(letter for letter, _ in self.heard).rstrip("Q")  # the farewell is not waited for


@pytest.fixture
async def milter():
    made = FakeMilter()
    server = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.place = Milter("127.0.0.1", server.sockets[0].getsockname()[1])
    yield made
    server.close()


async def test_the_whole_mail_is_shown_and_what_is_added_comes_back(milter):
    assert await ask(milter.place, "bob@example.net", TO, MAIL) == [PASS]
    assert milter.steps() == "OCHMRLLLNBBE"
    heard = dict(milter.heard)
    assert heard["M"] == b"<bob@example.net>\0"
    assert [data for letter, data in milter.heard if letter == "L"] == [
        b"DKIM-Signature\0v=1;\n\tb=x\0",
        b"From\0Bob <bob@example.net>\0",
        b"Subject\0a\n b\0",
    ]
    assert b"".join(data for letter, data in milter.heard if letter == "B") == b"x" * 70_000


async def test_it_sees_the_fields_as_they_stand_when_it_wants_to(milter):
    milter.protocol = 0x100000
    await ask(milter.place, "", TO, MAIL)
    fields = [data for letter, data in milter.heard if letter == "L"]
    assert fields[1:] == [b"From\0Bob <bob@example.net>\0", b"Subject\0 a\n b\0"]


async def test_steps_that_it_does_not_want_are_left_out(milter):
    milter.protocol = 0x01 | 0x02 | 0x08
    milter.answers["B"] = packet(b"s")
    assert await ask(milter.place, "bob@example.net", TO, MAIL) == [PASS]
    assert milter.steps() == "OMLLLNBE"


@pytest.mark.parametrize("step", ["C", "M", "L", "B"])
@pytest.mark.parametrize("answer", [b"a", b"r", b"t", b"d"])
async def test_a_verifier_that_ends_early_vouches_for_nothing(milter, step, answer):
    milter.answers[step] = packet(answer)
    assert await ask(milter.place, "bob@example.net", TO, MAIL) == []


@pytest.mark.parametrize(
    ("added", "said"),
    [
        (packet(b"p") + results(letter=b"h") + packet(b"a"), [PASS]),
        (packet(b"h", b"X-Spam\0yes\0") + packet(b"m", b"\0\0\0\1Subject\0x\0") + packet(b"c"), []),
        (packet(b"r"), []),
        (packet(b"i", b"\0") + packet(b"c"), []),
        (results("\xff" * 9) + packet(b"c"), ["\xff" * 9]),
    ],
    ids=["progress", "other changes", "refused", "cut", "not ascii"],
)
async def test_only_added_results_count(milter, added, said):
    milter.at_end = added
    assert await ask(milter.place, "bob@example.net", TO, MAIL) == said


STRANGE = {
    "hangs up": b"",
    "no milter": b"220 mx ESMTP\r\n",
    "huge": struct.pack("!I", 2**32 - 1) + b"O",
    "empty": struct.pack("!I", 0),
    "short": packet(b"O", b"\0\0\0\6"),
    "refuses": packet(b"r"),
}


@pytest.mark.parametrize("name", STRANGE)
async def test_what_is_no_milter_fails_in_time(milter, name, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 1.0)
    milter.answers["O"] = STRANGE[name]
    for work in (ask(milter.place, "bob@example.net", TO, MAIL), greet(milter.place)):
        with pytest.raises(MilterFailed):
            await work


async def test_a_verifier_without_end_is_left(milter):
    milter.at_end = packet(b"p") * 1000
    with pytest.raises(MilterFailed):
        await ask(milter.place, "bob@example.net", TO, MAIL)


async def test_one_that_is_away(tmp_path):
    for place in (Milter("127.0.0.1", 9), Milter(str(tmp_path / "none.sock"), 0)):
        with pytest.raises(MilterFailed):
            await greet(place)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("127.0.0.1:8891", Milter("127.0.0.1", 8891)),
        ("inet:localhost:8891", Milter("localhost", 8891)),
        ("[::1]:8891", Milter("::1", 8891)),
        ("/run/opendkim.sock", Milter("/run/opendkim.sock", 0)),
        ("unix:/run/opendkim.sock", Milter("/run/opendkim.sock", 0)),
    ],
)
def test_places(text, place):
    assert Milter.parse(text) == place


@pytest.mark.parametrize("text", ["", "host", ":1", "host:0", "host:65536", "host:x", "run/x.sock"])
def test_what_is_no_place(text):
    with pytest.raises(ValueError, match=r".*"):
        Milter.parse(text)


# -- who is asked ------------------------------------------------------------------------------------

SIGNED = b"DKIM-Signature: v=1\r\nFrom: bob@example.net\r\n\r\nx"
FIELD = f"Authentication-Results: {PASS}\r\n".encode()


def vouching(place, protocol="lmtp", authserv_id="mx.example.org", clock=lambda: 0.0):
    mail = SimpleNamespace(authserv_id=authserv_id, verifier=place, domains=("example.org",))
    return Vouching(SimpleNamespace(mail=mail, listen=SimpleNamespace(protocol=protocol)), clock)


async def says(vouches, content):
    return await vouches(read(content), "bob@example.net", "bob@example.net")


async def test_behind_the_queue_the_field_of_the_own_server_is_enough(milter):
    assert await says(vouching(milter.place), FIELD + SIGNED)
    assert milter.connections == 0


async def test_before_the_queue_only_the_verifier_counts(milter):
    assert not await says(vouching(None, "smtp"), FIELD + SIGNED)
    assert await says(vouching(milter.place, "smtp"), SIGNED)
    milter.at_end = results("x; dkim=pass header.d=evil.example") + packet(b"c")
    assert not await says(vouching(milter.place, "smtp"), FIELD + SIGNED)


async def test_a_mail_without_a_signature_is_not_shown(milter):
    assert not await says(vouching(milter.place), SIGNED.replace(b"DKIM-Signature", b"X"))
    assert milter.connections == 0


async def test_a_verifier_that_fails_is_left_alone_for_a_while(milter):
    now = [0.0]
    vouches = vouching(milter.place, clock=lambda: now[0])
    milter.answers["O"] = packet(b"r")
    for _ in range(3):
        assert not await says(vouches, SIGNED)
    assert milter.connections == 1
    now[0] = vouching_module.PAUSE
    del milter.answers["O"]
    assert await says(vouches, SIGNED)

"""The leak search: it has to find what is planted, and nothing else."""

from __future__ import annotations

import os
from base64 import b64encode
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from gre_cli.demo.leaks import PLANTED, LeakSearch, Secret, self_test

TEXT = Secret("text", "moonlit-küche-4f1c9a0d77".encode())
PICTURE = Secret("picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xfe\x00\x01\x80\x81")
NOISE = b64encode(os.urandom(30_000))


@pytest.fixture(scope="module")
def search() -> LeakSearch:
    return LeakSearch([TEXT, PICTURE])


@pytest.mark.parametrize("dress", PLANTED)
def test_planted_text_is_found(search: LeakSearch, dress: str) -> None:
    leaks = search.find(NOISE + b"\r\n" + PLANTED[dress](TEXT.value) + b"\r\n" + NOISE, "relay")
    assert [(leak.secret, leak.place) for leak in leaks] == [("text", "relay")]


@pytest.mark.parametrize("offset", range(6))
def test_binary_is_found_in_base64_at_any_offset(search: LeakSearch, offset: int) -> None:
    content = os.urandom(offset) + PICTURE.value + os.urandom(100)
    assert [leak.secret for leak in search.find(NOISE + b"\n" + b64encode(content))] == ["picture"]


def test_nothing_is_found_where_nothing_is(search: LeakSearch) -> None:
    assert search.find(NOISE + os.urandom(50_000)) == []
    assert search.find(b"") == []


@pytest.mark.parametrize(
    "written",
    [
        quote(TEXT.value.decode()).encode(),
        Header(TEXT.value.decode(), "utf-8").encode().encode(),
        f"filename*=utf-8''{quote(TEXT.value.decode())}".encode(),
        escape(TEXT.value.decode()).encode("ascii", "xmlcharrefreplace"),
        TEXT.value.decode().upper().encode().replace(b"\xc3\x9c", b"\xc3\xbc"),
    ],
)
def test_what_other_programs_write_is_found(search: LeakSearch, written: bytes) -> None:
    assert [leak.secret for leak in search.find(b"<a>" + written + b"</a>")] == ["text"]


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit"])
def test_what_the_mail_library_writes_is_found(search: LeakSearch, encoding: str) -> None:
    mail = EmailMessage()
    mail["Subject"] = f"about {TEXT.value.decode()}"
    mail.set_content(f"Zur {TEXT.value.decode()} um acht.\n" * 3, cte=encoding)
    assert [leak.secret for leak in search.find(mail.as_bytes(policy=SMTP))] == ["text"]


def test_self_test_plants_every_dress_at_every_party(search: LeakSearch) -> None:
    result = self_test(search, {"server": NOISE, "gateway": b"", "relay": NOISE[:100]})
    assert result.missed == ()
    text_only = {"character references", "utf-16-le", "utf-16-be", "base64 of utf-16-le"}
    assert result.planted == 3 * (2 * len(PLANTED) - len(text_only))


def test_self_test_tells_what_a_blind_search_misses(
    search: LeakSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LeakSearch, "find", lambda *_: [])
    result = self_test(search, {"server": NOISE})
    assert len(result.missed) == result.planted > 0


def test_short_secrets_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        LeakSearch([Secret("text", b"hello")])

"""The codec of messages: what is written is read again, and nothing else is taken."""

from __future__ import annotations

import dataclasses
import json
import struct
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gre_core.errors import ParseFailed
from gre_core.message_codec import MAX_OUTLINE, decode_message, encode_message
from gre_core.model import Attachment, Message, Notice, SignedPart

anything = st.text(st.characters(), max_size=30)  # half surrogate pairs too: charsets of mail make them
maybe = st.none() | anything
several = st.lists(anything, max_size=4).map(tuple)
file_names = anything.filter(lambda name: name not in {".", ".."} and not set(name) & set("/\\\0"))
attachments = st.builds(
    Attachment.from_bytes,
    file_names,
    anything,
    st.binary(max_size=50),
    inline=st.booleans(),
    content_id=maybe,
)
zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
messages = st.builds(
    Message,
    text=anything,
    html=maybe,
    subject=maybe,
    attachments=st.lists(attachments, max_size=3).map(tuple),
    to=several,
    cc=several,
    claimed_sender=maybe,
    message_id=maybe,
    in_reply_to=maybe,
    references=several,
    date=st.none() | st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=zones),  # noqa: DTZ001
    headers=st.dictionaries(anything, several, max_size=3),
    hidden=several,
    signed=st.none() | st.builds(SignedPart, st.binary(max_size=40), st.binary(max_size=40), anything),
    notices=st.lists(
        st.builds(Notice, anything, anything, st.dictionaries(anything, anything, max_size=2)), max_size=3
    ).map(tuple),
)


@given(messages)
def test_every_field_comes_back(message: Message) -> None:
    read = decode_message(encode_message(message))
    assert read == message
    assert dict(read.headers) == dict(message.headers)
    assert read.hidden == message.hidden
    assert read.signed == message.signed
    assert [(one.code, one.text, dict(one.params)) for one in read.notices] == [
        (one.code, one.text, dict(one.params)) for one in message.notices
    ]
    assert [one.read() for one in read.attachments] == [one.read() for one in message.attachments]


@given(messages, st.data())
def test_what_is_damaged_is_refused_or_read_but_nothing_else_happens(
    message: Message, data: st.DataObject
) -> None:
    written = bytearray(encode_message(message))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(written) - 1))
        written[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        if not written:
            break
    try:
        decode_message(bytes(written))
    except ParseFailed:
        pass


def test_no_field_is_forgotten() -> None:
    assert set(json.loads(encode_message(Message())[9:])) == {
        field.name for field in dataclasses.fields(Message)
    }


def rewritten(**fields: object) -> bytes:
    """An empty message with other values in its outline."""
    empty = encode_message(Message())
    head = json.loads(empty[9:])
    return frame(json.dumps(head | fields).encode())


def frame(outline: bytes, rest: bytes = b"") -> bytes:
    return struct.pack(">5sI", b"GREM\x01", len(outline)) + outline + rest


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GREM\x02" + encode_message(Message())[5:],
        encode_message(Message()) + b"more",
        encode_message(Message(text="cut"))[:-1],
        frame(b"null"),
        frame(b"[]"),
        frame(b"{}"),
        frame(b"[" * 100_000),
        frame(b"\xff"),
        frame(b" " * (MAX_OUTLINE + 1)),
        frame(b'{"text":' + b"9" * 10_000 + b"}"),
        rewritten(text=-1),
        rewritten(text=True),
        rewritten(text=1.0),
        rewritten(text="0"),
        rewritten(html=5),
        rewritten(subject=["x"]),
        rewritten(to="abc"),
        rewritten(to=[None]),
        rewritten(references=["x"] * 10_001),
        rewritten(date="2026-01-01T00:00:00"),
        rewritten(date="yesterday"),
        rewritten(headers=[[]]),
        rewritten(headers={"a": ["b"]}),
        rewritten(notices=[["code"]]),
        rewritten(notices=[["code", "text", "name without value"]]),
        rewritten(signed=[0, 0]),
        rewritten(attachments=[["../x", "text/plain", 0, False, None]]),
        rewritten(attachments=[["..", "text/plain", 0, False, None]]),
        rewritten(attachments=[["a\0b", "text/plain", 0, False, None]]),
        rewritten(attachments=[["x", "text/plain", 0, 1, None]]),
        rewritten(attachments=[["x", "text/plain", 10**30, False, None]]),
        rewritten(attachments=["xxxxx"]),
        rewritten(attachments=[["x"]]),
    ],
)
def test_a_hostile_worker_gets_nothing_but_our_own_error(data: bytes) -> None:
    with pytest.raises(ParseFailed):
        decode_message(data)


def test_attachments_are_streams_over_what_came() -> None:
    content = bytes(range(256)) * 40_000
    (read,) = decode_message(
        encode_message(Message(attachments=(Attachment.from_bytes("a.bin", "x/y", content),)))
    ).attachments
    assert read.size == len(content)
    with read.open() as stream:
        assert stream.read(3) == content[:3]
        assert stream.seek(-2, 2) == len(content) - 2
        assert stream.read() == content[-2:]
        assert stream.seek(5) == 5
        assert stream.read(100_000) == content[5:100_005]
        assert not stream.writable()
    assert read.read() == content


def test_more_outline_than_is_read_is_not_written() -> None:
    with pytest.raises(ParseFailed, match="longer than"):
        encode_message(Message(headers={"x": ("y" * MAX_OUTLINE,)}))


def test_a_date_keeps_its_moment() -> None:
    date = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)
    assert decode_message(encode_message(Message(date=date))).date == date

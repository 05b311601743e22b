"""Asks the operator's verifier (OpenDKIM, rspamd) what it finds out about a mail, as a mail server asks a milter.

::

    said = await ask(Milter("127.0.0.1", 8891), "bob@example.net", ["juliet@example.org"], mail)
    # ["mx.example.org; dkim=pass header.d=example.net"]: what it would write as Authentication-Results

Where Postfix hands mails to the gateway before its queue no milter of Postfix sees their content, and what stands in
Authentication-Results there was written by strangers. So the verifier is asked here. The protocol is that of Sendmail
and Postfix, version 6: packets of a length (4 bytes), a letter, and data.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from gre_gateway_email.mail import mime_scan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

_T = TypeVar("_T")

SECONDS: Final = 10.0
"""How long one mail may take."""

MAX_PORT: Final = 65_535

MAX_PACKET: Final = 256 * 1024
MAX_CHANGES: Final = 100
"""Most changes of one mail that are looked at."""

_VERSION: Final = 6
_ACTIONS: Final = 0x1FF
"""It may offer every change; only added fields are looked at."""

_LEADING_SPACE: Final = 0x100000
"""Values begin right behind the colon: without it a signature over fields as they stand (``simple``) may fail."""

_PROTOCOL: Final = 0x7F | _LEADING_SPACE
"""What it may choose: steps that it does not want to see. All others get an answer."""

_STEPS: Final = {"C": 0x01, "H": 0x02, "M": 0x04, "R": 0x08, "B": 0x10, "L": 0x20, "N": 0x40}
_CHUNK: Final = 65_535
_FIELD: Final = "authentication-results"
_GOES_ON: Final = b"c"
_FINAL: Final = b"acrdty"
_SKIP_REST: Final = b"s"
# A documentation address: nobody's. OpenDKIM takes mail without an address for the machine's own, and signs it.
_CLIENT: Final = b"unknown\0" + b"4" + struct.pack("!H", 25) + b"192.0.2.1\0"


class MilterFailed(Exception):
    """The verifier did not answer, or does not speak the protocol."""


@dataclass(frozen=True, slots=True)
class Milter:
    """Where it listens.

    Arguments:
        host: or the path of a socket.
        port: or 0 for a socket.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Milter:
        """Read ``host:port``, or the absolute path of a socket; with ``inet:`` or ``unix:`` before it, as in Postfix.

        Raises:
            ValueError: it is neither.
        """
        place = text.removeprefix("unix:").removeprefix("inet:")
        if place.startswith("/"):
            return cls(place, 0)
        host, _, port = place.rpartition(":")
        if not host or not (port.isascii() and port.isdigit() and 0 < int(port) <= MAX_PORT):
            raise ValueError(text)
        return cls(host.strip("[]"), int(port))


async def ask(milter: Milter, sender: str, recipients: Sequence[str], mail: bytes) -> list[str]:
    """Show a mail to the verifier; give the values of all Authentication-Results that it would add.

    Arguments:
        milter: where it listens.
        sender: of the envelope, ``""`` for the null sender.
        recipients: of the envelope, at least one: libmilter waits for it.
        mail: as it came, with CRLF.

    Raises:
        MilterFailed: it could not be asked; nothing is known then.
    """
    return await _connected(milter, lambda packets: _talk(packets, sender, recipients, mail))


class _Packets:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def put(self, letter: str, data: bytes = b"") -> None:
        self._writer.write(struct.pack("!I", len(data) + 1) + letter.encode() + data)
        await self._writer.drain()

    async def get(self) -> tuple[bytes, bytes]:
        (size,) = struct.unpack("!I", await self._reader.readexactly(4))
        if not 0 < size <= MAX_PACKET:
            raise ValueError(size)
        packet = await self._reader.readexactly(size)
        return packet[:1], packet[1:]


async def greet(milter: Milter) -> None:
    """Connect, agree on the protocol, and leave.

    Raises:
        MilterFailed: it did not work.
    """
    await _connected(milter, _agree)


async def _connected(milter: Milter, work: Callable[[_Packets], Awaitable[_T]]) -> _T:
    try:
        async with asyncio.timeout(SECONDS):
            if milter.port:
                reader, writer = await asyncio.open_connection(milter.host, milter.port)
            else:
                reader, writer = await asyncio.open_unix_connection(milter.host)
            try:
                return await work(_Packets(reader, writer))
            finally:
                writer.close()
    except (OSError, EOFError, ValueError, TimeoutError) as error:
        raise MilterFailed(type(error).__name__) from error


async def _agree(packets: _Packets) -> int:
    await packets.put("O", struct.pack("!III", _VERSION, _ACTIONS, _PROTOCOL))
    letter, data = await packets.get()
    if letter != b"O" or len(data) < 12:  # noqa: PLR2004 - three numbers
        raise ValueError(letter)
    return int(struct.unpack("!III", data[:12])[2])


async def _talk(packets: _Packets, sender: str, recipients: Sequence[str], mail: bytes) -> list[str]:
    chosen = await _agree(packets)
    rest_of_body = True
    for step, content in _steps(sender, recipients, mail, leading_space=bool(chosen & _LEADING_SPACE)):
        if chosen & _STEPS[step] or (step == "B" and not rest_of_body):
            continue
        await packets.put(step, content)
        answer, _ = await packets.get()
        rest_of_body = answer != _SKIP_REST
        if answer not in (_GOES_ON, _SKIP_REST):
            return []  # it has seen enough, or refuses the mail: it vouches for nothing
    await packets.put("E")
    said = [value async for name, value in _added(packets) if name.lower() == _FIELD]
    await packets.put("Q")
    return said


def _steps(
    sender: str, recipients: Sequence[str], mail: bytes, *, leading_space: bool
) -> Iterator[tuple[str, bytes]]:
    yield "C", _CLIENT
    yield "H", b"unknown\0"
    yield "M", f"<{sender}>".encode() + b"\0"
    for recipient in recipients:
        yield "R", f"<{recipient}>".encode() + b"\0"
    fields, body = mime_scan.raw_fields(mail)
    for name, value in fields:
        lines = (value if leading_space else value.removeprefix(b" ")).replace(b"\r\n", b"\n")
        yield "L", name + b"\0" + lines + b"\0"
    yield "N", b""
    for at in range(body, len(mail), _CHUNK):
        yield "B", mail[at : at + _CHUNK]


async def _added(packets: _Packets) -> AsyncIterator[tuple[str, str]]:
    for _ in range(MAX_CHANGES):
        letter, data = await packets.get()
        if letter in (b"h", b"i"):
            name, _, value = data[4 if letter == b"i" else 0 :].partition(b"\0")
            yield name.decode("latin-1"), value.rstrip(b"\0").decode("utf-8", "replace")
        elif letter in _FINAL:
            return
    raise ValueError("endless")

"""Where a payload is read from: bytes in memory, or a seekable stream of any size."""

from __future__ import annotations

import io
import threading
from typing import BinaryIO, Final, Protocol

from gre_core.errors import ParseFailed
from gre_formatter_mime.limits import MAX_HEADER, MAX_PAYLOAD, MAX_STREAM

WINDOW: Final = 1 << 20
"""Bytes that are looked at in one go."""


class Source(Protocol):
    """A payload, read by position. Positions and sizes are in bytes."""

    @property
    def size(self) -> int:
        """How long the payload is."""
        ...

    def window(self, start: int, end: int) -> tuple[bytes, int, int]:
        """Give bytes that hold the header section there, and where in them it starts and must end."""
        ...

    def read(self, start: int, end: int) -> bytes | memoryview:
        """Give a piece."""
        ...

    def find(self, needle: bytes, start: int, end: int) -> int:
        """Give the position of the first occurrence that lies within, or -1."""
        ...


class BytesSource:
    """A payload in memory."""

    def __init__(self, payload: bytes) -> None:
        """Take a payload.

        Raises:
            ParseFailed: longer than 256 MiB.
        """
        _check_size(len(payload), MAX_PAYLOAD)
        # Line ends of a bare CR, as of old systems: nothing else in such a payload can be told apart.
        self._payload = payload if b"\n" in payload else payload.replace(b"\r", b"\n")
        self.size = len(payload)

    def window(self, start: int, end: int) -> tuple[bytes, int, int]:
        """See :meth:`Source.window`."""
        return self._payload, start, min(end, start + MAX_HEADER)

    def read(self, start: int, end: int) -> memoryview:
        """See :meth:`Source.read`."""
        return memoryview(self._payload)[start:end]

    def find(self, needle: bytes, start: int, end: int) -> int:
        """See :meth:`Source.find`."""
        return self._payload.find(needle, start, end)


class StreamSource:
    """A payload in a seekable stream. Any number of readers may share it, from several threads."""

    def __init__(self, stream: BinaryIO) -> None:
        """Take a stream.

        Raises:
            ParseFailed: longer than 8 GiB, or it cannot be read.
        """
        self._stream = stream
        self._lock = threading.Lock()
        try:
            self.size = stream.seek(0, io.SEEK_END)
        except (OSError, ValueError) as error:
            raise _unreadable(error) from error
        _check_size(self.size, MAX_STREAM)

    def window(self, start: int, end: int) -> tuple[bytes, int, int]:
        """See :meth:`Source.window`."""
        # Most header sections are small: look at 8 KB first, at all that is allowed when that is not enough.
        piece = self.read(start, min(end, start + 8192))
        if len(piece) < end - start and b"\n\n" not in piece and b"\n\r\n" not in piece:
            piece = self.read(start, min(end, start + MAX_HEADER))
        return piece, 0, len(piece)

    def read(self, start: int, end: int) -> bytes:
        """See :meth:`Source.read`.

        Raises:
            ParseFailed: the stream cannot be read, or became shorter.
        """
        try:
            with self._lock:
                self._stream.seek(start)
                piece = self._stream.read(end - start)
        except (OSError, ValueError) as error:
            raise _unreadable(error) from error
        if len(piece) != end - start:
            raise ParseFailed(
                "The decrypted payload became shorter while it was read; open the message again"
            )
        return piece

    def find(self, needle: bytes, start: int, end: int) -> int:
        """See :meth:`Source.find`."""
        while start + len(needle) <= end:
            stop = min(end, start + WINDOW)
            found = self.read(start, stop).find(needle)
            if found >= 0:
                return start + found
            start = stop if stop == end else stop - len(needle) + 1
        return -1


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise ParseFailed(f"The payload has {size} bytes; at most {limit} are read", size=size, limit=limit)


def _unreadable(error: Exception) -> ParseFailed:
    return ParseFailed(f"The decrypted payload cannot be read: {type(error).__name__}")

"""A part of a payload as a stream that decodes while it is read."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from gre_core.errors import ParseFailed
from gre_formatter_mime.source import WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_formatter_mime.source import Source


class LineReader(io.RawIOBase):
    """Decodes an attachment while it is read, a megabyte at a time.

    Arguments:
        source: where the payload is.
        start: where the body begins in it.
        end: where it ends.
        line: length of its lines, so that each piece can be decoded alone.
        decode: undoes the encoding of some whole lines.
    """

    def __init__(
        self, source: Source, start: int, end: int, line: int, decode: Callable[[bytes | memoryview], bytes]
    ) -> None:
        super().__init__()
        self._source = source
        self._position = start
        self._end = end
        self._step = max(WINDOW // line, 1) * line
        self._decode = decode
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """It can only be read."""
        return True

    def _next(self) -> bytes:
        stop = min(self._position + self._step, self._end)
        try:
            piece = self._decode(self._source.read(self._position, stop))
        except ParseFailed as error:
            raise OSError(error.text) from error
        self._position = stop
        return piece

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Fill a buffer as far as one piece goes; 0 at the end."""
        while not self._ready and self._position < self._end:
            self._ready = memoryview(self._next())
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def readall(self) -> bytes:
        """Give all that is left."""
        pieces = [bytes(self._ready)]
        self._ready = memoryview(b"")
        while self._position < self._end:
            pieces.append(self._next())
        return b"".join(pieces)

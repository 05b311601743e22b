"""The formatter itself: four methods that lead to the writing and the reading side."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from gre_formatter_mime.compose import compose, message_id
from gre_formatter_mime.parse import parse_source
from gre_formatter_mime.source import BytesSource, StreamSource
from gre_formatter_mime.worker import PARSER

if TYPE_CHECKING:
    from gre_core.api import Message, OpenJob, SealJob


class MimeFormatter:
    """GRE Formatter: MIME, ``urn:xmpp:gre:formatter:mime:0``.

    It has no state and is safe to call from several threads.
    """

    def format(self, message: Message, job: SealJob, /) -> bytes:
        """Give a complete MIME entity: CRLF line ends, 7bit, header fields inside.

        Raises:
            FormatFailed: an address, id, media type or text cannot be written as mail, or an attachment
                cannot be read.
        """
        return b"".join(compose(message, job))

    def message_id(self, job: SealJob, /) -> str:
        """Give the Message-ID that a message will have, without angle brackets (``gre_core.api.NamesMessages``).

        Raises:
            FormatFailed: the origin-id cannot be part of one.
        """
        return message_id(job)

    def format_to(self, message: Message, job: SealJob, sink: BinaryIO, /) -> None:
        """Write what :meth:`format` gives, piece by piece: a few MB of memory whatever the attachments weigh.

        Raises:
            FormatFailed: as for :meth:`format`. What was written until then is of no use.
            OSError: the sink does not take it.
        """
        sink.writelines(compose(message, job))

    def parse(self, payload: bytes, job: OpenJob, /) -> Message:  # noqa: ARG002 - the contract
        """Read a MIME entity, which may be hostile. Bounds: see :mod:`gre_formatter_mime.limits`.

        Large attachments are decoded when they are opened; they keep the payload in memory until then.

        Raises:
            ParseFailed: no MIME entity, or beyond the bounds.
        """
        return parse_source(BytesSource(payload))

    @property
    def worker_parser(self) -> str:
        """What does the work of :meth:`parse` in a worker process."""
        return PARSER

    def parse_from(self, payload: BinaryIO, job: OpenJob, /) -> Message:  # noqa: ARG002 - the contract
        """Read a MIME entity from a seekable stream.

        The attachments read from the stream when they are opened: keep it open as long as they are needed.

        Raises:
            ParseFailed: no MIME entity, beyond the bounds, or the stream cannot be read.
        """
        return parse_source(StreamSource(payload))

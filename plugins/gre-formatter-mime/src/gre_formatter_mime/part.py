"""One part of a payload: its header section read, its body by position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gre_formatter_mime import headers_read as read

if TYPE_CHECKING:
    from gre_formatter_mime.source import Source


@dataclass(slots=True)
class Part:
    """One part: its header section read, its body by position."""

    fields: read.Fields
    start: int
    end: int
    media_type: read.Structured
    disposition: read.Structured

    @property
    def encoding(self) -> str:
        """The Content-Transfer-Encoding in lower case, ``""`` when there is none."""
        values = self.fields.get("content-transfer-encoding")
        return values[0].partition(";")[0].strip().lower() if values else ""

    @property
    def file_name(self) -> str:
        """The file name as the part has it, not yet safe; ``""`` when it has none."""
        return self.disposition.parameters.get("filename") or self.media_type.parameters.get("name", "")

    @property
    def boundary(self) -> str:
        """What stands between the parts of a multipart; ``""`` when it is not said."""
        return self.media_type.parameters.get("boundary", "")

    @property
    def is_plain(self) -> bool:
        """Whether the body stands there as it is, not in base64 or the like."""
        return self.encoding in {"", "7bit", "8bit", "binary"}


def part_of(source: Source, start: int, end: int, default: str = "text/plain") -> Part:
    """Read the header section of a part.

    Arguments:
        source: the payload.
        start: where the part begins.
        end: where it ends.
        default: its media type when it names none.

    Raises:
        ParseFailed: see :func:`gre_formatter_mime.headers_read.read_header`.
    """
    fields, body = read.read_header(source, start, end)
    return Part(
        fields, body, end, read.content_type(fields, default), read.structured(fields, "content-disposition")
    )

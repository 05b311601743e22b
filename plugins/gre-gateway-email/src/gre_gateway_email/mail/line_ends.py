"""Line ends and dots, which are how one mail ends and another could begin (RFC 5321, sections 2.3.8 and 4.5.2)."""

from __future__ import annotations


def has_clean_lines(content: bytes) -> bool:
    """Tell whether CR and LF stand only together, and NUL nowhere: the rest is how smuggling begins."""
    line_ends = content.count(b"\r\n")
    return content.count(b"\r") == line_ends == content.count(b"\n") and b"\0" not in content


def stuffed(content: bytes) -> bytes:
    """Give a mail with clean lines as it stands behind DATA, with its end."""
    end = b"" if content.endswith(b"\r\n") or not content else b"\r\n"
    return (b"." if content.startswith(b".") else b"") + content.replace(b"\r\n.", b"\r\n..") + end + b".\r\n"


def unstuffed(data: bytes) -> bytes:
    """Give a mail from what stood between the line end of DATA and the last dot, both line ends included."""
    return data.replace(b"\r\n.", b"\r\n")[2:]

"""Format=flowed (RFC 3676) back to paragraphs."""

from __future__ import annotations

_SIGNATURE = "-- "


def unflow(text: str, *, delete_space: bool) -> str:
    """Join the lines that a mail program broke.

    Arguments:
        text: with LF line ends.
        delete_space: the parameter DelSp: the space before a soft line end was added too.
    """
    out: list[str] = []
    flowing = False
    depth_before = 0
    for line in text.split("\n"):
        content = line.lstrip(">")
        depth = len(line) - len(content)
        content = content.removeprefix(" ")  # stuffed (section 4.4)
        soft = content.endswith(" ") and content != _SIGNATURE
        joins = flowing and depth == depth_before and content != _SIGNATURE
        if not joins:
            out.append("\n" * bool(out))
            if depth:
                out.append(">" * depth + " ")
        out.append(content[:-1] if soft and delete_space else content)
        flowing, depth_before = soft, depth
    return "".join(out)

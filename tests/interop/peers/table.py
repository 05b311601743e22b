"""The table of docs/interop.md: written from what the tests saw, and read again by them.

::

    python tests/interop/peers/table.py ROWS.jsonl docs/interop.md
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

DEFAULT = "default"
READS = "reads what we send"
WRITES = "writes to us"

_HEAD = """\
# Programs of others

<!-- Written by `nox -s interop_table`. Do not edit: the tests of `nox -s interop` compare it with what they see. -->

Each program runs in the tests, with a key of its own, against the whole way: our client, an XMPP server, the email
gateway, a mail server. In one direction it reads the mail as it leaves the gateway; in the other, the mail that it
writes goes through the gateway, and our client opens it.

- **Opens**: it decrypts, and the text is the one that was written.
- **Signature**: what the program says, and that it names the right key; for the other direction, the verdict of our
  client.
- **Header**: which fields of the header inside the encryption are shown, or understood. What a program leaves outside
  only, where everybody can change it, our client does not show.
- **Attachments**: those with the same name and the same bytes.

"""
_NO_MAIL = """
¹ Knows OpenPGP but no mail: what it decrypts is read by Python's `email`, which also writes what it encrypts.
"""


@dataclass(frozen=True)
class Row:
    """What was seen of one program with one kind of message.

    Arguments:
        program: its name.
        direction: :data:`READS` or :data:`WRITES`.
        message: what is special about it.
        opens: yes or no.
        signature: the judgement.
        header: what is shown or understood of the header inside.
        attachments: how many of how many are right.
    """

    program: str
    direction: str
    message: str
    opens: str
    signature: str
    header: str
    attachments: str

    @property
    def line(self) -> str:
        """The line of the table."""
        cells = list(astuple(self))
        del cells[1]
        return f"| {' | '.join(cells)} |"


def render(rows: list[Row], versions: dict[str, str]) -> str:
    """Write the page."""
    text = _HEAD
    for direction, title in ((READS, "They read what we send"), (WRITES, "We read what they send")):
        text += f"## {title}\n\n| program | message | opens | signature | header | attachments |\n|---|---|---|---|---|---|\n"
        text += "\n".join(row.line for row in _in_order(rows) if row.direction == direction) + "\n\n"
    seen = ", ".join(
        f"{program.rstrip(' ¹')} {versions[program]}" for program in sorted(versions, key=str.casefold)
    )
    return f"{text}Seen with {seen}.\n{_NO_MAIL}"


def lines_of(page: str) -> list[tuple[str, str]]:
    """Give direction and line of each row of a page."""
    _, _, reads = page.partition("## They read what we send")
    reads, _, writes = reads.partition("## We read what they send")
    return [
        (direction, line)
        for direction, part in ((READS, reads), (WRITES, writes))
        for line in part.splitlines()
        if line.startswith("| ") and not line.startswith("| program")
    ]


def _in_order(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.program.casefold(), row.message != DEFAULT, row.message))


def main(source: str, target: str) -> None:
    """Write the page from a file with one row and its version in each line."""
    rows: dict[tuple[str, str, str], Row] = {}
    versions = {}
    for line in Path(source).read_text(encoding="utf-8").splitlines():
        fields = json.loads(line)
        version = fields.pop("version")
        row = Row(**fields)
        rows[row.program, row.direction, row.message] = row
        versions[row.program] = version
    Path(target).write_text(render(list(rows.values()), versions), encoding="utf-8")


def note(row: Row, version: str, file: str) -> None:
    """Add a row to a file; several processes may do so at the same time."""
    with Path(file).open("a", encoding="utf-8") as rows:
        rows.write(json.dumps({**asdict(row), "version": version}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

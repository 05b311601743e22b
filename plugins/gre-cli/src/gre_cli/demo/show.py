"""The demo on the screen: who saw what, the pair, the checks, the times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from gre_cli.describe import pair

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from gre_cli.demo.captures import Captures
    from gre_cli.demo.checks import Check
    from gre_cli.demo.play import Outcome
    from gre_cli.demo.stage import Letter

_EXCERPT: Final = 30

_PLAIN: Final = "green"
_CIPHER: Final = "dim"


def show(
    console: Console, server: str, outcome: Outcome, captures: Captures, checks: list[Check], seconds: float
) -> None:
    """Print everything.

    Arguments:
        console: where to.
        server: the name of the XMPP server.
        outcome: what happened.
        captures: what was received in between.
        checks: what was checked.
        seconds: how long it took.
    """
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    facts.add_row("negotiated", _pair(outcome))
    facts.add_row("times", _times(outcome))
    lines = Table.grid(padding=(0, 1))
    for check in checks:
        mark = Text("✓", style="bold green") if check.right else Text("✗", style="bold red")
        lines.add_row(
            mark, Text(check.name, style="" if check.right else "bold red"), Text(check.detail, style="dim")
        )
    seen = Text(
        "Server, gateway and relay see who writes to whom, when, and how much. They see no content.",
        style="dim",
    )
    for part in (
        "",
        _title(server),
        _parties(server, outcome, captures),
        seen,
        "",
        facts,
        "",
        lines,
        "",
        _end(checks, seconds),
    ):
        console.print(part)


def _title(server: str) -> Text:
    where = "a loopback XMPP router" if server == "loopback" else "Prosody"
    return Text(f"An encrypted message travels both ways, over {where}", style="bold")


def _parties(server: str, outcome: Outcome, captures: Captures) -> Table:
    table = Table(box=box.ROUNDED, expand=True, border_style="dim", padding=(0, 1), show_lines=True)
    table.add_column("who saw what", style="bold", ratio=4)
    table.add_column("Juliet writes →", ratio=9)
    table.add_column("← Romeo answers", ratio=9)
    received = outcome.received
    table.add_row(
        _who("Juliet", "XMPP client"),
        _letter(outcome.letter),
        Group(
            _letter(outcome.answer),
            _verdict(
                received.verdict.signature if received is not None else "?",
                str(outcome.key.get("fingerprint")),
            ),
        ),
    )
    stanzas = captures.pieces["XMPP server"]
    table.add_row(
        _who("XMPP server", server),
        _stanza(stanzas["from-juliet.xml"]),
        _stanza(stanzas["from-gateway.xml"]),
    )
    table.add_row(
        _who("gateway", "own process"),
        _through(stanzas["from-juliet.xml"], "stanza → mail", captures.mails[0]),
        _through(stanzas["from-gateway.xml"], "mail → stanza", captures.mails[1]),
    )
    table.add_row(_who("mail relay", "SMTP"), _mail(captures.mails[0]), _mail(captures.mails[1]))
    table.add_row(
        _who("Romeo", str(outcome.key.get("program"))),
        Group(_letter(outcome.letter), _verdict(str(outcome.read.get("signature")), outcome.juliet_key)),
        _letter(outcome.answer),
    )
    return table


def _who(name: str, what: str) -> Text:
    return Text.assemble((name, "bold"), "\n", (what, "dim"))


def _letter(letter: Letter) -> RenderableType:
    first = letter.text.partition("\n")[0]
    return Text.assemble(
        (_cut(letter.subject, 48), f"bold {_PLAIN}"), "\n",
        (_cut(first, 48), _PLAIN), "\n",
        (f"{_cut(letter.file_name, 32)}, {len(letter.file):,} bytes", _PLAIN),
    )  # fmt: skip


def _verdict(signature: str, fingerprint: str) -> Text:
    style = "green" if signature == "good" else "bold red"
    return Text(f"signature {signature}, key …{fingerprint[-16:]}", style=style)


def _stanza(stream: bytes) -> Text:
    """Show what stands inside ``<encrypted/>``."""
    content = stream.partition(b"<encrypted ")[2].partition(b">")[2].partition(b"</encrypted>")[0]
    return Text.assemble(
        f"<encrypted/> of {len(content):,} characters\n",
        (_cut(content.decode(errors="replace"), _EXCERPT), _CIPHER),
    )


def _through(stream: bytes, what: str, mail: bytes) -> Text:
    content = stream.partition(b"<encrypted ")[2].partition(b">")[2].partition(b"</encrypted>")[0]
    return Text.assemble(
        f"{what}, {len(mail):,} bytes\n", (_cut(content.decode(errors="replace"), _EXCERPT), _CIPHER)
    )


def _mail(mail: bytes) -> Text:
    head, _, body = mail.partition(b"\r\n\r\n")
    fields = [line.decode(errors="replace") for line in head.split(b"\r\n")]
    shown = [line for line in fields if line.startswith(("From:", "Subject:"))]
    armor = body.partition(b"-----BEGIN PGP MESSAGE-----\r\n\r\n")[2].partition(b"\r\n")[0]
    return Text.assemble(
        "\n".join([*shown, "-----BEGIN PGP MESSAGE-----", ""]),
        (_cut(armor.decode(errors="replace"), _EXCERPT), _CIPHER),
    )


def _pair(outcome: Outcome) -> Text:
    agreed = outcome.explanation.agreed if outcome.explanation is not None else None
    if agreed is None:
        return Text("nothing", style="bold red")
    return Text.assemble((pair(agreed.agreement), "bold"), (f", because {agreed.agreement.reason}", "dim"))


def _times(outcome: Outcome) -> Text:
    parts = [f"{step} {_duration(value)}" for step, value in outcome.timings.items()]
    return Text(" · ".join(parts), style="dim")


def _duration(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.2f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"  # noqa: PLR2004


def _end(checks: list[Check], seconds: float) -> Text:
    wrong = sum(not check.right for check in checks)
    if wrong:
        return Text(f"{wrong} of {len(checks)} checks FAILED, {seconds:.1f} s", style="bold red")
    return Text(f"All {len(checks)} checks passed in {seconds:.1f} s.", style="bold green")


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"

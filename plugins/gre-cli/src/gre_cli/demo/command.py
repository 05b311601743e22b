"""The command ``gre demo``, without its options."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from gre_cli.demo.captures import collect
from gre_cli.demo.checks import check_all
from gre_cli.demo.play import PGPY, SEQUOIA, PlayFailed, play, providers
from gre_cli.demo.stage import Stage, write_letters
from gre_cli.exits import Exit

if TYPE_CHECKING:
    from pathlib import Path

    from gre_cli.demo.captures import Captures
    from gre_cli.demo.checks import Check
    from gre_cli.demo.play import Outcome
    from gre_cli.demo.stage import ServerName
    from gre_cli.output import Output

_NEEDED = {
    "slixmpp": "gre-core[slixmpp]",
    "gre_formatter_mime": "gre-formatter-mime",
    "gre_gateway_email": "gre-gateway-email",
}

_STOPS = (signal.SIGTERM, signal.SIGHUP) if hasattr(signal, "SIGHUP") else (signal.SIGTERM,)


def require_packages() -> None:
    """Stop with clear words when a package of the demo is not installed.

    Raises:
        PlayFailed: which.
    """
    missing = [package for module, package in _NEEDED.items() if find_spec(module) is None]
    if all(find_spec(package.replace("-", "_")) is None for package in (SEQUOIA, PGPY)):
        missing.append(SEQUOIA)
    if missing:
        raise PlayFailed(f"The demo needs {', '.join(missing)}. Install from the same place as this command.")


async def demo(output: Output, server: ServerName, keep: Path | None, svg: Path | None) -> Exit:
    """Run the demo and show it.

    Arguments:
        output: where to.
        server: which XMPP server.
        keep: folder for what was captured, or None.
        svg: file for the screen, or None.

    Raises:
        GreError: a step failed.
        OSError: a file of ``keep`` or ``svg`` cannot be written.
    """
    require_packages()
    _stop_in_order()
    started = time.monotonic()
    with output.status("Starting XMPP server, gateway, mail relay, mail program…"):
        outcome, captures = await _run(server, keep, started)
        checks = await asyncio.to_thread(check_all, outcome, captures)
    seconds = time.monotonic() - started
    right = all(check.right for check in checks)
    if output.json:
        output.result(_report(server, outcome, captures, checks, seconds), ok=right)
    if svg is not None or not output.json:
        _show(output, server, outcome, captures, checks, seconds, svg)
    if keep is not None:
        output.note(f"Captured stanzas and mails are in {keep}")
    return Exit.OK if right else Exit.FAILED


async def _run(server: ServerName, keep: Path | None, started: float) -> tuple[Outcome, Captures]:
    letter, answer = write_letters()
    async with Stage(server, answer) as stage:
        try:
            outcome = await play(stage, letter, answer, started)
        except BaseException:
            if keep is not None:
                await stage.gateway.stop()
                collect(stage).keep(keep)
            raise
        await stage.gateway.stop()
        captures = collect(stage)
    if keep is not None:
        captures.keep(keep)
    return outcome, captures


def _stop_in_order() -> None:
    """Let SIGTERM end the demo as Ctrl-C does: processes ended, files removed."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    if task is not None:
        for number in _STOPS:
            with suppress(NotImplementedError):  # Windows
                loop.add_signal_handler(number, task.cancel)


def _show(
    output: Output,
    server: str,
    outcome: Outcome,
    captures: Captures,
    checks: list[Check],
    seconds: float,
    svg: Path | None,
) -> None:
    from gre_cli.demo.show import show

    console = output.recorder() if svg is not None else output.console
    show(console, server, outcome, captures, checks, seconds)
    if svg is not None:
        picture = console.export_svg(title="gre demo", unique_id="gre-demo")
        # Rich names fonts on a foreign server; a picture that calls nobody up is worth a plainer font.
        svg.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL), encoding="utf-8")
        output.note(f"The screen is in {svg}")


def _report(
    server: str, outcome: Outcome, captures: Captures, checks: list[Check], seconds: float
) -> dict[str, object]:
    agreed = outcome.explanation.agreed if outcome.explanation is not None else None
    received = outcome.received
    return {
        "server": server,
        "seconds": round(seconds, 2),
        "pair": [str(namespace) for namespace in agreed.agreement.pair] if agreed is not None else None,
        "reason": agreed.agreement.reason if agreed is not None else None,
        "providers": providers(),
        "mail_program": outcome.key.get("program"),
        "signatures": {
            "letter": outcome.read.get("signature"),
            "answer": received.verdict.signature if received is not None else None,
        },
        "checks": [{"name": one.name, "right": one.right, "detail": one.detail} for one in checks],
        "received_bytes": {party: len(captures.of(party)) for party in captures.pieces},
        "timings_ms": outcome.timings,
        "notices": [{"code": notice.code, "text": notice.text} for notice in outcome.notices],
    }

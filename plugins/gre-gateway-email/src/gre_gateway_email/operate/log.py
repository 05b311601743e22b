"""The log of the program, on standard error: lines for people, or JSON for programs.

Ours come from :mod:`gre_core.log`, which lets only allowed fields pass. Of what libraries say only the place is shown,
because their texts may hold stanzas, mails and addresses.

::

    2026-11-27T16:20:05.123Z info     mail-relayed   peer_domain=example.net size=5120
    {"event": "mail-relayed", "level": "info", "time": "2026-11-27T16:20:05.123Z", "peer_domain": "example.net", ...}
"""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

import structlog

from gre_core.log import show_personal

if TYPE_CHECKING:
    from typing import TextIO

    from structlog.typing import EventDict, Processor

    from gre_gateway_email.config import Log

OURS: Final = ("gre_",)
QUIET: Final = {
    "slixmpp": logging.CRITICAL,  # logs stanzas, and each reconnection, which we tell ourselves
    "mail.log": logging.CRITICAL,  # aiosmtpd: addresses
    "aiohttp.access": logging.CRITICAL,
    "asyncio": logging.ERROR,
}
"""Lowest level of libraries; of others it is warning."""


def set_up_logging(settings: Log, stream: TextIO | None = None) -> None:
    """Write the log of this process as the configuration says. Called once by the program, never by a library.

    Arguments:
        settings: level, format, and whether addresses are shown.
        stream: standard error as a rule.
    """
    target = sys.stderr if stream is None else stream
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=target.isatty(), sort_keys=False, pad_event_to=0)
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_fields, structlog.stdlib.add_log_level, _timestamp()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(formatter)
    handler.addFilter(_without_tracebacks)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    root.setLevel(max(level, logging.WARNING))
    for name in ("gre_core", "gre_openpgp", "gre_gateway_email"):
        logging.getLogger(name).setLevel(level)
    for name, lowest in QUIET.items():
        logging.getLogger(name).setLevel(lowest)
    show_personal(settings.addresses)


def _timestamp() -> Processor:
    return structlog.processors.TimeStamper(fmt="iso", utc=True)


def _fields(_logger: Any, _level: str, event: EventDict) -> EventDict:
    """Take the fields of our records; of others only where they come from."""
    record: logging.LogRecord = event["_record"]
    fields = getattr(record, "gre", None)
    if isinstance(fields, dict):
        event.update(fields)
        if record.__dict__.get("failure"):
            event["failure"] = record.__dict__["failure"]
    else:
        event["event"] = "library-message"
        event["library"] = record.name
        event["at"] = f"{PurePath(record.pathname).name}:{record.lineno}"
        if failure := record.__dict__.get("failure"):
            event["failure"] = failure
    return event


def _without_tracebacks(record: logging.LogRecord) -> bool:
    """Give class and place of an exception instead of its text, which may hold content."""
    kind, _, trace = record.exc_info or (None, None, None)
    if kind is not None:
        places = traceback.extract_tb(trace)
        last = f" at {PurePath(places[-1].filename).name}:{places[-1].lineno}" if places else ""
        record.__dict__["failure"] = f"{kind.__name__}{last}"
    record.exc_info = record.exc_text = record.stack_info = None
    return True

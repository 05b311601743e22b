"""The log of the program, on standard error: lines for people, or JSON for programs.

Ours come from :mod:`gre_core.log`, which lets only allowed fields pass. Of what libraries say only the place is shown,
because their texts may hold stanzas, mails and addresses.

::

    2026-11-27T16:20:05.123Z info     mail-relayed   peer_domain=example.net size=5120
    {"event": "mail-relayed", "level": "info", "time": "2026-11-27T16:20:05.123Z", "peer_domain": "example.net", ...}
"""

from __future__ import annotations

import logging
import re
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

_QUOTED: Final = re.compile(r"[\s=\"']")

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
    handler = logging.StreamHandler(target)
    handler.setFormatter(_Formatter(_renderer(settings, target)))
    handler.addFilter(_without_tracebacks)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    root.setLevel(max(level, logging.WARNING))
    for name in ("gre_core", "gre_openpgp", "gre_gateway_email"):
        logging.getLogger(name).setLevel(level)
    for name, lowest in QUIET.items():
        logging.getLogger(name).setLevel(lowest)
    # Nobody asks for these, and each record would have them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    show_personal(settings.addresses)


class _Formatter(logging.Formatter):
    """Renders the fields of a record by structlog.

    Its own formatter for records of the standard library copies each of them, and takes twice as long.
    """

    def __init__(self, render: Processor) -> None:
        super().__init__()
        self._render = render
        self._stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        event = _fields(record)
        event["level"] = level = record.levelname.lower()
        return str(self._render(None, level, self._stamp(None, level, event)))


def _renderer(settings: Log, target: TextIO) -> Processor:
    if settings.format == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    if target.isatty():
        return structlog.dev.ConsoleRenderer(sort_keys=False, pad_event_to=0)
    return _plain


def _plain(_logger: Any, _level: str, event: EventDict) -> str:
    """Write a line as structlog's renderer for consoles does, without colours: most logs are read by nobody."""
    head = f"{event.pop('timestamp')} [{event.pop('level'):<9}] {event.pop('event')}"
    return " ".join([head, *(f"{name}={_shown(value)}" for name, value in event.items())])


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) and _QUOTED.search(value) else str(value)


def _fields(record: logging.LogRecord) -> EventDict:
    """Give the fields of our records; of others only where they come from."""
    fields = getattr(record, "gre", None)
    if isinstance(fields, dict):
        event = dict(fields)
    else:
        at = f"{PurePath(record.pathname).name}:{record.lineno}"
        event = {"event": "library-message", "library": record.name, "at": at}
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

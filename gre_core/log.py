"""Logging that cannot leak: structlog over the logger of the standard library, with an allow-list of fields.

>>> get_logger("gre_core.example").warning("plugin-problem", plugin="dist:name", stage="load")

A host that configures :mod:`logging` sees one line per event, and the fields as ``record.gre``. A host
that configures nothing sees nothing. structlog is loaded at the first event that somebody listens to, and
its global configuration is neither used nor changed.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import Any

FIELDS: Final = frozenset(
    {
        "attempt",
        "code",
        "condition",
        "count",
        "encrypter",
        "error_type",
        "formatter",
        "limit",
        "ms",
        "namespace",
        "peer_domain",
        "plugin",
        "size",
        "stage",
        "stanza_id",
        "state",
        "status",
        "version",
    }
)
"""The only fields that reach a log. None of them may hold plaintext, a key, or the address of a person."""

PERSONAL: Final = frozenset({"address", "user"})
"""Fields with the address of a person. They are left out unless the program called :func:`show_personal`."""

_EVENT: Final = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+)*")
_LONGEST_EVENT: Final = 64
_LONGEST_VALUE: Final = 200
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Logger:
    """Writes events. The event is a fixed word (``plugin-problem``); what varies goes into fields."""

    __slots__ = ("_name", "_sink", "_target")

    def __init__(self, name: str) -> None:
        self._name = name
        self._target: Any = None
        self._sink: Any = None

    def debug(self, event: str, /, **fields: object) -> None:
        """Write an event for developers. Fields that are not in :data:`FIELDS` are left out and counted."""
        self._write("debug", event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Write an event of normal work. Fields that are not in :data:`FIELDS` are left out and counted."""
        self._write("info", event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Write an event to look at. Fields that are not in :data:`FIELDS` are left out and counted."""
        self._write("warning", event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Write a failure. Fields that are not in :data:`FIELDS` are left out and counted."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        target = self._target
        if target is None:
            target = self._target = _quiet_logger(self._name)
        if not target.isEnabledFor(_LEVELS[level]) or not _somebody_listens(target):
            return
        if self._sink is None:
            self._sink = _wrap(target)
        getattr(self._sink, level)(event, **fields)


def show_personal(show: bool) -> None:  # noqa: FBT001 - it is the only argument
    """Let the fields of :data:`PERSONAL` reach the log of this process, or not; only where its operator asked."""
    _Personal.shown = show


class _Personal:
    shown = False


def get_logger(name: str) -> Logger:
    """Give the logger of a module: ``get_logger(__name__)``. Costs nothing until the first event."""
    return Logger(name)


def _quiet_logger(name: str) -> Any:
    """Give a logger, and keep the standard library from printing what nobody asked for (its handler of last resort)."""
    import logging  # noqa: PLC0415 - 10 ms that `import gre_core` does not need

    top = logging.getLogger(name.partition(".")[0])
    if not any(isinstance(handler, logging.NullHandler) for handler in top.handlers):
        top.addHandler(logging.NullHandler())
    return logging.getLogger(name)


def _somebody_listens(target: Any) -> bool:
    """Tell whether a handler other than our own would see a record: only then structlog is worth loading."""
    import logging  # noqa: PLC0415

    logger: logging.Logger | None = target
    while logger is not None:
        for handler in logger.handlers:
            if not isinstance(handler, logging.NullHandler):
                return True
        logger = logger.parent if logger.propagate else None
    return False


def _wrap(target: Any) -> Any:
    import structlog  # noqa: PLC0415 - 130 ms and asyncio, so only at the first event

    return structlog.wrap_logger(
        _Records(target),
        processors=[_only_allowed, _render],
        wrapper_class=structlog.BoundLogger,
        context_class=dict,
        cache_logger_on_first_use=False,
    ).bind()  # once: the logger that wrap_logger gives makes another one for each event


class _Records:
    """A logger of the standard library that does not look for its caller, which would always be structlog."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self.debug, self.info, self.warning, self.error = (
            partial(self._write, level) for level in _LEVELS.values()
        )

    def _write(self, level: int, text: str, *arguments: str, extra: dict[str, object]) -> None:
        target = self._target
        target.handle(target.makeRecord(target.name, level, "", 0, text, arguments, None, extra=extra))


def _only_allowed(_logger: Any, _level: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event = fields.pop("event", "")
    allowed = FIELDS | PERSONAL if _Personal.shown else FIELDS
    kept = {name: _safe(value) for name, value in fields.items() if name in allowed and value is not None}
    if dropped := sum(name not in FIELDS and name not in PERSONAL for name in fields):
        kept["dropped"] = dropped
    if not isinstance(event, str) or len(event) > _LONGEST_EVENT or _EVENT.fullmatch(event) is None:
        event = "event-withheld"
    return {"event": event, **kept}


def _safe(value: object) -> object:
    """Give plain values, short and on one line; of anything else only the type."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        text = str(value)
        short = text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"
        return short if short.isprintable() else ascii(short)[1:-1]
    return f"<{type(value).__name__}>"


def _render(
    _logger: Any, _level: str, fields: MutableMapping[str, Any]
) -> tuple[tuple[str, str], dict[str, Any]]:
    text = " ".join([fields["event"], *(f"{k}={v}" for k, v in fields.items() if k != "event")])
    return ("%s", text), {"extra": {"gre": dict(fields)}}

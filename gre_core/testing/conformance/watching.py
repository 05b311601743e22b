"""Watches what a method touches besides its arguments: files, sockets, processes, the clock, an event loop.

Audit events (``sys.addaudithook``) tell of files, sockets and processes; a profile function (``sys.setprofile``) sees
calls of the clock and of asyncio however they were imported. What happens during an import does not count, nor what
logging does for itself.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from gre_core.testing.conformance.rules import demand

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType

_EVENTS: Final = (
    "open",
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.listdir",
    "os.scandir",
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.truncate",
    "shutil.",
    "tempfile.",
    "sqlite3.connect",
    "urllib.",
    "http.",
    "smtplib.",
)
_CLOCKS: Final = frozenset(
    {
        "clock_gettime", "clock_gettime_ns", "ctime", "localtime", "monotonic", "monotonic_ns", "perf_counter",
        "perf_counter_ns", "process_time", "process_time_ns", "sleep", "thread_time", "thread_time_ns", "time",
        "time_ns",
    }
)  # fmt: skip
_DATES: Final = frozenset({"now", "utcnow", "today"})
_OWN: Final = ("hypothesis.", "gre_core.testing.conformance.people")
"""Who may look at the clock itself: Hypothesis measures garbage collections, and the people's hosts have a clock."""

_KIT: Final = "gre_core.testing.conformance."
_IMPORTS: Final = ("<frozen importlib", "<frozen zipimport")
_NOT_COUNTED: Final = frozenset({"linecache", "logging", "structlog", "warnings"})


class _Here(threading.local):
    """What is watched in this thread."""

    touched: list[tuple[str, str]] | None = None


_here: Final = _Here()
_installed: Final[list[bool]] = []


def _counts(frame: FrameType | None) -> bool:
    """Tell whether something happened on behalf of the plugin itself."""
    if frame is not None and str(frame.f_globals.get("__name__", "")).startswith(_OWN):
        return False
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith(_KIT):  # the caller: what lies below has nothing to do with the plugin
            return True
        if frame.f_code.co_filename.startswith(_IMPORTS) or name.partition(".")[0] in _NOT_COUNTED:
            return False
        frame = frame.f_back
    return True


def _on_audit(event: str, args: tuple[Any, ...]) -> None:
    touched = _here.touched
    if touched is None or not event.startswith(_EVENTS):
        return
    if _counts(sys._getframe(1)):  # noqa: SLF001 - the documented way to the calling frame
        touched.append(("no-io", f"{event} {args[:1]!r}"))


def _on_call(frame: FrameType, event: str, arg: Any) -> None:
    touched = _here.touched
    if touched is None:
        return
    if event == "c_call":
        owner, name = getattr(arg, "__self__", None), getattr(arg, "__name__", "")
        if (owner is time and name in _CLOCKS) or (
            name in _DATES and isinstance(owner, type) and issubclass(owner, date)
        ):
            found = ("no-clock", f"{getattr(owner, '__name__', owner)}.{name}()")
        elif getattr(arg, "__module__", None) == "_asyncio":
            found = ("loop-free", f"asyncio.{name}()")
        else:
            return
    elif event == "call" and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "asyncio":
        found = ("loop-free", f"{frame.f_globals['__name__']}.{frame.f_code.co_name}()")
    else:
        return
    if _counts(frame):
        touched.append((found[0], f"{found[1]} in {frame.f_code.co_filename}:{frame.f_lineno}"))


@contextlib.contextmanager
def watched() -> Generator[list[tuple[str, str]], None, None]:
    """Collect what is touched meanwhile in this thread, as (rule, what)."""
    if not _installed:
        sys.addaudithook(_on_audit)
        _installed.append(True)
    before, touched = sys.getprofile(), list[tuple[str, str]]()
    _here.touched = touched
    sys.setprofile(_on_call)
    try:
        yield touched
    finally:
        sys.setprofile(before)
        _here.touched = None


@contextlib.contextmanager
def hands_off(doing: str) -> Generator[None, None, None]:
    """Demand that nothing is touched meanwhile.

    Arguments:
        doing: what is called, for the failure.
    """
    with watched() as touched:
        yield
    for rule, what in touched:
        demand(condition=False, rule=rule, found=f"{doing} called {what}")

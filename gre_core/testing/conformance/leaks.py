"""Finds secrets where they do not belong: in logs, on the terminal, in errors, in a repr."""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import json
import logging
import os
import sys
import tempfile
import warnings
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

CANARY: Final = "Wherefore-c4f1d2a90b-art-thou"
"""A text that stands nowhere else: where it shows, plaintext shows."""


def forms(secret: bytes) -> frozenset[str]:
    """Give how a secret may look in a text: as it is, in hex, in base64 at each of its three alignments."""
    plain = secret.decode("latin-1")
    coded: set[str] = {plain, plain[::-1], secret.hex(), secret.hex().upper(), secret.hex(" ")}
    coded |= {secret.decode("utf-8", "replace"), repr(secret)[2:-1]}
    for ahead in range(3):
        inside = base64.b64encode(b"\0" * ahead + secret)[4 if ahead else 0 : -4].decode()
        coded |= {inside, inside.replace("+", "-").replace("/", "_")}
    return frozenset(coded)


CANARIES: Final = forms(CANARY.encode())


def shows(text: str, secrets: Iterable[str] = CANARIES) -> bool:
    """Tell whether a text holds a secret in one of its forms."""
    return any(secret in text for secret in secrets)


def parts_of(value: bytes) -> list[frozenset[bytes]]:
    """Give the parts of a stored value: itself, and each text in it when it is JSON.

    Result:
        Each part in all its forms: as it stands, and what it says in hex or base64.
    """
    parts = [value]
    with contextlib.suppress(ValueError, RecursionError):
        waiting = [json.loads(value)]
        while waiting:
            each = waiting.pop()
            if isinstance(each, dict | list):
                waiting += each.values() if isinstance(each, dict) else each
            elif isinstance(each, str):
                parts.append(each.encode("utf-8", "replace"))
    return [decoded(part) for part in parts]


def decoded(text: bytes) -> frozenset[bytes]:
    """Give a text, and what it says in the usual encodings of bytes."""
    compact = text.translate(None, b" \t\r\n")
    found = {text}
    for decode in (
        binascii.unhexlify,
        base64.b64decode,
        base64.urlsafe_b64decode,
        base64.b32decode,
        base64.b85decode,
    ):
        with contextlib.suppress(ValueError):
            found.add(decode(compact))
    return frozenset(found)


def texts_of(error: BaseException | None) -> str:
    """Give everything that a traceback or a report would show of an error and those behind it, but no source code."""
    told: list[str] = [repr(getattr(error, "params", ""))]
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        # The arguments of a UnicodeDecodeError are all that was decoded, which its text does not show.
        told += [str(each), repr(each.args), *getattr(each, "__notes__", [])]
        waiting += [each.__cause__, None if each.__suppress_context__ else each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
    return "\n".join(told)


class _Records(logging.Handler):
    def __init__(self, sink: io.StringIO) -> None:
        super().__init__(level=0)
        self._sink = sink
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._sink.write(self.format(record) + "\n" + repr(vars(record)) + "\n")


@contextlib.contextmanager
def listening() -> Generator[io.StringIO, None, None]:
    """Collect what is logged at any level, printed or warned of meanwhile, in this process or by a library in C.

    Loggers that keep their records to themselves (``propagate = False``) are heard as well.
    """
    sink = io.StringIO()
    handler, root, logger = _Records(sink), logging.getLogger(), logging.Logger
    level, disabled, pass_on = root.level, root.manager.disable, logger.callHandlers

    def heard(self: logging.Logger, record: logging.LogRecord) -> None:
        handler.handle(record)
        pass_on(self, record)

    root.setLevel(1)
    logging.disable(logging.NOTSET)
    logger.callHandlers = heard  # type: ignore[method-assign]
    try:
        with (
            _descriptors(sink),
            contextlib.redirect_stdout(sink),
            contextlib.redirect_stderr(sink),
            warnings.catch_warnings(record=True) as warned,
        ):
            warnings.simplefilter("always")
            yield sink
            sink.writelines(f"{warning.message}\n" for warning in warned)
    finally:
        logger.callHandlers = pass_on  # type: ignore[method-assign]
        logging.disable(disabled)
        root.setLevel(level)


@contextlib.contextmanager
def _descriptors(sink: io.StringIO) -> Generator[None, None, None]:
    """Collect what is written to the file descriptors 1 and 2, past ``sys.stdout`` and ``sys.stderr``."""
    _flush()
    kept: dict[int, int] = {}
    with tempfile.TemporaryFile() as file:
        for number in (1, 2):
            with contextlib.suppress(OSError):  # it is closed: nobody can write to it
                kept[number] = os.dup(number)
                os.dup2(file.fileno(), number)
        try:
            yield
        finally:
            _flush()
            for number, before in kept.items():
                os.dup2(before, number)
                os.close(before)
            file.seek(0)
            sink.write(file.read().decode("utf-8", "replace"))


def _flush() -> None:
    stream: Any
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none at all
            stream.flush()

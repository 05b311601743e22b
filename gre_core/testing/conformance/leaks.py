"""Finds secrets where they do not belong: in logs, on the terminal, in errors, in a repr."""

from __future__ import annotations

import base64
import contextlib
import io
import logging
import warnings
from typing import TYPE_CHECKING, Final

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


def texts_of(error: BaseException | None) -> str:
    """Give everything that a traceback would print of an error and those behind it, but no source code."""
    told: list[str] = [] if error is None else [repr(error.args), repr(getattr(error, "params", ""))]
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        told += [str(error), *getattr(error, "__notes__", [])]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
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
    """Collect what is logged at any level, printed or warned of meanwhile."""
    sink = io.StringIO()
    handler, root = _Records(sink), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(1)
    try:
        with (
            contextlib.redirect_stdout(sink),
            contextlib.redirect_stderr(sink),
            warnings.catch_warnings(record=True) as warned,
        ):
            warnings.simplefilter("always")
            yield sink
            sink.writelines(f"{warning.message}\n" for warning in warned)
    finally:
        root.setLevel(level)
        root.removeHandler(handler)

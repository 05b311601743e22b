"""Large payloads, file to file. What is written is in a private file until everything was right."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gre_core.errors import BadEncrypted
from gre_openpgp.messages import check_message

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from datetime import datetime

    from gre_openpgp.encrypting.choosing import Chosen
    from gre_openpgp.encrypting.engine import Engine, Judged, Secret
    from gre_openpgp.messages import CheckedMessage

    Choose = Callable[[CheckedMessage], Chosen]


@contextlib.contextmanager
def published(target: Path) -> Generator[Path]:
    """Give a private file (mode 0600) beside the target, which becomes the target if all goes well."""
    handle, name = tempfile.mkstemp(prefix=".gre-", dir=target.parent)
    os.close(handle)
    private = Path(name)
    try:
        yield private
        private.replace(target)
    finally:
        private.unlink(missing_ok=True)


def decrypt_to(
    engine: Engine,
    source: Path,
    target: Path,
    choose: Choose,
    certs: Mapping[str, Any],
    secrets: Sequence[Secret] = (),
    *,
    bounded: bool = False,
    now: datetime | None = None,
) -> Judged:
    """Check and decrypt a file into a new one, which is there only when everything was decrypted.

    See :meth:`~gre_openpgp.encrypting.engine.Engine.decrypt_into`.
    """
    with published(target) as private:
        return engine.decrypt_into(source, private, choose, certs, secrets, bounded=bounded, now=now)


def check_file(source: Path) -> CheckedMessage:
    """Check the outer shape of a file; see :func:`~gre_openpgp.messages.check_message`."""
    with mapped(source) as data:
        return check_message(data)


@contextlib.contextmanager
def mapped(source: Path) -> Generator[mmap.mmap]:
    """Give the bytes of a file.

    Raises:
        BadEncrypted: it is empty.
    """
    if not source.stat().st_size:
        raise BadEncrypted("The message is empty")
    with source.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data

"""Large payloads, file to file. What pysequoia writes is in a private file until everything was right."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pysequoia
from gre_openpgp.messages import check_message

from gre_core.errors import BadEncrypted, DecryptFailed
from gre_encrypter_openpgp.sequoia import Judged, Store, Unreadable, judge, open_unreadable, refuse_expanding
from gre_encrypter_openpgp.unwrap import MAX_CONTENT

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from gre_openpgp.messages import CheckedMessage, SessionKey

    from gre_encrypter_openpgp.choosing import Chosen
    from gre_encrypter_openpgp.sequoia import Secret

    Choose = Callable[[CheckedMessage], Chosen]

STRANGERS: Final = 4
"""With more session keys of others than this the file is copied without them: each costs up to 5 ms."""

_CHUNK: Final = 1 << 20


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
    source: Path,
    target: Path,
    choose: Choose,
    certs: Mapping[str, pysequoia.Cert],
    secrets: Sequence[Secret] = (),
    *,
    bounded: bool = False,
) -> Judged:
    """Check and decrypt a file into a new one, which is there only when everything was decrypted.

    See :func:`decrypt_into`.
    """
    with published(target) as private:
        return decrypt_into(source, private, choose, certs, secrets, bounded=bounded)


def decrypt_into(
    source: Path,
    private: Path,
    choose: Choose,
    certs: Mapping[str, pysequoia.Cert],
    secrets: Sequence[Secret] = (),
    *,
    bounded: bool = False,
) -> Judged:
    """Check and decrypt a file. One that is compressed goes through the memory, and is bounded by that.

    Arguments:
        source: the binary message.
        private: an existing file, see :func:`published`. After a failure it may hold anything.
        choose: picks the session keys that are ours, and the decryptors for them.
        certs: see :func:`gre_encrypter_openpgp.sequoia.decrypt`.
        secrets: see there.
        bounded: see there.

    Raises:
        BadEncrypted, NotForUs, DecryptFailed, Panicked: see there.
        OSError: the file system failed.
    """
    with contextlib.ExitStack() as stack:
        data = stack.enter_context(_mapped(source))
        checked = check_message(data)
        wanted, decryptors = choose(checked)
        if len(checked.session_keys) - len(wanted) > STRANGERS:
            source = stack.enter_context(_without_strangers(data, checked, wanted, private.parent))

        def run(decryptor: pysequoia.PyDecryptor, store: Store | None) -> pysequoia.Decrypted:
            return pysequoia.decrypt_file(source, private, decryptor, store)

        try:
            if bounded:
                refuse_expanding(data, checked, secrets)
            return judge(run, list(decryptors.values()), certs)
        except Unreadable:
            if len(data) > MAX_CONTENT:
                raise DecryptFailed(
                    f"The message is compressed, and larger than the {MAX_CONTENT} bytes that are read then. Ask the "
                    f"sender to send it uncompressed (GnuPG: -z 0)",
                    limit=MAX_CONTENT,
                ) from None
            judged = open_unreadable(checked.keep(data[:], wanted), certs, secrets)
            private.write_bytes(judged.payload)
            return replace(judged, payload=b"")


def check_file(source: Path) -> CheckedMessage:
    """Check the outer shape of a file; see :func:`~gre_openpgp.messages.check_message`."""
    with _mapped(source) as data:
        return check_message(data)


@contextlib.contextmanager
def _mapped(source: Path) -> Generator[mmap.mmap]:
    if not source.stat().st_size:
        raise BadEncrypted("The message is empty")
    with source.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


@contextlib.contextmanager
def _without_strangers(
    data: mmap.mmap, checked: CheckedMessage, wanted: tuple[SessionKey, ...], folder: Path
) -> Generator[Path]:
    with tempfile.NamedTemporaryFile(prefix=".gre-", dir=folder) as copy:
        for key in wanted:
            copy.write(data[key.start : key.end])
        for at in range(checked.container, len(data), _CHUNK):
            copy.write(data[at : at + _CHUNK])
        copy.flush()
        yield Path(copy.name)

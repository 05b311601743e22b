"""Messages of Sequoia from file to file: of any size, and with little memory."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pysequoia
from gre_openpgp.encrypting.files import mapped
from gre_openpgp.encrypting.unwrap import MAX_CONTENT
from gre_openpgp.messages import check_message

from gre_core.errors import DecryptFailed, NotForUs
from gre_encrypter_openpgp.sequoia import Store, judge, not_opened, open_unreadable, refuse_expanding
from gre_encrypter_openpgp.shapes import Unreadable

if TYPE_CHECKING:
    import mmap
    from collections.abc import Generator, Mapping, Sequence

    from gre_openpgp.encrypting.engine import Judged, Secret
    from gre_openpgp.encrypting.files import Choose
    from gre_openpgp.messages import CheckedMessage, SessionKey

STRANGERS: Final = 4
"""With more session keys of others than this the file is copied without them: each costs up to 5 ms."""

_CHUNK: Final = 1 << 20


def decrypt_into(
    source: Path,
    private: Path,
    choose: Choose,
    certs: Mapping[str, Any],
    secrets: Sequence[Secret],
    *,
    bounded: bool,
) -> Judged:
    """Check and decrypt a file. One that is compressed goes through the memory, and is bounded by that.

    See :meth:`~gre_openpgp.encrypting.engine.Engine.decrypt_into`.
    """
    with contextlib.ExitStack() as stack:
        data = stack.enter_context(mapped(source))
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
        except NotForUs:
            raise not_opened(checked, secrets) from None
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

"""Session keys and containers, as a sender may write them for a key of ours. What was changed is not opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pysequoia
from gre_openpgp.encrypting.container import open_container
from gre_openpgp.encrypting.engine import Secret
from gre_openpgp.encrypting.opening import open_message
from gre_openpgp.encrypting.secretkeys import read_subkeys
from gre_openpgp.encrypting.sessionkeys import open_session_key
from gre_openpgp.messages import check_message

from gre_core.errors import GreError

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "openpgp-open"

CONTENT: Final = b"Pay 1 coin."
_KEYS: Final = [
    pysequoia.Tsk.from_file(str(path)) for path in sorted((Path(__file__).parent / "keys").glob("alice*"))
]
_SECRETS: Final = [Secret(bytes(key)) for key in _KEYS]
_SUBKEYS: Final = [subkey for each in _SECRETS for subkey in read_subkeys(each.data, None).values()]


def seeds() -> Iterator[bytes]:
    """Give a message for each key, and one for all."""
    certs = [key.extract_certificate() for key in _KEYS]
    for recipients in ([certs[0]], [certs[1]], [certs[2]], certs):
        yield pysequoia.encrypt(CONTENT, recipients, armor=False)


def run(data: bytes) -> None:
    """Open it as a whole, and each part with each key."""
    try:
        assert CONTENT in open_message(data, _SECRETS)
    except GreError:
        pass
    try:
        checked = check_message(data)
    except GreError:
        return
    body = checked.body(data)
    for key in checked.session_keys[:4]:
        for subkey in _SUBKEYS:
            session = open_session_key(data[key.body : key.end], subkey)
            if session is not None:
                assert CONTENT in (open_container(body, session) or CONTENT)

"""The encryption format of a message, chosen so that each recipient's program reads it.

Sequoia writes SEIPD version 2 (RFC 9580) when every key announces it. Sequoia's own keys of version 4 announce it
too, and the same key may well be held by GnuPG 2.2, which cannot read it: whoever imports a key there does not make
the key say less. There is no switch, but one recipient that announces version 1 only is enough. So a throw-away
key is encrypted to as well then, and its session key is cut off: nobody could use it anyway.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Final

import pysequoia
from gre_openpgp.messages import check_message
from gre_openpgp.packets import PKESK, key_id, read_certificate, read_header

from gre_core.errors import EncryptFailed
from gre_core.model import Notice
from gre_encrypter_openpgp.sequoia import guard_panic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gre_openpgp.encrypting.engine import ParsedCert

_V4: Final = 4
_OF_OLD_PROGRAMS: Final = frozenset({1, 2, 16, 18})
"""RSA, ElGamal and ECDH: what GnuPG 2.2 can decrypt with."""

_FIRST: Final = 8192 + 16


@lru_cache(maxsize=4096)
def announces_v2(data: bytes) -> bool:
    """Tell whether a public key alone would get SEIPD version 2. Sequoia itself is asked, by encrypting nothing."""
    try:
        cert = pysequoia.Cert.from_bytes(data)
        return check_message(pysequoia.encrypt(b"", [cert], armor=False)).version != 1
    except BaseException as error:  # noqa: BLE001 - a panic is no Exception
        guard_panic(error)
        return False


@lru_cache(maxsize=4096)
def held_by_old(data: bytes) -> bool:
    """Tell whether a program that knows nothing of RFC 9580 may hold a key: version 4, and an algorithm of then."""
    return any(
        data[part.packet.body] == _V4 and data[part.packet.body + 5] in _OF_OLD_PROGRAMS
        for part in read_certificate(data).keys
    )


def must_lower(certs: Sequence[bytes]) -> bool:
    """Tell whether Sequoia would write what the program of one of these keys may be unable to read."""
    return all(map(announces_v2, certs)) and any(map(held_by_old, certs))


@cache
def throw_away() -> bytes:
    """Make a public key that announces SEIPD version 1 only. Its secret part is forgotten at once."""
    from gre_openpgp.encrypting.keymaking import make_key  # noqa: PLC0415 - takes long to load, and is rarely needed

    return bytes(pysequoia.Tsk.from_bytes(make_key("<nobody@invalid>")).extract_certificate())


def encrypt(
    payload: bytes, certs: list[pysequoia.Cert], signer: pysequoia.PySigner, lowered_by: bytes | None
) -> bytes:
    """Sign and encrypt.

    Arguments:
        payload: what is encrypted.
        certs: to whom.
        signer: ours.
        lowered_by: see :func:`throw_away`; None leaves the format to Sequoia.

    Raises:
        EncryptFailed: the format could not be lowered.
        RuntimeError: by Sequoia.
    """
    if lowered_by is None:
        return pysequoia.encrypt(payload, certs, signer, armor=False)
    cert = pysequoia.Cert.from_bytes(lowered_by)
    message = pysequoia.encrypt(payload, [cert, *certs], signer, armor=False)
    return message[_end_of_first(message, lowered_by) :]


def encrypt_file(
    source: Path,
    private: Path,
    certs: list[pysequoia.Cert],
    signer: pysequoia.PySigner,
    lowered_by: bytes | None,
) -> None:
    """Sign and encrypt a file into an existing private one; see :func:`encrypt`."""
    if lowered_by is None:
        pysequoia.encrypt_file(source, private, certs, signer, armor=False)
        return
    cert = pysequoia.Cert.from_bytes(lowered_by)
    with tempfile.NamedTemporaryFile(prefix=".gre-", dir=private.parent) as whole:
        pysequoia.encrypt_file(source, whole.name, [cert, *certs], signer, armor=False)
        whole.seek(_end_of_first(whole.read(_FIRST), lowered_by))
        with private.open("wb") as out:
            shutil.copyfileobj(whole, out, 1 << 20)


def _end_of_first(message: bytes, lowered_by: bytes) -> int:
    """Find where the session key of the throw-away key ends: it is the first, as the key was."""
    header = read_header(message, 0, len(message))
    names = {key_id(part.fingerprint) for part in read_certificate(lowered_by).keys}
    if header.tag != PKESK or message[header.body + 1 : header.body + 9].hex().upper() not in names:
        raise EncryptFailed("The message could not be written in a form that every recipient reads")
    return header.body + header.length


def explain_format(certs: Sequence[ParsedCert]) -> Notice:
    """Say in which format a message to these certs is written, and why."""
    version = _seipd([cert.cert for cert in certs])
    if version is None:
        return Notice("openpgp-format", "These keys cannot be encrypted to together")
    datas = {cert.key.fingerprint: cert.key.data for cert in certs}
    if version == 1:
        why = _announce_less([name for name, data in datas.items() if not announces_v2(data)])
    elif must_lower(list(datas.values())):
        version = 1
        old = ", ".join(name for name, data in datas.items() if held_by_old(data))
        why = f"a program such as GnuPG 2.2 may hold {old}: it takes such keys, and cannot read version 2"
    else:
        why = "every key announces it, and is of a kind that older programs cannot hold"
        text = f"Format: SEIPD version 2 (RFC 9580), since {why}"
        return Notice("openpgp-format", text, {"seipd": "2"})
    return Notice(
        "openpgp-format",
        f"Format: SEIPD version 1 (RFC 4880), which every program reads, since {why}",
        {"seipd": str(version)},
    )


def _announce_less(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'announces' if len(names) == 1 else 'announce'} no more"


def _seipd(certs: list[pysequoia.Cert]) -> int | None:
    """Ask the library itself, by encrypting nothing."""
    try:
        return check_message(pysequoia.encrypt(b"", certs, armor=False)).version
    except BaseException as error:  # noqa: BLE001 - a panic is no Exception
        guard_panic(error)
        return None

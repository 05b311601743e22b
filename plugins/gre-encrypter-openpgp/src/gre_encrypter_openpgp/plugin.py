"""The plugin: it announces the encrypter. Sequoia is loaded when the encrypter is needed first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gre_core.api import EncrypterProvider, encrypter, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_core.api import Encrypter


_LOWEST: Final = (0, 1, 35)
_BELOW: Final = (0, 2)


def _check_version() -> None:
    """Refuse a pysequoia that this was not tested with: its texts are mapped to our verdicts, version by version."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - `--help` would wait for it

    try:
        found = version("pysequoia")
    except PackageNotFoundError:
        return  # the import says so, or it came without its metadata
    numbers = tuple(int(part) for part in re.findall(r"\d+", found)[:3])
    if not _LOWEST <= numbers < _BELOW:
        lowest, below = (".".join(map(str, bound)) for bound in (_LOWEST, _BELOW))
        raise ImportError(f"pysequoia {found} is installed; needed is one from {lowest}, below {below}")


def _make() -> Encrypter[Any]:
    _check_version()
    from gre_encrypter_openpgp.encrypter import OpenPGPEncrypter  # noqa: PLC0415 - loads Sequoia

    return OpenPGPEncrypter()


@hookimpl
def gre_encrypters() -> Iterable[EncrypterProvider]:
    """Give the encrypter ``urn:xmpp:gre:encrypter:openpgp:0``."""
    return [EncrypterProvider(encrypter("openpgp", 0), _make, title="GRE Encrypter: OpenPGP")]

"""The plugin: it announces the encrypter. PGPy is loaded when the encrypter is needed first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gre_core.api import EncrypterProvider, encrypter, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_core.api import Encrypter


def _make() -> Encrypter[Any]:
    from gre_encrypter_openpgp_pgpy.encrypter import OpenPGPEncrypter  # noqa: PLC0415 - loads PGPy

    return OpenPGPEncrypter()


@hookimpl
def gre_encrypters() -> Iterable[EncrypterProvider]:
    """Give the encrypter ``urn:xmpp:gre:encrypter:openpgp:0``."""
    return [EncrypterProvider(encrypter("openpgp", 0), _make, title="GRE Encrypter: OpenPGP (PGPy)")]

"""The plugin: key fingerprints for the data form of gateways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_core.api import DataProvider, encrypter, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_core.api import DataContributor
    from gre_core.ports import Ports


def _make(ports: Ports) -> DataContributor:
    from gre_openpgp.contributor import FingerprintContributor  # noqa: PLC0415 - only gateways need it

    return FingerprintContributor(ports)


@hookimpl
def gre_data_fields() -> Iterable[DataProvider]:
    """Give the contributor of the field ``{urn:xmpp:gre:encrypter:openpgp:0}fingerprints``."""
    return [DataProvider(str(encrypter("openpgp", 0)), _make, title="OpenPGP fingerprints of contacts")]

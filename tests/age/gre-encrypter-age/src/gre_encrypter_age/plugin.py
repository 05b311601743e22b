"""The entry point: announces the encrypter, and the data field of gateways; loads both when they are needed first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_core.api import DataProvider, EncrypterProvider, encrypter, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_core.ports import Ports

    from gre_encrypter_age.directory import Directory
    from gre_encrypter_age.encrypter import AgeEncrypter

NAMESPACE = encrypter("age", 0)


def make() -> AgeEncrypter:
    """Make the encrypter."""
    from gre_encrypter_age.encrypter import AgeEncrypter

    return AgeEncrypter()


def make_directory(_ports: Ports) -> Directory:
    """Make the contributor of a gateway."""
    from gre_encrypter_age.directory import Directory

    return Directory.of_the_operator()


@hookimpl
def gre_encrypters() -> Iterable[EncrypterProvider]:
    """Give the provider of urn:xmpp:gre:encrypter:age:0."""
    return [EncrypterProvider(NAMESPACE, make, title="GRE Encrypter: age")]


@hookimpl
def gre_data_fields() -> Iterable[DataProvider]:
    """Give the contributor that names the keys of people on the gateway's network."""
    return [DataProvider(str(NAMESPACE), make_directory, title="age recipients of contacts")]

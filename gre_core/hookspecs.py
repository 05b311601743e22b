"""The three hooks. They only collect: no hook ever sees a message, a key or a stanza.

A plugin answers a hook with a function of the same name, marked with ``gre_core.api.hookimpl``. Each may be
called more than once and must give the same answer each time.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from gre_core.api import PROJECT, DataProvider, EncrypterProvider, FormatterProvider

hookspec: pluggy.HookspecMarker = pluggy.HookspecMarker(PROJECT)


@hookspec
def gre_formatters() -> Iterable[FormatterProvider]:  # type: ignore[empty-body]
    """Give the formatters of this plugin (GRE, "Formatter").

    Example::

        @hookimpl
        def gre_formatters():
            return [FormatterProvider(formatter("mime"), make_mime, title="GRE Formatter: MIME")]
    """


@hookspec
def gre_encrypters() -> Iterable[EncrypterProvider]:  # type: ignore[empty-body]
    """Give the encrypters of this plugin (GRE, "Encrypter").

    Example::

        @hookimpl
        def gre_encrypters():
            return [EncrypterProvider(encrypter("openpgp"), make_openpgp, title="GRE Encrypter: OpenPGP")]
    """


@hookspec
def gre_data_fields() -> Iterable[DataProvider]:  # type: ignore[empty-body]
    """Give the contributors of data fields of this plugin; only gateways ask (GRE, "Relayed Encryption Data").

    Example::

        @hookimpl
        def gre_data_fields():
            return [DataProvider(str(encrypter("openpgp")), make_fingerprints, title="OpenPGP fingerprints")]
    """

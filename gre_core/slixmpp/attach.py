r"""Gateway Relayed Encryption for a slixmpp client.

::

    xmpp = slixmpp.ClientXMPP("juliet@example.org", password)
    gre = attach_client(xmpp)
    gre.on_received(lambda received: print(received.message.text, received.verdict.signature))
    ...
    await gre.send(r"bob\40example.net@mail.example.org", "Hello Bob")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_core.client import ClientEngine
from gre_core.ports import Ports, no_passphrase, refuse
from gre_core.registry import Plugins
from gre_core.slixmpp.announce import Announcer
from gre_core.slixmpp.archive import DEFAULT_PERIOD
from gre_core.slixmpp.asking import once_at_a_time
from gre_core.slixmpp.client import Client
from gre_core.slixmpp.hardening import harden_stream
from gre_core.slixmpp.ports import SlixmppPubSub
from gre_core.slixmpp.reconnect import Reconnector
from gre_core.slixmpp.stream import Stream
from gre_core.slixmpp.traps import mend_sending, mend_slixmpp
from gre_core.stanza_ports import StanzaNetwork

if TYPE_CHECKING:
    from datetime import timedelta

    from slixmpp import ClientXMPP

    from gre_core.policy import Policy
    from gre_core.ports import AskPassphrase, Decide, OfferBackup, Store, Web, Worker

DEFAULT_MAX_STANZA: Final = 256 * 1024
"""Bytes that Prosody takes from a client as it is shipped. More closes the stream."""


def attach_client(  # noqa: PLR0913 - all but two are keywords with defaults
    xmpp: ClientXMPP,
    plugins: Plugins | None = None,
    *,
    store: Store | None = None,
    policy: Policy | None = None,
    decide: Decide = refuse,
    passphrase: AskPassphrase = no_passphrase,
    backup: OfferBackup | None = None,
    web: Web | None = None,
    worker: Worker | None = None,
    max_stanza: int | None = DEFAULT_MAX_STANZA,
    reconnect: bool = True,
    archive: bool | timedelta = True,
) -> Client:
    """Add Gateway Relayed Encryption to a slixmpp client. Call it before ``connect()``.

    Arguments:
        xmpp: the client. Its stream is hardened; carbons are enabled at each session.
        plugins: formatters and encrypters; the installed ones otherwise.
        store: where keys, trust and the outbox are kept; otherwise a folder of the account in the user's data
            directory.
        policy: the user's preferences.
        decide: asks the user; refuses everything otherwise, and then :meth:`Client.send` raises ``PolicyChanged``.
        passphrase: asks for the passphrases of our keys; they stay locked otherwise.
        backup: offers the user a backup of our keys; none is offered otherwise.
        web: look-ups by HTTPS, such as :class:`gre_core.web.HttpsWeb`; none otherwise.
        worker: opens what was received in a process of its own, such as :class:`gre_core.worker.WorkerProcess`; it is
            opened in this one otherwise. Close it when you are done.
        max_stanza: bytes that the server takes in one stanza, unless it announces them itself (XEP-0478); None for no
            limit.
        reconnect: connect again after a loss, with back-off.
        archive: fetch what came while this device was away from the account's archive, when the server has one
            (XEP-0313). Its messages go to the same handlers, with ``archived`` set, each once; without a handler for
            received messages it is left alone. A device that never looked before looks seven days back, or as far as
            you say.
    """
    if store is None:
        from gre_core.stores import FileStore, default_directory  # noqa: PLC0415 - not for hosts with a store

        store = FileStore(default_directory(xmpp.boundjid.bare))
    mend_slixmpp()
    mend_sending(xmpp)
    harden_stream(xmpp)
    stream = Stream(xmpp, max_stanza=max_stanza)
    ports = Ports(
        store,
        SlixmppPubSub(stream),
        decide,
        passphrase=once_at_a_time(passphrase),
        backup=backup,
        web=web,
        worker=worker,
    )
    engine = ClientEngine(
        xmpp.boundjid.bare, plugins or Plugins.discover(), ports, StanzaNetwork(stream), policy
    )
    Announcer(xmpp, engine.features)
    if reconnect:
        Reconnector(xmpp)
    if isinstance(archive, bool):
        return Client(xmpp, engine, stream, DEFAULT_PERIOD if archive else None)
    return Client(xmpp, engine, stream, archive)

"""Connects again after a loss, which slixmpp leaves to the program."""

from __future__ import annotations

import sys
from random import uniform
from typing import TYPE_CHECKING, Any, Final, cast

from gre_core.log import get_logger

if TYPE_CHECKING:
    import asyncio

    from slixmpp import ClientXMPP, ComponentXMPP

FIRST: Final = 1.0
LONGEST: Final = 60.0
LOGIN: Final = 60.0
"""Seconds that a server has from the connection to the session."""
STABLE: Final = 30.0
"""Seconds after which a session counts as stable, and the back-off begins anew."""

_STREAM: Final = "slixmpp.xmlstream.xmlstream"
_log = get_logger(__name__)


class Reconnector:
    """Connects again after a loss, with back-off and jitter: 1 s, 2 s, 4 s, up to a minute.

    It stops when the program calls ``disconnect()``, when the login is refused, and when another client took our
    resource; ``connect()`` starts it again. A connection that gave no session within a minute counts as lost.
    """

    def __init__(self, xmpp: ClientXMPP | ComponentXMPP) -> None:
        self._xmpp = cast("Any", xmpp)
        self._wanted = True
        self._delay = FIRST
        self._timer: asyncio.TimerHandle | None = None
        self._disconnect = self._xmpp.disconnect
        self._xmpp.disconnect = self._on_disconnect
        for event, handler in (
            ("connecting", self._on_connecting),
            ("connected", self._on_connected),
            ("reconnect_delay", self._on_delay),
            ("session_start", self._on_session),
            ("session_resumed", self._on_session),
            ("failed_all_auth", self._on_refused),
            ("stream_error", self._on_stream_error),
            ("disconnected", self._on_disconnected),
        ):
            xmpp.add_event_handler(event, handler)

    # -- what happens --------------------------------------------------------------------------------

    def _on_disconnect(self, *args: Any, **kwargs: Any) -> Any:
        """Note that the program ends the stream. slixmpp itself does it when a TLS handshake fails: a loss."""
        caller = sys._getframe(1)  # noqa: SLF001 - nothing else tells who calls
        if caller.f_code.co_name != "start_tls" or caller.f_globals.get("__name__") != _STREAM:
            self._wanted = False
            if not self._xmpp.is_connected():
                self._xmpp.cancel_connection_attempt()
        return self._disconnect(*args, **kwargs)

    def _on_connecting(self, _event: object = None) -> None:
        self._wanted = True
        self._cancel()

    def _on_connected(self, _event: object = None) -> None:
        self._later(LOGIN, self._give_up)

    def _on_delay(self, _seconds: object = None) -> None:
        """Replace slixmpp's own back-off, which grows to five minutes: it sleeps for what stands here."""
        self._xmpp._connect_loop_wait = self._next_delay()  # noqa: SLF001

    def _on_session(self, _event: object = None) -> None:
        self._later(STABLE, self._reset)

    def _on_refused(self, _event: object = None) -> None:
        self._wanted = False

    def _on_stream_error(self, error: Any) -> None:
        final = "not-authorized" if self._xmpp.is_component else "conflict"
        if error["condition"] == final:
            _log.error("not-reconnecting", condition=error["condition"])
            self._wanted = False

    def _on_disconnected(self, _reason: object = None) -> None:
        self._cancel()
        if self._wanted:
            delay = self._next_delay()
            _log.info("reconnecting", ms=int(delay * 1000))
            self._later(delay, self._connect)
        elif (sender := self._xmpp._run_out_filters) is not None:  # noqa: SLF001 - left running by slixmpp
            sender.cancel()
            self._xmpp._run_out_filters = None  # noqa: SLF001 - so that connect() makes another

    # -- what is done --------------------------------------------------------------------------------

    def _next_delay(self) -> float:
        delay = self._delay * uniform(0.75, 1.25)  # noqa: S311 - jitter, no secret
        self._delay = min(self._delay * 2, LONGEST)
        return delay

    def _later(self, seconds: float, action: Any) -> None:
        self._cancel()
        self._timer = self._xmpp.loop.call_later(seconds, action)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _connect(self) -> None:
        self._timer = None
        attempt = self._xmpp._current_connection_attempt  # noqa: SLF001 - is_connecting() is true for one that failed
        if self._wanted and not self._xmpp.is_connected() and (attempt is None or attempt.done()):
            self._xmpp.connect(*(self._xmpp.custom_address or (None, None)))

    def _reset(self) -> None:
        self._timer = None
        self._delay = FIRST

    def _give_up(self) -> None:
        _log.warning("login-timeout")
        transport = self._xmpp.transport
        self._xmpp.abort()
        self._later(FIRST, lambda: self._bury(transport))

    def _bury(self, transport: object) -> None:
        """Tell slixmpp that its connection is lost: a broken TLS handshake hides that from it."""
        self._timer = None
        if transport is not None and self._xmpp.transport is transport:
            self._xmpp.connection_lost(None)

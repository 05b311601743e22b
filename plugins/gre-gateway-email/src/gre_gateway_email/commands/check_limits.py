"""How large a stanza the XMPP server takes from the gateway, tried out while the gateway itself does not run.

No server announces that to components (XEP-0478 is about other streams), and one stanza above it ends the stream.
So ``check`` sends itself a stanza of that size on a stream of its own: what comes back was taken.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, Final

from gre_gateway_email.commands.findings import Finding, note, ok, wrong

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from slixmpp import ComponentXMPP

    from gre_gateway_email.config import Config

    Connect = Callable[[], Awaitable[tuple[ComponentXMPP, str]]]

PATIENCE: Final = 20.0
"""Seconds that a stanza may take to the server and back."""

LEAST: Final = 10_000
"""Bytes that each server has to take (RFC 6120, section 13.12)."""

_TAG: Final = "urn:xmpp:gre:probe"


async def stanza_limit(config: Config, connect: Connect) -> Finding:
    """Tell whether the server takes stanzas of ``[limits] max_stanza``, or how large ones.

    Arguments:
        config: what the gateway is told.
        connect: gives a component with a new stream, and what went wrong, or ``""``.
    """
    configured = config.limits.max_stanza
    where = f"[limits] max_stanza {configured}"
    size = configured
    while size >= LEAST:
        component, problem = await connect()
        try:
            taken = None if problem else await _takes(component, config.xmpp.domain, size)
        finally:
            component.abort()
        if taken is None:
            return note(f"{where}: could not be tried out ({problem or 'no answer'})")
        if taken and size == configured:
            return ok(f"{where}: the XMPP server takes stanzas of that size")
        if taken:
            break
        size //= 2
    return wrong(
        f"{where}: the XMPP server ends the stream at a stanza of that size, and takes {size} bytes. Set max_stanza to "
        "that, or raise its own limit (Prosody: component_stanza_size_limit, ejabberd: max_stanza_size)"
    )


async def _takes(component: ComponentXMPP, domain: str, size: int) -> bool | None:
    """Tell whether a stanza of that size comes back; None when nothing happens."""
    done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    name = f"probe-{secrets.token_hex(8)}"

    def end(taken: bool) -> None:  # noqa: FBT001 - a state, and the only argument
        if not done.done():
            done.set_result(taken)

    def came(stanza: Any) -> Any:
        if stanza.xml.get("id") == name:
            end(True)  # noqa: FBT003
        return stanza

    component.add_filter("in", came)
    component.add_event_handler("disconnected", lambda _: end(False))  # noqa: FBT003
    head = f"<message from='{domain}' to='{domain}' id='{name}' type='headline'><probe xmlns='{_TAG}'>"
    tail = "</probe></message>"
    component.send_raw(f"{head}{'x' * (size - len(head) - len(tail))}{tail}")
    try:
        return await asyncio.wait_for(done, PATIENCE)
    except TimeoutError:
        return None

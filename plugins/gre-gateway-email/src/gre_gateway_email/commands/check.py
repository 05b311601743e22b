"""``gre-email-gateway check``: tries everything that the configuration names, and says what is wrong."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Final

from gre_openpgp.keydirectory import KeyDirectory
from slixmpp import ComponentXMPP

from gre_core.errors import GreError, Refused
from gre_core.registry import Plugins
from gre_gateway_email.carrier import Carriers
from gre_gateway_email.config import load
from gre_gateway_email.mail.relay import Relay
from gre_gateway_email.store import default_url, open_store

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from gre_gateway_email.config import Config

PATIENCE: Final = 10.0


def run(options: argparse.Namespace) -> int:
    """Say what is right and what is wrong; 1 when something is.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    return asyncio.run(_run(load(options.config)))


async def _run(config: Config) -> int:
    wrong = 0
    async for right, line in check(config):
        sys.stdout.write(("ok     " if right else "WRONG  ") + line + "\n")
        sys.stdout.flush()
        wrong += not right
    return 1 if wrong else 0


_LOOPBACK: Final = ("127.", "::1", "localhost")


async def check(config: Config) -> AsyncIterator[tuple[bool, str]]:
    """Give one line for each thing that was looked at, and whether it is right."""
    yield True, f"{config.path}: read"
    yield bool(len(config.users)), f"[users] {len(config.users)} user(s)"
    for line in _plugins(config):
        yield line
    yield await _state(config)
    if config.keys.directory is not None:
        for line in _keys(config):
            yield line
    yield await _xmpp(config)
    yield await _relay(config)
    yield await _listen(config)


def _plugins(config: Config) -> list[tuple[bool, str]]:
    carriers = Carriers.discover()
    lines = [(True, f"carries {formatter} with {encrypter}") for formatter, encrypter in carriers.pairs]
    lines += [(False, f"carrier {problem.name}: {problem.error}") for problem in carriers.problems]
    if not carriers.pairs:
        lines.append((False, "no carrier is installed: nothing can be relayed"))
    for problem in Plugins.discover(allow=config.plugins).problems:
        lines.append((False, f"plugin {problem.plugin}, {problem.stage}: {problem.error}. {problem.hint}"))
    return lines


async def _state(config: Config) -> tuple[bool, str]:
    try:
        store = await open_store(config.database or default_url(config.state))
    except GreError as error:
        return False, f"[state] {error.text}"
    try:
        outbound, inbound = await store.counts()
    except GreError as error:
        return False, f"[state] {error.text}"
    finally:
        await store.close()
    waiting = outbound.waiting + inbound.waiting + inbound.held
    return True, f"[state] {config.state} can be used; {waiting} messages wait in it"


def _keys(config: Config) -> list[tuple[bool, str]]:
    if config.keys.directory is None or not config.keys.directory.is_dir():
        return [(False, f"[keys] {config.keys.directory} is not a folder: no contact has a key")]
    directory = KeyDirectory(config.keys.directory)
    directory.refresh()
    return [(False, f"[keys] {name}: {text}") for name, text in directory.problems.items()] or [
        (True, f"[keys] {config.keys.directory} is readable")
    ]


async def _xmpp(config: Config) -> tuple[bool, str]:
    where = f"[xmpp] {config.xmpp.domain} at {config.xmpp.host}:{config.xmpp.port}"
    component = ComponentXMPP(config.xmpp.domain, config.xmpp.secret, config.xmpp.host, config.xmpp.port)
    done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def end(text: str) -> None:
        if not done.done():
            done.set_result(text)

    component.add_event_handler("session_start", lambda _: end(""))
    component.add_event_handler("stream_error", lambda error: end(f"refused: {error['condition']}"))
    component.add_event_handler("connection_failed", lambda error: end(f"cannot be reached: {error}"))
    component.add_event_handler("disconnected", lambda _: end("ended the connection: is the secret right?"))
    component.connect()
    try:
        problem = await asyncio.wait_for(done, PATIENCE)
    except TimeoutError:
        problem = "does not answer"
    component.abort()
    if not problem:
        return True, f"{where} accepts the gateway"
    hint = {
        "refused: not-authorized": "the secret is another one there",
        "refused: conflict": "the gateway is connected already",
        "refused: host-unknown": "the server has no such component",
    }.get(problem)
    return False, f"{where} {problem}" + (f" ({hint})" if hint else "")


async def _relay(config: Config) -> tuple[bool, str]:
    where = f"[smtp] {config.smtp.host}:{config.smtp.port}"
    try:
        await Relay(config.smtp).check()
    except Refused as error:
        return False, f"{where}: {error.text}"
    return True, f"{where} answers"


async def _listen(config: Config) -> tuple[bool, str]:
    listen = config.listen
    where = f"[listen] {listen.protocol} on {listen.host}:{listen.port}"
    try:
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, listen.host, listen.port)
    except OSError as error:
        return False, f"{where}: {error.strerror or error}; is the gateway running already?"
    server.close()
    if not listen.host.startswith(_LOOPBACK):
        return (
            False,
            f"{where} is open to other machines, and whoever reaches it can deliver mail: use 127.0.0.1",
        )
    return True, f"{where} is free"

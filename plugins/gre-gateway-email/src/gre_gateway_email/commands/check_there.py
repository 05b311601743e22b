"""What ``check`` looks at by connecting: XMPP server, relay, and the ports of the gateway itself."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import aiosmtplib
from slixmpp import ComponentXMPP
from slixmpp.exceptions import IqError, IqTimeout

from gre_core.errors import GreError
from gre_core.web import HttpsWeb
from gre_gateway_email.commands.check_limits import stanza_limit
from gre_gateway_email.commands.findings import Finding, note, ok, wrong
from gre_gateway_email.commands.shown import moment
from gre_gateway_email.mail import milter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gre_gateway_email.config import Config, Http
    from gre_gateway_email.operate.running import Running

PATIENCE: Final = 10.0

_LOOPBACK: Final = ("127.", "::1", "localhost")
_HINTS: Final = {
    "refused: not-authorized": "the secret is another one there",
    "refused: conflict": "a gateway is connected already, perhaps on another machine",
    "refused: host-unknown": "the server has no such component: take the snippet of `init` into its configuration",
}
_POLICY: Final = 65_536
_UPLOAD: Final = "urn:xmpp:http:upload:0"


async def xmpp(config: Config, running: Running | None) -> AsyncIterator[Finding]:
    """Connect as the component, unless the gateway is; then ask for the upload service."""
    where = f"[xmpp] {config.xmpp.domain} at {config.xmpp.host}:{config.xmpp.port}"
    if running is not None:
        # A second connection would end the first on many servers.
        if running.connected_at is not None:
            yield ok(f"{where}: the running gateway is connected since {moment(running.connected_at)}")
        else:
            problem = await _unreachable(config)
            yield wrong(
                f"{where} {problem or 'answers, and the running gateway is not connected: see its log'}"
            )
        return

    async def connect() -> tuple[ComponentXMPP, str]:
        xmpp = config.xmpp
        component = ComponentXMPP(xmpp.domain, xmpp.secret, xmpp.host, xmpp.port)
        component.register_plugin("xep_0030")
        return component, await _connected(component)

    component, problem = await connect()
    if problem:
        component.abort()
        # What the library says of a closed port is no sentence.
        problem = await _unreachable(config) or problem
        hint = _HINTS.get(problem)
        yield wrong(f"{where} {problem}" + (f" ({hint})" if hint else ""))
        return
    yield ok(f"{where} accepts the gateway")
    if config.files.upload and config.files.service is not None:
        yield await _upload(component, config.files.service)
    component.abort()
    yield await stanza_limit(config, connect)


async def _unreachable(config: Config) -> str:
    """Say why nothing takes connections at the component port; nothing when something does."""
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(config.xmpp.host, config.xmpp.port)
    except OSError as error:  # TimeoutError too
        why = "no answer"
        if isinstance(error, socket.gaierror):
            why = str(error.strerror)
        elif error.errno:  # asyncio writes its own words into strerror
            why = os.strerror(error.errno)
        return (
            f"cannot be reached ({why}): is the XMPP server running, and has it the snippet of `init`? "
            "Prosody opens this port for its first component"
        )
    writer.close()
    return ""


async def _connected(component: ComponentXMPP) -> str:
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
        return await asyncio.wait_for(done, PATIENCE)
    except TimeoutError:
        return "does not answer"


async def _upload(component: ComponentXMPP, service: str) -> Finding:
    disco: Any = component.plugin["xep_0030"]
    try:
        info = await disco.get_info(jid=service, timeout=PATIENCE)
    except (IqError, IqTimeout):
        return wrong(f"[files] service {service} does not answer: is its name right?")
    if _UPLOAD not in info["disco_info"]["features"]:
        return wrong(f"[files] service {service} takes no uploads (XEP-0363)")
    return ok(f"[files] service {service} takes uploads")


async def relay(config: Config) -> AsyncIterator[Finding]:
    """Connect to the relay, and ask what it can and whether it relays; no mail is sent."""
    settings = config.smtp
    where = f"[smtp] {settings.host}:{settings.port}"
    client = aiosmtplib.SMTP(
        hostname=settings.host,
        port=settings.port,
        use_tls=settings.tls == "implicit",
        start_tls=settings.tls == "starttls",
        username=settings.user,
        password=settings.password,
        timeout=min(settings.timeout, PATIENCE),
        local_hostname=settings.helo,
    )
    try:
        async with client:
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
            for finding in _features(config, dict(client.esmtp_extensions), where):
                yield finding
            yield await _relays(client, config, where)
    except (aiosmtplib.SMTPException, OSError) as error:
        yield wrong(f"{where} {_why(error)}")


async def verifier(config: Config) -> AsyncIterator[Finding]:
    """Connect to the milter that is asked about DKIM."""
    place = config.mail.verifier
    if place is None:
        return
    where = f"[mail] verifier at {place.host}" + (f":{place.port}" if place.port else "")
    try:
        await milter.greet(place)
    except milter.MilterFailed as error:
        yield wrong(f"{where} does not answer as a milter ({error}): is OpenDKIM or rspamd running there?")
    else:
        yield ok(f"{where} answers")


def _why(error: Exception) -> str:
    cause = error.__cause__ or error
    text = f"cannot be used: {error}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        text = f"has a certificate that is not right: {cause.verify_message}"
    elif isinstance(cause, ssl.SSLError):
        text = "speaks no TLS on this port: see [smtp] tls"
    elif isinstance(error, aiosmtplib.SMTPAuthenticationError):
        text = f"does not accept [smtp] user and password ({error.code})"
    elif isinstance(error, aiosmtplib.SMTPResponseException):
        text = f"does not want the gateway ({error.code} {error.message[:200]})"
    elif isinstance(error, aiosmtplib.SMTPTimeoutError):
        text = "does not answer: is it a mail server, and no firewall between?"
    elif isinstance(error, aiosmtplib.SMTPConnectError | OSError):
        text = "cannot be reached: is Postfix running there, with the snippets of `init`, and listening on this port?"
    return text


def _features(config: Config, features: dict[str, str], where: str) -> Iterator[Finding]:
    names = [name.upper() for name in ("size", "dsn", "smtputf8", "pipelining") if name in features]
    tls = {"none": "without TLS", "starttls": "with STARTTLS", "implicit": "with TLS"}[config.smtp.tls]
    yield ok(f"{where} answers, {tls}, and can {', '.join(names) or 'nothing more'}")
    if config.smtp.tls == "none" and not config.smtp.host.startswith(_LOOPBACK):
        yield note(f"{where} is another machine, and mail goes there without TLS: set [smtp] tls")
    if config.smtp.dsn and "dsn" not in features:
        yield note(f"{where} has no DSN: users hear of failed deliveries only by ordinary bounces")
    if "smtputf8" not in features:
        yield note(f"{where} has no SMTPUTF8: addresses that are not ASCII are refused with an error")
    size = features.get("size", "").strip()
    if size.isdigit() and 0 < int(size) < config.limits.max_stanza:
        yield note(
            f"{where} takes mails of {size} bytes at most, less than a stanza can carry ([limits] max_stanza)"
        )


async def _relays(client: aiosmtplib.SMTP, config: Config, where: str) -> Finding:
    """Ask whether a mail from a user to somebody far away would be taken; nothing is sent (RSET)."""
    try:
        await client.mail(f"postmaster@{config.mail.domains[0]}")
        await client.rcpt("postmaster@example.com")
    except aiosmtplib.SMTPResponseException as error:
        said = f"{error.code} {error.message}".split("\n", maxsplit=1)[0][:200]
        await client.rset()
        if error.code >= 500:  # noqa: PLR2004 - for good (RFC 5321, section 4.2.1)
            return wrong(
                f"{where} does not relay for the gateway ({said}): add the gateway's address to mynetworks of Postfix, "
                "or give [smtp] user and password_file"
            )
        return note(f"{where} does not relay at this moment ({said})")
    await client.rset()
    return ok(f"{where} relays for the gateway")


async def ports(config: Config, running: Running | None) -> AsyncIterator[Finding]:
    """Tell whether the ports of the gateway are free, or its own."""
    listen = config.listen
    where = f"[listen] {listen.protocol} on {listen.host}:{listen.port}"
    yield await _port(where, listen.host, listen.port, running.listen_port if running else None)
    if not listen.host.startswith(_LOOPBACK):
        yield wrong(
            f"{where} is open to other machines, and whoever reaches it can deliver mail: use 127.0.0.1"
        )
    if config.http.enabled:
        where = f"[http] {config.http.host}:{config.http.port}"
        own = running.http_port if running else None
        yield await (
            _health(where, config.http, own)
            if own
            else _port(where, config.http.host, config.http.port, None)
        )
        if not config.http.host.startswith(_LOOPBACK):
            yield note(f"{where} shows figures to whoever reaches it: use 127.0.0.1")
    if config.wkd.enabled:
        where = f"[wkd] {config.wkd.host}:{config.wkd.port}"
        # The running gateway does not say which port this is; the one of the configuration is its own then.
        yield await _port(where, config.wkd.host, config.wkd.port, config.wkd.port if running else None)


async def wkd(config: Config) -> AsyncIterator[Finding]:
    """Tell whether others can reach the published keys, as their programs ask for them."""
    if not config.wkd.enabled:
        return
    for domain in config.mail.domains:
        url = f"https://openpgpkey.{domain}/.well-known/openpgpkey/{domain}/policy"
        try:
            answer = await HttpsWeb(timeout=PATIENCE).get(url, max_size=_POLICY)
        except GreError as error:
            yield note(f"[wkd] {url} cannot be read from here ({error.text}): see snippets/nginx-wkd.conf")
            continue
        if answer.status == 200:  # noqa: PLR2004 - OK
            yield ok(f"[wkd] {url} is there")
        else:
            yield note(f"[wkd] {url} gives {answer.status}: does the web server pass it on to the gateway?")


async def _port(where: str, host: str, port: int, own: int | None) -> Finding:
    if port and own == port:
        return ok(f"{where} is used by the running gateway")
    try:
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port)
    except OSError as error:
        return wrong(
            f"{where}: {error.strerror or error}. Another program has it (ss -ltnp), or choose another port"
        )
    server.close()
    return ok(f"{where} is free")


async def _health(where: str, settings: Http, port: int) -> Finding:
    url = f"http://{settings.host}:{port}/health/ready"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session,
            session.get(url) as answer,
        ):
            said = json.loads(await answer.text())
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
        return wrong(f"{where}: the running gateway gives no answer ({type(error).__name__})")
    if answer.status == 200:  # noqa: PLR2004 - OK
        return ok(f"{where}: the running gateway says that it is ready")
    found = said.get("problems", {})
    if set(found) == {"xmpp"}:  # told already
        return ok(f"{where}: the running gateway answers, and waits for the XMPP server")
    problems = "; ".join(f"{name}: {text}" for name, text in found.items())
    return wrong(f"{where}: the running gateway is not ready: {problems}")

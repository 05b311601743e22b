"""The way out over TLS, with login: the connection that aiosmtplib made is taken over behind the encryption."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from gre_gateway_email.mail.relay import Relay

from gre_core.errors import Refused
from gre_core.testing import require

LINES = 2000


@pytest.fixture
def certificate(tmp_path):
    require(shutil.which("openssl"), "openssl (apt-get install openssl)")
    key, file = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", key, "-out", file, "-subj", "/CN=relay", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file, key)
    return context, file


class Handler:
    def __init__(self):
        self.mails = []

    async def handle_DATA(self, server, session, envelope):
        self.mails.append((session.ssl is not None, session.authenticated, envelope.content))
        return "250 OK"


def login(server, session, envelope, mechanism, data):
    right = (data.login, data.password) == (b"gateway", b"s3cret")
    return AuthResult(success=right, handled=False)


async def serve(handler, context, tls):
    implicit = {"ssl": context} if tls == "implicit" else {}
    starttls = {"tls_context": context, "require_starttls": True} if tls == "starttls" else {}
    # aiosmtpd does not see that a connection is encrypted from its start, and would offer no login.
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(
            handler, authenticator=login, auth_required=True, auth_require_tls=tls == "starttls", **starttls
        ),
        "127.0.0.1", 0, **implicit,
    )  # fmt: skip
    return server, server.sockets[0].getsockname()[1]


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_mails_go_over_tls_with_login(kit, certificate, monkeypatch, tls):
    context, file = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    handler = Handler()
    server, port = await serve(handler, context, tls)
    relay = Relay(kit.smtp_settings(port, tls=tls, user="gateway", password="s3cret"))
    for _ in range(3):
        await relay.send("juliet@example.org", ["bob@example.net"], (b"x" * 78 + b"\r\n") * LINES)
    assert len(handler.mails) == 3
    assert {mail[1] for mail in handler.mails} == {True}
    assert {mail[2].count(b"x" * 78 + b"\r\n") for mail in handler.mails} == {LINES}
    await relay.close()
    server.close()


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
async def test_a_wrong_password_is_the_operators_business(kit, certificate, monkeypatch):
    context, file = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    server, port = await serve(Handler(), context, "starttls")
    relay = Relay(kit.smtp_settings(port, tls="starttls", user="gateway", password="wrong"))
    with pytest.raises(Refused, match="tell its operator") as refused:
        await relay.send("juliet@example.org", ["bob@example.net"], b"x\r\n")
    assert refused.value.error_type == "wait"
    assert "wrong" not in refused.value.text
    server.close()


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_an_unknown_certificate_gets_no_mail(kit, certificate, tls):
    handler = Handler()
    server, port = await serve(handler, certificate[0], tls)
    relay = Relay(kit.smtp_settings(port, tls=tls, user="gateway", password="s3cret"))
    with pytest.raises(Refused, match="cannot reach"):
        await relay.send("juliet@example.org", ["bob@example.net"], b"x\r\n")
    assert handler.mails == []
    server.close()


async def test_a_relay_without_tls_gets_no_mail_when_tls_is_wanted(kit, scripted_relay):
    relay = Relay(kit.smtp_settings(scripted_relay.port, tls="starttls"))
    with pytest.raises(Refused, match="cannot reach"):
        await relay.send("juliet@example.org", ["bob@example.net"], b"x\r\n")
    assert scripted_relay.mails == []

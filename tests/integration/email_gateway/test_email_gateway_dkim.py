"""Whether a key that came with a mail is authenticated, with Debian's Postfix and OpenDKIM, before and behind the queue.

A second Postfix with an OpenDKIM of its own signs Bob's mail, as the mail server of his domain does.
"""

from __future__ import annotations

import asyncio
import base64
import re
import smtplib
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pysequoia
import pytest
from gre_openpgp.autocrypt import header_value
from gre_openpgp.encrypting import keymaking

from gre_core.testing import require
from gre_core.testing.ports import free_port
from gre_core.testing.postfix import PostfixServer
from gre_core.testing.prosody import ProsodyServer
from gre_core.testing.server import ServerProcess

BOB = "bob@example.net"
BOB_JID = "bob\\40example.net@mail.localhost"
NODE = "urn:xmpp:openpgp:0:public-keys"
SERVER = "mx.example.org"
README = Path(__file__).parents[3] / "plugins/gre-gateway-email/README.md"


@pytest.fixture
def server_class():
    """One XMPP server is enough here: these tests are about mail."""
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    return ProsodyServer


@pytest.fixture
async def opendkim(tmp_path):
    """``await opendkim("v")``: the port of one that verifies, ``"s"``: of one that signs for example.net."""
    started = []
    secret = tmp_path / "dkim.pem"

    def make_key():
        subprocess.run(["openssl", "genrsa", "-out", secret, "2048"], check=True, capture_output=True)
        return subprocess.run(
            ["openssl", "rsa", "-in", secret, "-pubout", "-outform", "DER"], check=True, capture_output=True
        ).stdout

    async def start(mode):
        process = ServerProcess("opendkim", "opendkim", "apt-get install opendkim")
        require(process.find(), "OpenDKIM (apt-get install opendkim)")
        started.append(process)
        keys = tmp_path / "keys"
        if not keys.exists():
            public = base64.b64encode(make_key()).decode()
            keys.write_text(f"s1._domainkey.example.net v=DKIM1; k=rsa; p={public}\n")
        port = free_port()
        config = process.directory / "opendkim.conf"
        lines = [f"Mode {mode}", f"Socket inet:{port}@127.0.0.1", f"TestPublicKeys {keys}", "Syslog no"]
        if mode == "s":
            lines += [
                "Domain example.net",
                "Selector s1",
                f"KeyFile {secret}",
                "RequireSafeKeys no",
                "Canonicalization relaxed/simple",
            ]
        else:
            lines.append(f"AuthservID {SERVER}")
        config.write_text("\n".join(lines) + "\n")
        await process.start([process.find(), "-f", "-x", str(config)], ports=[port])
        return port

    yield start
    for process in started:
        await process.stop()


def autocrypt():
    """A new key of Bob's as a header field."""
    key = pysequoia.Tsk.from_bytes(
        keymaking.make_key(f"Bob <{BOB}>", datetime.now(UTC))
    ).extract_certificate()
    return f"Autocrypt: {header_value(BOB, bytes(key), mutual=True)}\r\n"


def mail(number, *fields):
    head = "".join(fields)
    return (
        f"{head}From: Bob <{BOB}>\r\nTo: juliet@example.org\r\nMessage-ID: <{number}@example.net>\r\nSubject: a\r\n {number}\r\n"
        f"Date: Mon, 23 Nov 2026 09:{number:02}:00 +0000\r\n{autocrypt()}\r\nGood morrow\r\n.dot\r\n\r\n"
    ).encode()


@pytest.fixture
async def signed(opendkim, far):
    """``await signed(mail)``: as Bob's mail server sends it."""
    running = []

    async def sign(content):
        if not running:
            port = await opendkim("s")
            postfix = PostfixServer(
                ["example.net"], relay_port=far.port, settings={"smtpd_milters": f"inet:127.0.0.1:{port}"}
            )
            running.append(postfix)
            await postfix.start()
        await hand_over(running[0].submission_port, content)
        raw = (await far.next())[2]
        assert b"DKIM-Signature:" in raw
        return raw

    yield sign
    for postfix in running:
        await postfix.__aexit__(None, None, None)


async def hand_over(port, content):
    def dialogue():
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as smtp:
            smtp.sendmail(BOB, ["romeo@example.org"], content)

    await asyncio.to_thread(dialogue)


async def listed(romeo):
    """Whether the newest key of Bob's is said to be authenticated, as Romeo's client is told."""
    payload = f"<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='{NODE}'/></pubsub>"
    entry = next((await romeo.iq(BOB_JID, payload)).iter("{urn:xmpp:openpgp:0}pubkey-metadata"))
    return entry[0].get("authenticated")


async def taken(system, romeo, content):
    """Send a mail and wait until Romeo has it."""
    await hand_over(system.postfix.port, content)
    await romeo.until("{jabber:client}body")
    return await listed(romeo)


async def test_before_the_queue_the_verifier_is_asked(mail_system, connect, kit, opendkim, signed):
    verifier = await opendkim("v")
    system = await mail_system(
        before_queue=True,
        extra=f'[mail]\nverifier = "127.0.0.1:{verifier}"\nauthserv_id = "{SERVER}"',
        smtpd_milters=f"inet:127.0.0.1:{verifier}",
    )
    romeo = kit.Juliet(await connect("romeo", "garden"))
    good = await signed(mail(2))
    forged = f"Authentication-Results: {SERVER}; dkim=pass header.d=example.net\r\n"
    assert await taken(system, romeo, mail(1, forged)) == "false", "the field is a stranger's"
    assert await taken(system, romeo, forged.encode() + good.replace(b"Good", b"Evil")) == "false"
    assert await taken(system, romeo, good) == "true"
    assert await taken(system, romeo, await signed(mail(3))) == "true"


async def test_before_the_queue_no_milter_of_postfix_adds_anything(
    mail_system, connect, kit, opendkim, signed
):
    """Which is why the gateway asks by itself: SMTPD_PROXY_README says so, and it is so."""
    verifier = await opendkim("v")
    system = await mail_system(
        before_queue=True,
        extra=f'[mail]\nauthserv_id = "{SERVER}"',
        smtpd_milters=f"inet:127.0.0.1:{verifier}",
    )
    romeo = kit.Juliet(await connect("romeo", "garden"))
    assert await taken(system, romeo, await signed(mail(1))) == "false"


@pytest.mark.parametrize("way", ["verifier", "authserv_id"])
async def test_behind_the_queue_both_ways_work(mail_system, connect, kit, opendkim, signed, way):
    verifier = await opendkim("v")
    value, settings = f"127.0.0.1:{verifier}", {}
    if way == "authserv_id":
        value, settings = SERVER, {"smtpd_milters": f"inet:127.0.0.1:{verifier}"}
    system = await mail_system(extra=f'[mail]\n{way} = "{value}"', **settings)
    romeo = kit.Juliet(await connect("romeo", "garden"))
    good = await signed(mail(1))
    assert await taken(system, romeo, good.replace(b"Good", b"Evil")) == "false"
    assert await taken(system, romeo, good) == "true"


FORGED = [
    "Authentication-Results: mx.example.org; dkim=pass header.d=example.net",
    "authentication-RESULTS:mx.example.org; dkim=pass header.d=example.net",
    "Authentication-Results:\t MX.example.ORG; dkim=pass header.d=example.net",
    "Authentication-Results:\r\n mx.example.org;\r\n\tdkim=pass header.d=example.net",
    "Authentication-Results: mx.example.org 1; dkim=pass header.d=example.net",
    'Authentication-Results: "mx.example.org"; dkim=pass header.d=example.net',
    "Authentication-Results: (comment) mx.example.org; dkim=pass header.d=example.net",
    "Authentication-Results: (a ; (b)) (c)\r\n mx.example.org (d); dkim=pass header.d=example.net",
    "Authentication-Results : mx.example.org; dkim=pass header.d=example.net",
    "Authentication-Results: mx.example.org; none\r\nAuthentication-Results: mx.example.org; dmarc=pass header.from=example.net",
]  # fmt: skip


async def test_without_the_rule_of_the_readme_a_stranger_is_believed(mail_system, connect, kit):
    """As long as the verifier leaves such fields alone (OpenDKIM does not): so the next test can fail."""
    system = await mail_system(extra=f'[mail]\nauthserv_id = "{SERVER}"')
    romeo = kit.Juliet(await connect("romeo", "garden"))
    assert await taken(system, romeo, mail(1, f"{FORGED[0]}\r\n")) == "true"


@pytest.fixture
def header_checks(tmp_path):
    """The rule of the README, for the setting of that name."""
    rules = re.findall(r"^/\^Authentication-Results.*$", README.read_text(), re.MULTILINE)
    assert rules
    file = Path("/tmp") / f"gre-header-checks-{tmp_path.name}-{id(rules)}"  # where Postfix may read
    file.write_text("\n".join(rules) + "\n")
    file.chmod(0o644)
    yield f"regexp:{file}"
    file.unlink()


async def test_the_rule_of_the_readme_removes_what_strangers_write(mail_system, connect, kit, header_checks):
    system = await mail_system(extra=f'[mail]\nauthserv_id = "{SERVER}"', header_checks=header_checks)
    romeo = kit.Juliet(await connect("romeo", "garden"))
    for number, field in enumerate(FORGED):
        assert await taken(system, romeo, mail(number, f"{field}\r\n")) == "false", field


async def test_the_rule_of_the_readme_leaves_what_the_own_verifier_writes(
    mail_system, connect, kit, opendkim, signed, header_checks
):
    system = await mail_system(
        extra=f'[mail]\nauthserv_id = "{SERVER}"',
        smtpd_milters=f"inet:127.0.0.1:{await opendkim('v')}",
        header_checks=header_checks,
    )
    romeo = kit.Juliet(await connect("romeo", "garden"))
    assert await taken(system, romeo, await signed(mail(1, f"{FORGED[0]}\r\n"))) == "true"

"""From the user's word to the served key: consent by the ad-hoc command, the key by ``gre``, read by GnuPG over HTTPS.

GnuPG looks for ``openpgpkey.verona.test`` on port 443, as it does for any mail address, with an authority of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest

from gre_core.testing import require
from gre_core.testing.ports import free_port
from gre_core.testing.prosody import ProsodyServer

DOMAIN = "verona.test"
GATEWAY = "mail.localhost"
JULIET, JULE, ROMEO = f"juliet@{DOMAIN}", f"jule@{DOMAIN}", f"romeo@{DOMAIN}"
USERS = f'"{JULIET}" = "juliet@localhost"\n"{JULE}" = "juliet@localhost"\n"{ROMEO}" = "romeo@localhost"'
COMMANDS = "http://jabber.org/protocol/commands"
NAMESPACES = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child")
MINUTE = 60
PATIENCE = 30
"""For a machine that is busy, in seconds."""


@pytest.fixture
def server_class():
    """A real server: keys and commands go through it."""
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    return ProsodyServer


@pytest.fixture
def authority(tmp_path):
    """An own authority, and a certificate for the directory."""
    require(shutil.which("openssl"), "openssl")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes", "-keyout")
    openssl(*new, "ca.key", "-x509", "-days", "2", "-subj", "/CN=test authority", "-out", "ca.pem")
    openssl(*new, "server.key", "-subj", f"/CN=openpgpkey.{DOMAIN}", "-out", "server.csr")
    (tmp_path / "names").write_text(f"subjectAltName=DNS:openpgpkey.{DOMAIN}\n")
    openssl(
        "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
        "-extfile", "names", "-out", "server.pem",
    )  # fmt: skip
    return tmp_path


@pytest.fixture
async def directory(start, authority):
    """A gateway that publishes keys, and how the world reaches it."""
    allowed = subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode == 0
    require(os.geteuid() == 0 and allowed, "root, who may make namespaces (unshare)")
    require(shutil.which("dirmngr"), "dirmngr (apt-get install dirmngr)")
    port = free_port()
    gateway = await start(
        f'[mail]\ndomains = ["{DOMAIN}"]\n[wkd]\nenabled = true\nport = {port}', users=USERS
    )

    async def connection(reader, writer):
        ahead, back = await asyncio.open_connection("127.0.0.1", port)

        async def pipe(source, target):
            with contextlib.suppress(OSError):
                while data := await source.read(65_536):
                    target.write(data)
                    await target.drain()
            target.close()

        await asyncio.gather(pipe(reader, back), pipe(ahead, writer))

    server = await asyncio.start_unix_server(connection, authority / "wkd.sock")
    yield SimpleNamespace(gateway=gateway, port=port, folder=authority)
    server.close()


@pytest.fixture
def locate(directory):
    """``await locate(address)``: the colon listing of what GnuPG finds, with a new keyring."""
    program = Path(__file__).with_name("wkd_machine.py")
    count = iter(range(1000))

    def run(address):
        home = directory.folder / f"gnupg{next(count)}"
        home.mkdir(mode=0o700)
        (home / "dirmngr.conf").write_text("standard-resolver\ndisable-ipv6\nconnect-timeout 20\n")
        gpg = ["gpg", "--homedir", str(home), "--batch", "--with-colons"]
        done = subprocess.run(
            [*NAMESPACES, sys.executable, program, directory.folder, DOMAIN, *gpg,
             "--auto-key-locate", "clear,nodefault,wkd", "--locate-external-keys", address],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        return SimpleNamespace(
            uids=re.findall(r"^uid:.*?<(.*?)>:", done.stdout, re.MULTILINE)
            or re.findall(r"^uid:(?:[^:]*:){8}([^:]*):", done.stdout, re.MULTILINE),
            fingerprints=re.findall(r"^pub:.*\nfpr:+([0-9A-F]{40}):", done.stdout, re.MULTILINE),
            revoked=bool(re.search(r"^pub:r:", done.stdout, re.MULTILINE)),
            said=done.stderr,
        )

    return lambda address: asyncio.to_thread(run, address)


@pytest.fixture
def gre(server, tmp_path):
    """``await gre(words)``: Juliet's command; gives its answer for scripts."""

    async def run(*words):
        command = [
            sys.executable, "-P", "-m", "gre_cli", *words, "--json", "--account", "juliet@localhost",
            "--host", "127.0.0.1", "--port", str(server.c2s_port), "--insecure-plaintext", "--state", str(tmp_path / "gre"),
        ]  # fmt: skip
        environment = {
            **os.environ,
            "GRE_PASSWORD": server.accounts["juliet"],
            "GRE_PASSPHRASE": "a secret",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        }
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=120, check=False, env=environment
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    return run


async def consent(juliet, answer):
    """Run the command as a client does: ask for the form, hand it in."""
    started = await juliet.iq(GATEWAY, f"<command xmlns='{COMMANDS}' node='policy'/>", "set")
    session = started[0].get("sessionid")
    form = started[0].find("{jabber:x:data}x")
    fields = {field.get("var"): field.findtext("{jabber:x:data}value") for field in form}
    (name,) = [var for var in fields if var and "publish" in var]
    fields[name] = answer
    payload = "".join(
        f"<field var='{var}'><value>{value}</value></field>"
        for var, value in fields.items()
        if var and value is not None
    )
    done = await juliet.iq(
        GATEWAY,
        f"<command xmlns='{COMMANDS}' node='policy' sessionid='{session}'>"
        f"<x xmlns='jabber:x:data' type='submit'>{payload}</x></command>",
        "set",
    )
    assert done[0].get("status") == "completed"


async def soon(look, wanted):
    """Look until something is so; tell how long it took. It has to be so within a minute."""
    began = time.monotonic()
    while not wanted(found := await look()):
        assert time.monotonic() - began < MINUTE + PATIENCE, found
        await asyncio.sleep(1)
    return found


def make_key(home):
    """A key of another program with both addresses of Juliet's, and a third name."""
    home.mkdir(mode=0o700)

    def gpg(*words):
        return subprocess.run(
            ["gpg", "--homedir", home, "--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", "", *words],
            check=True, capture_output=True,
        ).stdout  # fmt: skip

    gpg("--quick-generate-key", f"Juliet <{JULIET}>", "future-default", "default", "2y")
    for name in (f"Jule <{JULE}>", "Juliet at work <juliet@capulet.test>"):
        gpg("--quick-add-uid", JULIET, name)
    file = home / "secret.asc"
    file.write_bytes(gpg("--armor", "--export-secret-keys"))
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
    return file


async def test_a_key_is_found_by_its_address_from_consent_to_revocation(directory, locate, gre, juliet):
    file = make_key(directory.folder / "old")
    await gre("keys", "import", str(file))
    await gre("keys", "publish")
    (own,) = (await gre("keys", "list", "--own"))["own"]
    fingerprint = own["fingerprint"]

    await consent(juliet, "true")
    found = await soon(lambda: locate(JULIET), lambda found: found.fingerprints)
    assert found.fingerprints == [fingerprint]
    assert found.uids == [JULIET], "no other name"
    assert (await locate(JULE)).uids == [JULE]
    for nobody in (ROMEO, f"nobody@{DOMAIN}"):
        assert (await locate(nobody)).fingerprints == []

    # A revocation, and a consent that is taken back, are seen within a minute.
    await gre("keys", "revoke", fingerprint, "--yes", "--reason", "compromised")
    second = (await gre("keys", "make", JULIET))["key"]["fingerprint"]
    after = await soon(lambda: locate(JULIET), lambda found: second in found.fingerprints)
    assert fingerprint not in after.fingerprints or after.revoked
    await consent(juliet, "false")
    # The account still publishes it; the gateway does not.
    await soon(lambda: locate(JULIET), lambda found: not found.fingerprints)


async def test_strangers_learn_nothing_from_answers_or_their_time(directory, gre, juliet, kit):
    """Over WKD and over XMPP: unknown, known without a key, known without consent, all get the same."""
    from gre_gateway_email.keys.publishing import hash_of

    await gre("keys", "make", JULIET)
    await consent(juliet, "false")
    who = {name: hash_of(f"{name}@{DOMAIN}") for name in ("juliet", "romeo", "nobody")}
    answers, times = set(), {name: [] for name in who}
    async with aiohttp.ClientSession() as session:
        for number in range(25):
            for name, digest in who.items():
                url = (
                    f"http://127.0.0.1:{directory.port}/.well-known/openpgpkey/{DOMAIN}/hu/{digest}?l={name}"
                )
                # As if each came from another client: nobody is limited.
                headers = {"Host": f"openpgpkey.{DOMAIN}", "X-Forwarded-For": f"192.0.2.{number}"}
                began = time.perf_counter()
                async with session.get(url, headers=headers) as answer:
                    body = await answer.read()
                times[name].append(time.perf_counter() - began)
                answers.add(
                    (answer.status, body, tuple((k, v) for k, v in answer.headers.items() if k != "Date"))
                )
    assert len(answers) == 1
    assert answers.pop()[0] == 404
    _same_class(times)

    # A user of the gateway learns no more about the others; who is not registered gets one answer for all, too
    # (test_email_gateway_key_sources).
    texts, times = set(), {name: [] for name in who}
    payload = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:openpgp:0:public-keys'/></pubsub>"
    for _ in range(15):
        for name in who:
            began = time.perf_counter()
            answer = await juliet.iq(f"{name}\\40{DOMAIN}@{GATEWAY}", payload)
            times[name].append(time.perf_counter() - began)
            texts.add(kit.error_of(answer))
    assert len(texts) == 1
    _same_class(times)


def _same_class(times):
    """The medians are of one magnitude: nobody waits for a look-up that others are spared."""
    medians = [statistics.median(each) for each in times.values()]
    assert max(medians) < 5 * min(medians) + 0.005, medians

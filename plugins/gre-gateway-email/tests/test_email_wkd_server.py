"""The Web Key Directory for users who agreed: what is served, to whom not, and how soon a change is seen."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from dataclasses import replace
from urllib.parse import urlsplit

import aiohttp
import pytest
from gre_gateway_email.config import Http
from gre_gateway_email.keys import publishing as publishing_module
from gre_gateway_email.keys import wkd_server
from gre_gateway_email.keys.publishing import INDEX_AGE, KEY_AGE, Publishing, hash_of
from gre_gateway_email.keys.user_keys import UserKeys
from gre_gateway_email.keys.wkd_server import MAX_AGE, WkdServer
from gre_gateway_email.store.records import User
from gre_openpgp.packets import read_certificate, split_certificates
from gre_openpgp.wkd import WkdOutcome, locate, look_up

from gre_core.errors import NoSuchHost, PeerTimeout
from gre_core.ports import WebAnswer
from gre_core.testing import require

JULIET = User("juliet@localhost", ("Juliet@example.org", "jule@second.example"), publish_key=True)
ROMEO = User("romeo@localhost", ("romeo@example.org",))
ROOT = "/.well-known/openpgpkey"


class Scene:
    def __init__(self, fakes):
        self.pep = fakes.Pep()
        self.clock = fakes.Clock(1000.0)
        self.users = fakes.Users(JULIET, ROMEO)
        keys = UserKeys(self.pep, self.clock)
        self.publishing = Publishing(self.users, keys, ("example.org", "second.example"), self.clock)
        self.server = WkdServer(Http(True, "127.0.0.1", 0), self.publishing, self.clock)
        self.key = fakes.public_key(
            "Juliet <juliet@example.org>", "Jule <jule@second.example>", "xmpp:juliet@localhost"
        )
        self.pep.keys[JULIET.jid] = [self.key]
        self.pep.keys[ROMEO.jid] = [fakes.public_key("romeo@example.org")]

    async def get(self, path, *, method="GET", **headers):
        url = f"http://127.0.0.1:{self.server.port}{path}"
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, url, headers=names, allow_redirects=False) as answer:
            return answer.status, await answer.read(), answer.headers

    async def of(self, address, **headers):
        local, _, domain = address.partition("@")
        return await self.get(f"{ROOT}/{domain}/hu/{hash_of(address)}?l={local}", **headers)


@pytest.fixture
async def scene(fakes):
    made = Scene(fakes)
    await made.server.start()
    async with aiohttp.ClientSession() as made.session:
        yield made
    await made.server.stop()


def test_the_hash_of_the_draft():
    assert hash_of("joe.doe@example.org") == "iy9q119eutrkn8s1mk4r39qejnbu3n5q"


async def test_a_key_is_served_with_the_user_id_of_the_address_only(scene):
    status, body, headers = await scene.of("juliet@example.org")
    assert status == 200
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Cache-Control"] == f"public, max-age={MAX_AGE}, no-transform"
    served = read_certificate(body)
    assert served.user_ids == ("Juliet <juliet@example.org>",)
    assert served.fingerprint == read_certificate(scene.key).fingerprint
    _, body, _ = await scene.of("jule@second.example")
    assert read_certificate(body).user_ids == ("Jule <jule@second.example>",)
    assert (await scene.of("jule@example.org"))[0] == 404


async def test_the_direct_form_takes_the_domain_from_the_host(scene):
    path = f"{ROOT}/hu/{hash_of('jule@second.example')}?l=jule"
    assert (await scene.get(path, Host="second.example"))[0] == 200
    assert (await scene.get(path, Host="SECOND.example:443"))[0] == 200
    assert (await scene.get(path, Host="example.org"))[0] == 404
    assert (await scene.get(path))[0] == 404


async def test_head_says_the_same_without_the_key(scene):
    _, body, _ = await scene.of("juliet@example.org")
    status, nothing, headers = await scene.of("juliet@example.org", method="HEAD")
    assert (status, nothing, int(headers["Content-Length"])) == (200, b"", len(body))


async def test_policy_files(scene):
    for path in (f"{ROOT}/example.org/policy", f"{ROOT}/SECOND.example/policy"):
        status, body, headers = await scene.get(path)
        assert (status, body, headers["Content-Type"]) == (200, b"", "text/plain; charset=utf-8")
    assert (await scene.get(f"{ROOT}/policy", Host="example.org"))[0] == 200
    assert (await scene.get(f"{ROOT}/policy", Host="other.example"))[0] == 404
    assert (await scene.get(f"{ROOT}/other.example/policy"))[0] == 404


async def test_all_who_are_not_published_get_one_and_the_same_answer(scene, fakes):
    scene.users.users["paris@localhost"] = User("paris@localhost", ("paris@example.org",), publish_key=True)
    scene.users.users["tybalt@localhost"] = User(
        "tybalt@localhost", ("tybalt@example.org",), publish_key=True, blocked=True
    )
    scene.users.users["nurse@localhost"] = User("nurse@localhost", ("nurse@example.org",), publish_key=True)
    scene.pep.keys["tybalt@localhost"] = [fakes.public_key("tybalt@example.org")]
    scene.pep.keys["nurse@localhost"] = [fakes.public_key("somebody@example.org")]
    answers = set()
    for name in ("romeo", "unknown", "paris", "tybalt", "nurse"):
        status, body, headers = await scene.of(f"{name}@example.org")
        answers.add((status, body, tuple(key for key in headers if key != "Date")))
    assert [answer[0] for answer in answers] == [404]
    assert (ROMEO.jid, "urn:xmpp:openpgp:0:public-keys") not in scene.pep.asked


@pytest.mark.parametrize(
    "path",
    [
        "/", ROOT, f"{ROOT}/", f"{ROOT}/example.org", f"{ROOT}/example.org/hu/", f"{ROOT}/example.org/hu/short",
        f"{ROOT}/example.org/hu/{'y' * 33}", f"{ROOT}/example.org/hu/..%2f..%2fpolicy", f"{ROOT}/%00/hu/{'y' * 32}",
        f"{ROOT}/example.org/hu/{'y' * 4000}", f"{ROOT}/example.org/hu/{'%E2%80%AE' * 32}",
    ],
)  # fmt: skip
async def test_other_paths_are_not_there(scene, path):
    assert (await scene.get(path))[0] == 404
    assert scene.pep.asked == []


async def test_nothing_but_reading(scene):
    path = f"{ROOT}/example.org/hu/{hash_of('juliet@example.org')}"
    for method in ("POST", "PUT", "DELETE"):
        assert (await scene.get(path, method=method))[0] == 405


# -- changes ------------------------------------------------------------------------------------------


def test_all_that_remembers_together_forgets_within_a_minute():
    users = 10
    assert KEY_AGE + MAX_AGE + users < 60
    assert INDEX_AGE + MAX_AGE + users < 60


async def test_a_revocation_is_seen_within_a_minute_and_the_revoked_key_is_given_last(scene, fakes):
    assert (await scene.of("juliet@example.org"))[0] == 200
    revoked = fakes.public_key("juliet@example.org", revoked=True)
    new = fakes.public_key("juliet@example.org", seed=2)
    scene.pep.keys[JULIET.jid] = [revoked, new]
    scene.clock.now += KEY_AGE
    _, body, _ = await scene.of("juliet@example.org")
    first, second = split_certificates(body)
    assert read_certificate(first).fingerprint == read_certificate(new).fingerprint
    assert second == revoked
    scene.pep.keys[JULIET.jid] = []
    scene.clock.now += KEY_AGE
    assert (await scene.of("juliet@example.org"))[0] == 404


async def test_consent_counts_at_once_when_it_is_taken_back(scene):
    assert (await scene.of("juliet@example.org"))[0] == 200
    for changed in (replace(JULIET, publish_key=False), replace(JULIET, blocked=True), None,
                    replace(JULIET, addresses=("other@example.org",))):  # fmt: skip
        if changed is None:
            del scene.users.users[JULIET.jid]
        else:
            scene.users.users[JULIET.jid] = changed
        assert (await scene.of("juliet@example.org"))[0] == 404


async def test_consent_counts_soon_when_it_is_given(scene):
    assert (await scene.of("romeo@example.org"))[0] == 404
    scene.users.users[ROMEO.jid] = replace(ROMEO, publish_key=True)
    scene.clock.now += INDEX_AGE
    assert (await scene.of("romeo@example.org"))[0] == 200


async def test_a_key_that_may_be_revoked_meanwhile_is_not_served(scene, monkeypatch):
    assert (await scene.of("juliet@example.org"))[0] == 200
    scene.pep.error = PeerTimeout("away")
    assert (await scene.of("juliet@example.org"))[0] == 200
    scene.clock.now += KEY_AGE
    status, _, headers = await scene.of("juliet@example.org")
    assert (status, headers["Cache-Control"]) == (503, "no-store")
    scene.pep.error = None
    scene.clock.now += 10
    assert (await scene.of("juliet@example.org"))[0] == 200


async def test_a_server_that_hangs_is_not_waited_for_long(scene, monkeypatch):
    monkeypatch.setattr(publishing_module, "PATIENCE", 0.05)
    scene.pep.gate.clear()
    async with asyncio.timeout(20):
        assert (await scene.of("juliet@example.org"))[0] == 503


async def test_many_requests_of_one_client_are_put_off(scene, monkeypatch):
    monkeypatch.setattr(wkd_server, "BURST", 3)
    statuses = [(await scene.of("juliet@example.org"))[0] for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    # Behind the operator's web server all come from one address: what that server adds last is who asks.
    assert (await scene.of("juliet@example.org", X_Forwarded_For="198.51.100.7"))[0] == 200
    for forged in range(5):
        status, _, _ = await scene.of("juliet@example.org", X_Forwarded_For=f"10.0.0.{forged}, 198.51.100.8")
    assert status == 429
    scene.clock.now += 60
    assert (await scene.of("juliet@example.org"))[0] == 200


async def test_secret_keys_are_never_served(scene):
    from gre_openpgp.encrypting.keymaking import make_key

    scene.pep.keys[JULIET.jid] = []
    scene.users.users[ROMEO.jid] = replace(ROMEO, publish_key=True)

    class Secret:
        fingerprint = "0" * 40
        data = make_key("romeo@example.org")
        date = ""

    async def published(*_, **__):
        return [Secret]

    scene.publishing._keys.published = published
    assert (await scene.of("romeo@example.org"))[0] == 404


# -- other programs -----------------------------------------------------------------------------------


class LocalWeb:
    """Our own client's port: HTTPS to anybody is HTTP to the server, as the operator's web server passes it on."""

    def __init__(self, scene, *, advanced):
        self.scene, self.advanced = scene, advanced

    async def get(self, url, /, *, max_size):
        parts = urlsplit(url)
        if parts.hostname.startswith("openpgpkey.") and not self.advanced:
            raise NoSuchHost("none")
        status, body, _ = await self.scene.get(f"{parts.path}?{parts.query}", Host=parts.hostname)
        return WebAnswer(status, body)


@pytest.mark.parametrize("advanced", [True, False])
async def test_our_own_client_finds_the_key(scene, advanced):
    answer = await look_up("Juliet@example.org", LocalWeb(scene, advanced=advanced))
    assert [key.fingerprint for key in answer.keys] == [read_certificate(scene.key).fingerprint]
    assert (
        await look_up("romeo@example.org", LocalWeb(scene, advanced=advanced))
    ).outcome is WkdOutcome.NOTHING
    assert locate("juliet@example.org").advanced.endswith(f"{hash_of('juliet@example.org')}?l=juliet")


async def test_gnupg_takes_the_key_with_one_user_id(scene, tmp_path):
    require(shutil.which("gpg"), "GnuPG (apt-get install gpg)")
    _, body, _ = await scene.of("juliet@example.org")
    shown = subprocess.run(
        ["gpg", "--homedir", tmp_path, "--batch", "--with-colons", "--show-keys"],
        input=body, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    lines = [line.split(":") for line in shown.splitlines()]
    assert [line[9] for line in lines if line[0] == "uid"] == ["Juliet <juliet@example.org>"]
    assert next(line[9] for line in lines if line[0] == "fpr") == read_certificate(scene.key).fingerprint
    assert {line[1] for line in lines if line[0] in {"pub", "sub"}} == {"-"}, (
        "valid, not revoked, not expired"
    )

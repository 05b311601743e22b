"""GnuPG at both ends: what it encrypted arrives unchanged, and the Autocrypt header is its key."""

from __future__ import annotations

import asyncio
import base64
import shutil
import subprocess

from gre_core.testing import require

GRE = "{urn:xmpp:gre:0}"


async def publish_key(juliet, key, home):
    """Publish a key on the user's own PEP as XEP-0373 says; give its fingerprint."""
    listing = await asyncio.create_subprocess_exec(
        "gpg",
        "--homedir",
        home,
        "--show-keys",
        "--with-colons",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await listing.communicate(key)
    fingerprint = next(line.split(":")[9] for line in said.decode().splitlines() if line.startswith("fpr"))
    node = "urn:xmpp:openpgp:0:public-keys"
    data = base64.b64encode(key).decode()
    for name, payload in (
        (f"{node}:{fingerprint}", f"<pubkey xmlns='urn:xmpp:openpgp:0'><data>{data}</data></pubkey>"),
        (
            node,
            (
                f"<public-keys-list xmlns='urn:xmpp:openpgp:0'><pubkey-metadata v4-fingerprint='{fingerprint}' "
                "date='2026-11-05T00:00:00Z'/></public-keys-list>"
            ),
        ),
    ):
        answer = await juliet.iq(
            "juliet@localhost",
            f"<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='{name}'><item id='current'>{payload}"
            "</item></publish><publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' "
            "type='hidden'><value>http://jabber.org/protocol/pubsub#publish-options</value></field>"
            "<field var='pubsub#access_model'><value>open</value></field></x></publish-options></pubsub>",
            "set",
        )
        assert answer.get("type") == "result"
    return fingerprint


async def test_what_gnupg_encrypted_reaches_gnupg_unchanged_in_both_directions(
    start, juliet, relay, tmp_path, kit
):
    require(shutil.which("gpg"), "GnuPG (apt-get install gpg)")
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)

    def gpg(*arguments, data=None):
        return subprocess.run(
            ["gpg", "--homedir", home, "--batch", "--quiet", "--trust-model", "always", "--status-fd", "2",
             "--pinentry-mode", "loopback", "--passphrase", "", *arguments],
            input=data, capture_output=True, check=True,
        )  # fmt: skip

    gateway = await start()
    try:
        gpg("--quick-generate-key", "juliet@example.org", "future-default", "default", "never")
        fingerprint = await publish_key(juliet, gpg("--export", "juliet@example.org").stdout, home)
        sealed = gpg("-es", "-r", "juliet@example.org", data=b"Wherefore art thou?").stdout
        juliet.send(kit.message(sealed))
        await juliet.until("{urn:xmpp:receipts}received")
        _, _, mail = await relay.next()
        opened = gpg("-d", data=mail.partition(b"octet-stream")[2])
        assert opened.stdout == b"Wherefore art thou?"
        assert b"GOODSIG" in opened.stderr
        assert b"Wherefore" not in mail
        headers = mail.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b"").split(b"\r\n")
        (autocrypt,) = [line for line in headers if line.startswith(b"Autocrypt: ")]
        assert autocrypt.startswith(b"Autocrypt: addr=juliet@example.org; prefer-encrypt=mutual; keydata=")
        keydata = base64.b64decode(autocrypt.partition(b"keydata=")[2])
        assert fingerprint.encode() in gpg("--show-keys", "--with-colons", data=keydata).stdout
        assert await gateway.deliver(mail) == ["250 2.1.5 Stored"]
        got = await juliet.until(f"{GRE}encrypted")
        assert base64.b64decode(got.findtext(f"{GRE}encrypted")) == sealed
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)

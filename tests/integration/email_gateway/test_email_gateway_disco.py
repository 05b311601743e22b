"""What the gateway says about itself and its contacts, also to another implementation."""

from __future__ import annotations

import base64
import shutil
import subprocess

import pytest

from gre_core.testing import require

DOMAIN = "mail.localhost"
BOB = "bob\\40example.net@mail.localhost"
GRE = "{urn:xmpp:gre:0}"
PAIR = "formatter='urn:xmpp:gre:formatter:mime:0' encrypter='urn:xmpp:gre:encrypter:openpgp:0'"


async def test_the_domain_and_each_contact_announce_the_gateway(start, juliet):
    await start()
    for jid in (DOMAIN, BOB):
        info = await juliet.iq(jid, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
        features = {each.get("var") for each in info[0]}
        assert {
            "urn:xmpp:gre:0", "urn:xmpp:gre:formatter:mime:0", "urn:xmpp:gre:encrypter:openpgp:0", "urn:xmpp:eme:0",
        } <= features  # fmt: skip
        identity = next(each for each in info[0] if each.tag.endswith("identity"))
        assert (identity.get("category"), identity.get("type")) == ("gateway", "smtp")


@pytest.mark.parametrize("strict", [True, False], ids=["encrypted-only", "plain-too"])
async def test_where_only_encrypted_mail_goes_the_data_policy_says_so(start, juliet, strict):
    """XEP-0504: the form of the data policy beside the identity, and GRE's own feature."""
    await start(f"[policy]\nencrypted_only = {str(strict).lower()}\n")
    for jid in (DOMAIN, BOB):
        info = await juliet.iq(jid, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
        only = any(each.get("var") == "urn:xmpp:gre:encrypted_only:0" for each in info[0])
        fields = {each.get("var"): [v.text for v in each] for each in info.iter("{jabber:x:data}field")}
        policy = {"FORM_TYPE": ["urn:xmpp:data-policy:0"], "data_transmission": ["gre"]}
        assert (only, fields) == ((True, policy) if strict else (False, {}))


async def test_the_data_form_has_sender_domain_and_size_limit(start, juliet):
    await start()
    answer = await juliet.iq(BOB, f"<data xmlns='urn:xmpp:gre:0' {PAIR}/>")
    fields = {each.get("var"): [v.text for v in each] for each in answer.iter("{jabber:x:data}field")}
    assert fields["FORM_TYPE"] == ["urn:xmpp:gre:data"]
    assert fields["sender_id"] == ["juliet@example.org"]
    assert fields["{urn:xmpp:gre:formatter:mime:0}domain"] == ["example.org"]
    assert int(fields["{urn:xmpp:gre:limits:0}max-size"][0]) > 400_000
    assert "{urn:xmpp:gre:encrypter:openpgp:0}fingerprints" in fields


async def test_keys_of_contacts_are_served_from_the_key_directory(start, juliet, tmp_path, kit):
    require(shutil.which("gpg"), "GnuPG (apt-get install gpg)")
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    (tmp_path / "keys").mkdir()

    def gpg(*arguments, **options):
        return subprocess.run(
            ["gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", *arguments],
            capture_output=True, check=True, **options,
        ).stdout  # fmt: skip

    gpg("--passphrase", "", "--quick-generate-key", "Bob <bob@example.net>", "ed25519", "sign", "never")
    public = gpg("--export", "bob@example.net")
    (tmp_path / "keys" / "bob.gpg").write_bytes(public)
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
    await start('[keys]\ndirectory = "keys"')
    node = "urn:xmpp:openpgp:0:public-keys"
    query = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='{}'/></pubsub>"
    listed = await juliet.iq(BOB, query.format(node))
    (entry,) = listed.iter("{urn:xmpp:openpgp:0}pubkey-metadata")
    fingerprint = entry.get("v4-fingerprint")
    assert fingerprint.encode() in gpg("--with-colons", "--fingerprint")
    key = await juliet.iq(BOB, query.format(f"{node}:{fingerprint}"))
    assert base64.b64decode(next(key.iter("{urn:xmpp:openpgp:0}data")).text) == public
    form = await juliet.iq(BOB, f"<data xmlns='urn:xmpp:gre:0' {PAIR}/>")
    fields = {each.get("var"): [v.text for v in each] for each in form.iter("{jabber:x:data}field")}
    assert fields["{urn:xmpp:gre:encrypter:openpgp:0}fingerprints"] == [fingerprint]
    missing = await juliet.iq("eve\\40example.net@mail.localhost", query.format(node))
    assert kit.error_of(missing)[1] == "item-not-found"
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)

"""A user may be stricter than the gateway, never laxer."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from gre_core.errors import Refused
from gre_core.gateway import GatewayEngine
from gre_core.namespaces import ENCRYPTED_ONLY
from gre_core.slixmpp.caps import Announced, caps_version
from gre_core.testing.fakes import run, toy_encrypter, toy_formatter

DOMAIN, STRICT, LAX = "mail.example.net", "strict@example.org", "lax@example.org"
CONTACT = rf"bob\40example.com@{DOMAIN}"
PAIR = (toy_formatter().namespace, toy_encrypter().namespace)
POLICY = "urn:xmpp:data-policy:0"


async def sender_id(user):
    return f"{user.partition('@')[0]}@capulet.example" if user in {STRICT, LAX} else None


async def wants(user):
    return user == STRICT


def engine(**options):
    return GatewayEngine(DOMAIN, [PAIR], **{"sender_id": sender_id, "encrypted_only_for": wants, **options})


def plain(user):
    return ET.fromstring(
        f"<message xmlns='jabber:client' from='{user}/a' to='{CONTACT}' id='1'><body>hi</body></message>"
    )


def test_plain_messages_of_the_user_are_refused_with_a_text_and_those_of_others_taken():
    with pytest.raises(Refused) as refused:
        run(engine().accept(plain(STRICT)))
    assert (refused.value.condition, refused.value.error_type) == ("policy-violation", "modify")
    assert "policy" in refused.value.text
    assert run(engine().accept(plain(LAX))).text == "hi"


def test_a_user_cannot_be_laxer_than_the_gateway():
    strict = engine(encrypted_only=True)
    assert run(strict.takes_only_encrypted(LAX))
    assert ENCRYPTED_ONLY in strict.features()
    with pytest.raises(Refused):
        run(strict.accept(plain(LAX)))


def test_who_is_not_registered_learns_nothing_of_policies():
    for user in ("eve@example.org", "nobody@example.org"):
        with pytest.raises(Refused) as refused:
            run(engine().accept(plain(user)))
        assert refused.value.condition == "registration-required"


def test_a_policy_that_cannot_be_looked_up_lets_nothing_pass():
    async def broken(_user):
        raise OSError("disk")

    with pytest.raises(Refused) as refused:
        run(engine(encrypted_only_for=broken).accept(plain(LAX)))
    assert (refused.value.condition, refused.value.error_type) == ("internal-server-error", "wait")
    assert "disk" not in refused.value.text


def test_feature_form_and_hash_belong_together():
    announced = Announced(engine(), ("gateway", "smtp", "Mail"))
    announced.add(["urn:a", "urn:a"])
    announced.add(["urn:b"], gateway=False, contacts=True)
    seen = {}
    for contact in (False, True):
        for strict in (False, True):
            info = announced.info(contact=contact, encrypted_only=strict)
            features = [each.get("var") for each in info if each.tag.endswith("feature")]
            assert len(features) == len(set(features))
            assert (ENCRYPTED_ONLY in features) == (POLICY in ET.tostring(info, encoding="unicode")) == strict
            assert ("urn:a" in features, "urn:b" in features) == (not contact, contact)
            version = announced.version(contact=contact, encrypted_only=strict)
            assert version == caps_version(info)
            seen[version] = contact, strict
    assert len(seen) == 4
    for version, (contact, _) in seen.items():
        node = f"urn:xmpp:gre:gateway#{version}"
        assert caps_version(announced.of_node(node, contact=contact)) == version
        assert announced.of_node(node, contact=not contact) is None


def test_an_error_may_have_a_condition_of_its_own():
    error = Refused("no", condition="bad-request", detail=("urn:x", "bad-action"))
    answer = GatewayEngine.error(plain(LAX), error)
    element = next(iter(answer))
    assert [each.tag.rpartition("}")[2] for each in element] == ["bad-request", "text", "bad-action"]
    assert element[2].tag == "{urn:x}bad-action"

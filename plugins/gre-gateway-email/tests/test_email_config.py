"""The configuration file: a small one works, and each mistake is named with its place."""

from __future__ import annotations

import pytest
from gre_gateway_email.config import ConfigError, load

SMALL = """
[xmpp]
domain = "mail.example.org"
secret = "s3cret"

[smtp]
host = "relay.example.org"

[users]
"Juliet@example.org" = "juliet@xmpp.example"
"""


@pytest.fixture
def write(tmp_path):
    def write_file(text):
        path = tmp_path / "gateway.toml"
        path.write_text(text)
        return path

    return write_file


def test_a_small_file_gets_safe_defaults(write, tmp_path):
    config = load(write(SMALL))
    assert (config.xmpp.host, config.xmpp.port) == ("127.0.0.1", 5347)
    assert (config.smtp.port, config.smtp.tls, config.smtp.connections) == (25, "none", 4)
    assert (config.listen.protocol, config.listen.host) == ("lmtp", "127.0.0.1")
    assert config.state == tmp_path / "state"
    assert config.keys.directory is None
    assert config.plugins == ("gre-openpgp",)
    assert config.encrypted_only is False
    assert config.max_encrypted < config.limits.max_stanza == 512 * 1024
    assert config.users == (("Juliet@example.org", "juliet@xmpp.example"),)
    assert config.mail.domains == ("example.org",)


def test_secrets_show_in_no_repr(write):
    config = load(write(SMALL))
    assert "s3cret" not in repr(config)


def test_secrets_may_stand_in_files(write, tmp_path):
    (tmp_path / "hidden").write_text("from-file\n")
    config = load(write(SMALL.replace('secret = "s3cret"', 'secret_file = "hidden"')))
    assert config.xmpp.secret == "from-file"


def test_the_first_address_of_a_user_is_the_one_he_sends_from(write):
    config = load(write(SMALL + '"info@example.org" = "juliet@xmpp.example"\n'))
    assert config.users[0] == ("Juliet@example.org", "juliet@xmpp.example")
    assert ("info@example.org", "juliet@xmpp.example") in config.users


MISTAKES = {
    "no table": ("", "[xmpp] is missing"),
    "no users": (SMALL.partition("[users]")[0], "[mail] domains is missing"),
    "no domain": (SMALL.replace("domain", "domane"), "[xmpp] domain is missing"),
    "unknown key": (SMALL.replace("[smtp]", "[smtp]\nhots = 1"), "[smtp] hots is not known; known here:"),
    "unknown table": (SMALL + "[smpt]\nport = 1", "smpt is not known"),
    "port a text": (
        SMALL.replace("[smtp]", '[smtp]\nport = "25"'),
        "[smtp] port has to be a whole number from 1 to 65535",
    ),
    "port true": (SMALL.replace("[smtp]", "[smtp]\nport = true"), "not true"),
    "port too high": (SMALL.replace("[smtp]", "[smtp]\nport = 70000"), "not 70000"),
    "wrong choice": (SMALL.replace("[smtp]", '[smtp]\ntls = "yes"'), 'one of "none", "starttls", "implicit"'),
    "user alone": (
        SMALL.replace("[smtp]", '[smtp]\nuser = "u"'),
        "[smtp] user has to be given together with password",
    ),
    "two secrets": (SMALL.replace("secret = ", 'secret_file = "x"\nsecret = '), "are both given"),
    "no secret": (SMALL.replace('secret = "s3cret"', ""), "[xmpp] secret has to be given, or secret_file"),
    "no secret file": (SMALL.replace('secret = "s3cret"', 'secret_file = "no"'), "cannot be read"),
    "domain is a user": (SMALL.replace("mail.example.org", "a@example.org"), "a domain without @"),
    "no address": (SMALL.replace("Juliet@example.org", "a,b@example.org"), "is not a mail address"),
    "no JID": (SMALL.replace("juliet@xmpp.example", "juliet@@"), "the bare JID of a user"),
    "full JID": (SMALL.replace("juliet@xmpp.example", "juliet@xmpp.example/r"), "the bare JID of a user"),
    "domain as user": (SMALL.replace("juliet@xmpp.example", "xmpp.example"), "the bare JID of a user"),
    "address twice": (SMALL + '"juliet@example.org" = "x@xmpp.example"', "stands there twice"),
    "a text for a list": (SMALL + '[plugins]\nallow = "gre-openpgp"', "a list of texts"),
    "text for true": (SMALL + '[policy]\nencrypted_only = "yes"', "true or false"),
    "not TOML": ("[xmpp", "is not TOML"),
    "table is a value": ("xmpp = 1\n", "xmpp has to be a table"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named_with_file_table_and_key(write, mistake):
    text, expected = MISTAKES[mistake]
    path = write(text)
    with pytest.raises(ConfigError) as error:
        load(path)
    assert expected in error.value.text
    assert str(path) in error.value.text
    assert "s3cret" not in error.value.text


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "no.toml")


def test_a_file_that_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "latin.toml"
    path.write_bytes(b"x = '\xe4'")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load(path)

"""The configuration file: a small one works, and each mistake is named with its place."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest
from gre_gateway_email.config import ConfigError, load, read

README = Path(__file__).parents[1] / "README.md"
ROW = re.compile(r"^\| (?:`\[(\w+)\]`)? ?\| (.*?) \| (.*?) ?\| .*\|$", re.MULTILINE)

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
    "no table": ("", "the table [xmpp] is missing"),
    "no users": (SMALL.partition("[users]")[0], "[mail] domains is missing"),
    "no domain": (
        SMALL.replace("domain", "domane"),
        ':3: [xmpp] domane is not known: did you mean "domain"? [xmpp] domain is missing',
    ),
    "unknown key": (
        SMALL.replace("[smtp]", "[smtp]\nhots = 1"),
        ':7: [smtp] hots is not known: did you mean "host"?',
    ),
    "unknown table": (SMALL + "[smpt]\nport = 1", 'smpt is not known: did you mean "smtp"?'),
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
    "not TOML": ("\n\n[xmpp", "gateway.toml:3: is not TOML"),
    "line of a key": (
        SMALL.replace("[smtp]", 'files.hosts = """\n[smtp]\nport = 0"""\n[smtp] # relay\nport = 0'),
        "gateway.toml:10: [smtp] port has to be",
    ),
    "line of a list": (
        SMALL + '[admin]\n"jids" = [\n  "a@b",\n  ""\n]',
        "gateway.toml:12: [admin] jids has to be",
    ),
    "line of a table": (
        SMALL.replace('secret = "s3cret"', ""),
        "gateway.toml:2: [xmpp] secret has to be given",
    ),
    "table is a value": ("xmpp = 1\n", "xmpp has to be a table"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named_with_file_table_and_key(write, mistake):
    text, expected = MISTAKES[mistake]
    path = write(text)
    with pytest.raises(ConfigError) as error:
        load(path, {})
    assert expected in error.value.text
    assert str(path) in error.value.text
    assert "s3cret" not in error.value.text


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read.*`gre-email-gateway init` writes one"):
        load(tmp_path / "no.toml")


def test_a_file_that_only_root_may_read_says_so(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied; use root"):
        load(tmp_path / "gateway.toml")


def test_a_file_that_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "latin.toml"
    path.write_bytes(b"x = '\xe4'")
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load(path)


def problems_of(path, environ=None):
    with pytest.raises(ConfigError) as error:
        load(path, environ or {})
    return [line.removeprefix(f"{path}") for line in error.value.text.splitlines()]


def test_all_mistakes_are_told_at_once(write):
    text = (
        SMALL.replace("[smtp]", '[smtp]\nport = 0\ntls = "maybe"') + "[limits]\nqueue = -1\nqueu = 2\n[lgo]\n"
    )
    assert problems_of(write(text)) == [
        ":7: [smtp] port has to be a whole number from 1 to 65535, not 0",
        ':8: [smtp] tls has to be one of "none", "starttls", "implicit", not \'maybe\'',
        ":14: [limits] queue has to be a whole number from 1 to 10000000, not -1",
        ':15: [limits] queu is not known: did you mean "queue"?',
        ':16: lgo is not known: did you mean "log"?',
    ]


def test_a_secret_that_is_written_wrongly_is_recognised(write):
    text = SMALL.replace('secret = "s3cret"', 'secrt = "s3cret"\nport = 0')
    assert problems_of(write(text)) == [
        ":2: [xmpp] secret has to be given, or secret_file",
        ':4: [xmpp] secrt is not known: did you mean "secret"?',
        ":5: [xmpp] port has to be a whole number from 1 to 65535, not 0",
    ]


def test_the_environment_goes_before_the_file(write, tmp_path):
    (tmp_path / "hidden").write_text("from-file\n")
    config = load(
        write(SMALL),
        {
            "GRE_EMAIL_SMTP_PORT": "2525",
            "GRE_EMAIL_SMTP_TLS": "starttls",
            "GRE_EMAIL_POLICY_ENCRYPTED_ONLY": "yes",
            "GRE_EMAIL_MAIL_DOMAINS": "example.org, example.net",
            "GRE_EMAIL_XMPP_SECRET_FILE": str(tmp_path / "hidden"),
            "GRE_EMAIL_DATABASE_URL": "postgresql+asyncpg://gre:pw@db/gre",
            "GRE_EMAIL_CONFIG": "elsewhere",
            "PATH": "/bin",
        },
    )
    assert (config.smtp.port, config.smtp.tls, config.encrypted_only) == (2525, "starttls", True)
    assert config.mail.domains == ("example.org", "example.net")
    assert config.xmpp.secret == "from-file"
    assert config.database == "postgresql+asyncpg://gre:pw@db/gre"


def test_tables_may_stand_in_the_environment_alone(write):
    environ = {
        "GRE_EMAIL_XMPP_DOMAIN": "mail.example.org",
        "GRE_EMAIL_XMPP_SECRET": "s3cret",
        "GRE_EMAIL_MAIL_DOMAINS": "example.org",
    }
    config = load(write(""), environ)
    assert (config.xmpp.domain, config.xmpp.secret) == ("mail.example.org", "s3cret")


def test_mistakes_in_the_environment_name_the_variable(write):
    environ = {"GRE_EMAIL_SMTP_PORT": "many", "GRE_EMAIL_SMTP_HOTS": "x", "GRE_EMAIL_XMPP_SECRET": "a\tb"}
    assert problems_of(write(SMALL), environ) == [
        ": [xmpp] secret (GRE_EMAIL_XMPP_SECRET in the environment) has to be a text of one line",
        ": [smtp] port (GRE_EMAIL_SMTP_PORT in the environment) has to be a whole number from 1 to 65535, not 'many'",
        'GRE_EMAIL_SMTP_HOTS in the environment is not known: did you mean "GRE_EMAIL_SMTP_HOST"?',
    ]


def test_credentials_of_systemd_go_before_the_file(write, tmp_path):
    (tmp_path / "xmpp_secret").write_text("from-systemd\n")
    path = write(SMALL.replace('secret = "s3cret"', 'secret_file = "only-root-can-read-this"'))
    config = load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert config.xmpp.secret == "from-systemd"
    assert (
        load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path), "GRE_EMAIL_XMPP_SECRET": "e"}).xmpp.secret == "e"
    )


def test_the_file_itself_may_be_a_credential_and_keeps_its_name(write, tmp_path):
    path = write("this is not read")
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "gateway.toml").write_text(SMALL)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    config = load(path, environ)
    assert (config.path, config.state) == (path, tmp_path / "state")
    (tmp_path / "credentials" / "gateway.toml").write_text(SMALL.replace("[smtp]", "[smtp]\nport = 0"))
    assert problems_of(path, environ)[0].startswith(":7: [smtp] port")


def test_secrets_that_everybody_can_read_are_warned_about(write, tmp_path):
    path = write(SMALL)
    path.chmod(0o644)
    (warning,) = load(path, {}).warnings
    assert warning == f"{path} holds [xmpp] secret, and everybody can read it: chmod o-rwx {path}"
    path.chmod(0o640)
    assert load(path, {}).warnings == ()
    hidden = tmp_path / "hidden"
    hidden.write_text("x")
    hidden.chmod(0o604)
    path = write(SMALL.replace('secret = "s3cret"', 'secret_file = "hidden"'))
    assert load(path, {}).warnings == (
        f"{hidden} holds a secret, and everybody can read it: chmod o-rwx {hidden}",
    )


def documented():
    """(table, key) -> default as it stands in the README."""
    found = {}
    table = ""
    for row in ROW.finditer(README.read_text()):
        table = row[1] or table
        if table:
            found |= {(table, key): row[3] for key in re.findall(r"`(\w+)`", row[2])}
    return found


def test_the_readme_lists_exactly_the_keys_that_there_are_with_their_defaults(write):
    _, sources = read(write(SMALL.partition("[users]")[0] + '[mail]\ndomains = ["example.org"]'), {})
    rows = documented()
    assert set(sources.keys) == set(rows)
    for place, key in sources.keys.items():
        shown = (
            str(key.default).lower() if isinstance(key.default, bool) else str(key.default).replace("'", '"')
        )
        given = rows[place].strip("`")
        if not given.startswith(("by ", "those ", "SQLite")):
            assert given == shown or (not given and key.default is None), place

"""What ``init`` has to know, with defaults that suit most machines; each is an option too."""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gre_core.errors import InvalidAddress
from gre_gateway_email.config import ConfigError
from gre_gateway_email.config.toml_table import MAX_PORT
from gre_gateway_email.mail.addresses import check_address

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

SERVERS: Final = ("prosody", "ejabberd")
NOBODY: Final = "nobody"
EXAMPLE_DOMAIN: Final = "example.org"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to know.

    Arguments:
        name: of the option, without dashes, and of the answer.
        text: what is asked.
        default: from the answers so far.
        check: gives the answer as it is used; ValueError says what is wrong with it.
        help: of the option.
    """

    name: str
    text: str
    default: Callable[[Mapping[str, str]], str]
    check: Callable[[str], str]
    help: str


def own_domain() -> str:
    """Give the domain of this machine, or that of examples when it has none."""
    domain = socket.getfqdn().partition(".")[2].rstrip(".").lower()
    try:
        return _domain(domain)
    except ValueError:
        return EXAMPLE_DOMAIN


def _domain(text: str) -> str:
    domain = text.strip().lower().rstrip(".")
    try:
        check_address(f"postmaster@{domain}")
    except InvalidAddress:
        raise ValueError("that is no domain, such as example.org") from None
    if "." not in domain and domain != "localhost":
        raise ValueError("that is no domain, such as example.org")
    return domain


def _domains_or_nobody(text: str) -> str:
    if text.strip().lower() in {NOBODY, "none", ""}:
        return NOBODY
    return ",".join(_domain(one) for one in text.split(","))


def _jid_or_nobody(text: str) -> str:
    if text.strip().lower() in {NOBODY, "none", ""}:
        return NOBODY
    local, at, domain = text.strip().partition("@")
    if not local or not at or any(one in text for one in " \"/'<>"):
        raise ValueError("that is no JID, such as admin@example.org")
    return f"{local}@{_domain(domain)}"


def _choice(text: str) -> str:
    if text.strip().lower() not in SERVERS:
        raise ValueError(f"one of {', '.join(SERVERS)}")
    return text.strip().lower()


def _yes_or_no(text: str) -> str:
    word = text.strip().lower()
    if word in {"y", "yes", "true"}:
        return "yes"
    if word in {"n", "no", "false"}:
        return "no"
    raise ValueError("yes or no")


def _host_and_port(text: str) -> str:
    host, colon, port = text.strip().rpartition(":")
    if not colon or "]" in port:
        host, port = text.strip(), ""
    host = host.strip("[]")
    if not host or any(one.isspace() or one in "\"'\\" for one in host):
        raise ValueError("a host, or host:port")
    if port and not (port.isdigit() and 0 < int(port) <= MAX_PORT):
        raise ValueError(f"the port is a number from 1 to {MAX_PORT}")
    return f"{host}:{port or (25 if host in _LOOPBACK else 587)}"


def _port(text: str) -> str:
    if not (text.isdigit() and 0 < int(text) <= MAX_PORT):
        raise ValueError(f"a number from 1 to {MAX_PORT}")
    return text


QUESTIONS: Final = (
    Question(
        "server",
        "Which XMPP server do you run (prosody, ejabberd)?",
        lambda _: "ejabberd" if shutil.which("ejabberdctl") and not shutil.which("prosody") else "prosody",
        _choice,
        "XMPP server: prosody or ejabberd",
    ),
    Question(
        "xmpp-domain",
        "Which domain do your users have in their JIDs?",
        lambda _: own_domain(),
        _domain,
        "domain of your users' JIDs",
    ),
    Question(
        "component",
        "Which domain shall the gateway have on the XMPP server (one of its own)?",
        lambda answers: f"email.{answers['xmpp-domain']}",
        _domain,
        "the gateway's own domain on the XMPP server",
    ),
    Question(
        "mail-domain",
        "Which mail domain shall the gateway own, with all its addresses?",
        lambda answers: answers["xmpp-domain"],
        _domain,
        "mail domain that the gateway owns",
    ),
    Question(
        "relay",
        "Where is Postfix (host or host:port)?",
        lambda _: "127.0.0.1:25",
        _host_and_port,
        "Postfix: host or host:port",
    ),
    Question(
        "before-queue",
        "Is all mail on port 25 of Postfix for that domain, so that it can ask the gateway about each (yes, no)?",
        lambda _: "no",
        _yes_or_no,
        "all mail on port 25 is for that domain, so Postfix asks the gateway before it takes one: yes or no",
    ),
    Question(
        "encrypted-only",
        "Refuse all mail that is not encrypted (yes, no)?",
        lambda _: "no",
        _yes_or_no,
        "refuse all mail that is not encrypted: yes or no",
    ),
    Question(
        "register",
        "Users of which XMPP domains may register (domains with commas, or nobody)?",
        lambda answers: answers["xmpp-domain"],
        _domains_or_nobody,
        "XMPP domains whose users may register, with commas, or: nobody",
    ),
    Question(
        "admin",
        "Who may administrate the gateway from an XMPP client (a JID, or nobody)?",
        lambda _: NOBODY,
        _jid_or_nobody,
        "JID that may use the commands for admins, or: nobody",
    ),
)
"""Asked in this order."""

SILENT: Final = (
    Question("xmpp-port", "", lambda _: "5347", _port, "component port of the XMPP server"),
    Question(
        "listen-port", "", lambda _: "2424", _port, "port on which Postfix delivers mail to the gateway"
    ),
    Question("http-port", "", lambda _: "8095", _port, "port of metrics and health"),
    Question(
        "wkd", "", lambda _: "no", _yes_or_no, "publish the keys of users who agree (needs HTTPS): yes or no"
    ),
)
"""Options that are not asked for."""


def ask(
    options: argparse.Namespace, say: Callable[[str], None], listen: Callable[[str], str]
) -> dict[str, str]:
    """Give all answers: of the options, else of the person, else the defaults.

    Arguments:
        options: of the command; ``yes`` takes defaults for what was not given.
        say: shows a line.
        listen: shows a question and gives what was typed.

    Raises:
        ConfigError: an option is wrong, or nobody is there to answer.
    """
    answers: dict[str, str] = {}
    for question in (*QUESTIONS, *SILENT):
        given = getattr(options, question.name.replace("-", "_"))
        default = question.default(answers)
        if given is not None:
            try:
                answers[question.name] = question.check(given)
            except ValueError as error:
                raise ConfigError(f"--{question.name} {given}: {error}") from None
        elif options.yes or question in SILENT:
            answers[question.name] = question.check(default)
        else:
            answers[question.name] = _ask_one(question, default, say, listen)
    return answers


def _ask_one(
    question: Question, default: str, say: Callable[[str], None], listen: Callable[[str], str]
) -> str:
    while True:
        try:
            typed = listen(f"{question.text} [{default}] ").strip()
        except EOFError:
            raise ConfigError(
                f"nobody answers: give --{question.name}, or --yes to take what is in brackets"
            ) from None
        try:
            return question.check(typed or default)
        except ValueError as error:
            say(f"  {error}")

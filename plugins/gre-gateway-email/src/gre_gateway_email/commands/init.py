"""``gre-email-gateway init``: writes a configuration with comments, a secret, and what the other servers need."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Final

from gre_gateway_email.commands.options import FOLDER
from gre_gateway_email.commands.questions import EXAMPLE_DOMAIN, NOBODY, ask
from gre_gateway_email.config import ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

INIT_AGAIN: Final = "gre-email-gateway init --force --xmpp-domain YOUR.DOMAIN"
BEFORE_QUEUE_PORT: Final = "10025"
"""Of Postfix, for what the gateway sends, where port 25 asks the gateway."""
SECRET_FILE: Final = "component-secret"  # noqa: S105 - its name
SNIPPETS: Final = (
    "prosody.cfg.lua",
    "ejabberd.yml",
    "postfix-main.cf",
    "postfix-before-queue.sh",
    "gre-email-gateway.service",
    "nginx-wkd.conf",
)
"""Made from the answers."""

COPIES: Final = ("Containerfile", "prometheus-alerts.yml", "grafana-dashboard.json")
"""Taken as they are."""

_WITH_SECRET: Final = ("prosody.cfg.lua", "ejabberd.yml")
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{20,200}")


def run(options: argparse.Namespace) -> int:
    """Ask, write, and say what comes next.

    Raises:
        ConfigError: a file is there already, or an answer is wrong.
    """
    folder: Path = options.output.absolute()
    _refuse_to_overwrite(folder, force=options.force)
    answers = ask(options, _say, input)
    guessed = options.yes and not options.xmpp_domain and answers["xmpp-domain"] == EXAMPLE_DOMAIN
    secret = _secret(folder)
    values = _values(folder, answers, secret)
    files = {"gateway.toml": (_filled("gateway.toml", values), 0o640), SECRET_FILE: (secret + "\n", 0o600)}
    for name in SNIPPETS:
        files[f"snippets/{name}"] = _filled(name, values), 0o600 if name in _WITH_SECRET else 0o644
    for name in COPIES:
        files[f"snippets/{name}"] = _source(name), 0o644
    try:
        for sub in ("", "snippets", "keys"):
            (folder / sub).mkdir(mode=0o755, parents=True, exist_ok=True)
        for name, (text, mode) in files.items():
            _write(folder / name, text, mode)
    except OSError as error:
        raise ConfigError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    for name in files:
        _say(f"wrote {folder / name}")
    for line in _next_steps(folder, answers, guessed=guessed):
        _say(line)
    return 0


def _refuse_to_overwrite(folder: Path, *, force: bool) -> None:
    names = ["gateway.toml", *(f"snippets/{name}" for name in (*SNIPPETS, *COPIES))]
    there = [str(folder / name) for name in names if (folder / name).exists()]
    if there and not force:
        raise ConfigError(
            f"{there[0]} is there already, and nothing was changed: --force writes it anew, --output FOLDER elsewhere"
        )


def _secret(folder: Path) -> str:
    """Give the secret that is there, which the XMPP server may know already, or a new one."""
    try:
        there = (folder / SECRET_FILE).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        there = ""
    return there if _SECRET.fullmatch(there) else secrets.token_urlsafe(32)


def _values(folder: Path, answers: Mapping[str, str], secret: str) -> dict[str, str]:
    host, _, port = answers["relay"].rpartition(":")
    here = host in {"127.0.0.1", "localhost", "::1"}
    before = answers["before-queue"] == "yes"
    if before and here and port == "25":
        port = BEFORE_QUEUE_PORT
    listen = answers["listen-port"]
    installed = str(folder).startswith("/etc/")
    return {
        "component": answers["component"],
        "xmpp_domain": answers["xmpp-domain"],
        "mail_domain": answers["mail-domain"],
        "server_name": answers["server"],
        "xmpp_host": "127.0.0.1",
        "xmpp_port": answers["xmpp-port"],
        "relay_host": host,
        "relay_port": port,
        "relay_tls": "none" if here else "implicit" if port == "465" else "starttls",
        "listen_protocol": "smtp" if before else "lmtp",
        "listen_host": "127.0.0.1",
        "listen_port": listen,
        "virtual_transport": f"smtp:[127.0.0.1]:{listen}" if before else f"lmtp:inet:127.0.0.1:{listen}",
        "http_port": answers["http-port"],
        "encrypted_only": _flag(answers["encrypted-only"]),
        "wkd": _flag(answers["wkd"]),
        "servers": _list(answers["register"]),
        "admins": _list(answers["admin"]),
        "state": "/var/lib/gre-email-gateway" if installed else "state",
        "secret": secret,
        "program": program(),
        "config": str(folder / "gateway.toml"),
        "folder": str(folder),
    }


def program() -> str:
    """Give the path of this command, for the service."""
    beside = Path(sys.executable).with_name("gre-email-gateway")
    return str(beside) if beside.exists() else shutil.which("gre-email-gateway") or "gre-email-gateway"


def _flag(answer: str) -> str:
    return "true" if answer == "yes" else "false"


def _list(answer: str) -> str:
    return "" if answer == NOBODY else ", ".join(f'"{one}"' for one in answer.split(","))


def _source(name: str) -> str:
    return (resources.files("gre_gateway_email") / "deploy" / name).read_text("utf-8")


def _filled(name: str, values: Mapping[str, str]) -> str:
    return Template(_source(name)).substitute(values)


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file beside and move it to its place, so that it never is there half, or readable for others."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
        os.fchmod(descriptor, mode)
        stream.write(text)
    beside.replace(path)


def _next_steps(folder: Path, answers: Mapping[str, str], *, guessed: bool) -> list[str]:
    snippets = folder / "snippets"
    config = "" if folder == FOLDER else f" --config {folder}/gateway.toml"
    server = answers["server"]
    if server == "prosody":
        xmpp = [
            f"cp {snippets}/prosody.cfg.lua /etc/prosody/conf.d/gre-email-gateway.cfg.lua",
            "chown root:prosody /etc/prosody/conf.d/gre-email-gateway.cfg.lua",
            "chmod 640 /etc/prosody/conf.d/gre-email-gateway.cfg.lua",
            "systemctl restart prosody",
        ]
    else:
        xmpp = [
            f"take {snippets}/ejabberd.yml into /etc/ejabberd/ejabberd.yml",
            "ejabberdctl reload_config",
        ]
    postfix = [f"grep '^[a-z]' {snippets}/postfix-main.cf | xargs -d '\\n' postconf -e"]
    if answers["before-queue"] == "yes":
        postfix.append(f"sh {snippets}/postfix-before-queue.sh")
    postfix.append("systemctl restart postfix")
    steps: list[tuple[str, list[str]]] = []
    if guessed:
        steps.append(("Say your own domain, this machine has none:", [f"{INIT_AGAIN} --output {folder}"]))
    steps += [
        (f"Tell {server} about the gateway:", xmpp),
        ("Tell Postfix about the gateway:", postfix),
        ("See whether all is right:", [f"gre-email-gateway check{config}"]),
        (
            "Start it, now and at each boot:",
            [
                f"cp {snippets}/gre-email-gateway.service /etc/systemd/system/",
                "systemctl daemon-reload",
                "systemctl enable --now gre-email-gateway",
            ],
        ),
        ("Look at it:", [f"gre-email-gateway status{config}"]),
    ]
    lines = ["", "What comes next:"]
    for number, (text, commands) in enumerate(steps, start=1):
        lines += [f"{number}. {text}", *(f"     {command}" for command in commands)]
    if answers["register"] == NOBODY:
        lines += ["", f"Nobody may register: add your users under [users] in {folder}/gateway.toml."]
    else:
        lines += [
            "",
            f"Then users of {answers['register']} register with {answers['component']} in their client.",
        ]
    return lines


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()

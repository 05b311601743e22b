"""Try one installed package: ``python -I exercise.py PACKAGE [--alone]``. Needs nothing but that package.

With ``--alone`` the environment holds only what the package itself asks for, and what must not be there is
looked for. Run by the nox sessions ``core_only`` and ``packages``.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import pkgutil
import subprocess
import sys
import sysconfig
from base64 import b64decode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING

import gre_core
from gre_core import (
    DataForm,
    Direction,
    Item,
    MemoryStore,
    Message,
    Namespace,
    NegotiationError,
    Plugins,
    Ports,
    Question,
    Recipient,
    Signature,
    negotiate,
)
from gre_core.api import Attachment, OpenJob, Preparing, SealJob
from gre_core.errors import PeerError
from gre_core.negotiation import read_features

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from xml.etree.ElementTree import Element

    from gre_core.ports import AccessModel

MIME = Namespace.parse("urn:xmpp:gre:formatter:mime:0")
EXAMPLE = Namespace.parse("urn:xmpp:gre:formatter:example:0")
OPENPGP = Namespace.parse("urn:xmpp:gre:encrypter:openpgp:0")
SEQUOIA, PGPY = "gre-encrypter-openpgp", "gre-encrypter-openpgp-pgpy"
JULIET = Recipient("juliet@capulet.example", "juliet@mail.example")


# -- what the packages do --------------------------------------------------------------------------


def core() -> None:
    """The core alone imports and negotiates; without slixmpp, aiohttp or a plugin."""
    for module in pkgutil.walk_packages(gre_core.__path__, "gre_core."):
        if not module.name.startswith(("gre_core.slixmpp", "gre_core.testing", "gre_core.web")):
            importlib.import_module(module.name)
    offer = read_features(["urn:xmpp:gre:0", str(MIME), str(OPENPGP), "urn:xmpp:gre:formatter:x:00"])
    agreement = negotiate([MIME], [OPENPGP], offer)
    assert agreement.pair == (MIME, OPENPGP), agreement
    try:
        negotiate([], [OPENPGP], offer)
    except NegotiationError as error:
        assert "gre-formatter-mime" in str(error), error  # noqa: PT017 - there is no pytest here
        return
    raise AssertionError("it negotiated a formatter that is not there")


def _plugins(openpgp: str = "") -> Plugins:
    """Load what is installed. Where both packages for OpenPGP are, one has to be named."""
    installed = {point.dist.name for point in entry_points(group="gre.v1") if point.dist is not None}
    wanted = openpgp or (SEQUOIA if {SEQUOIA, PGPY} <= installed else "")
    return Plugins.discover(strict=True, prefer={OPENPGP: wanted} if wanted else {})


def mime() -> None:
    """The formatter for mail."""
    formatter(MIME)


def example() -> None:
    """The formatter of the tutorial."""
    formatter(EXAMPLE)


def formatter(namespace: Namespace) -> None:
    """A message is the same after format and parse."""
    made = _plugins().formatter(namespace)
    picture = Attachment.from_bytes("Ä picture.png", "image/png", bytes(range(256)) * 40)
    message = Message(text="Grüße\n", subject="Hello", attachments=(picture,))
    back = made.parse(made.format(message, _seal_job()), _open_job())
    assert back.text == message.text, back.text
    assert [(each.name, each.read()) for each in back.attachments] == [(picture.name, picture.read())]


def openpgp() -> None:
    """It contributes data fields."""
    plugins = _plugins()
    assert [provider.namespace for provider in plugins.data_providers if provider.namespace == str(OPENPGP)]
    assert len(plugins.contributors(_ports("gateway.example", {}))) == len(plugins.data_providers)
    assert not plugins.problems, plugins.problems


def encrypter(package: str) -> None:
    """What an account encrypts to itself it can open, with a good signature."""
    asyncio.run(_encrypter(package))


async def _encrypter(package: str) -> None:
    made = _plugins(package).encrypter(OPENPGP)
    ports = _ports(JULIET.jid, {})
    assert isinstance(made, Preparing)
    await made.prepare(JULIET.jid, ports)
    body = await made.encrypt(b"plain words", await made.seal_keys(_seal_job(), ports), ports)
    assert b"plain words" not in b64decode(body.text)
    back = await made.decrypt(body, await made.open_keys(body, _open_job(), ports), ports)
    assert back.payload == b"plain words"
    assert back.verdict.signature is Signature.GOOD, back.verdict


def gateway() -> None:
    """The command starts, and the carriers are found."""
    _program("gre-email-gateway", "--help")
    assert "pgp-mime" in entry_points(group="gre_email.v1").names
    for carrier in entry_points(group="gre_email.v1"):
        carrier.load()
    assert not _plugins().problems


def command() -> None:
    """The command starts, and its doctor speaks JSON."""
    _program("gre", "--help")
    # Alone it finds no formatter, and its doctor must say so: exit code 1.
    report = json.loads(_program("gre", "doctor", "--json", codes={0, 1}))
    assert {"ok", "plugins"} <= report.keys()


@dataclass(frozen=True)
class Exercise:
    """What to try with a package, and what must not be there when it is installed alone."""

    run: Callable[[], None]
    absent: tuple[str, ...] = ()


CRYPTO = ("pysequoia", "pgpy", "cryptography")
EXERCISES = {
    "gre-core": Exercise(core, ("slixmpp", "pytest", "hypothesis", "aiohttp", *CRYPTO)),
    "gre-formatter-mime": Exercise(mime, ("slixmpp", *CRYPTO)),
    "gre-formatter-example": Exercise(example, ("slixmpp", *CRYPTO)),
    "gre-openpgp": Exercise(openpgp, ("slixmpp", *CRYPTO)),
    SEQUOIA: Exercise(partial(encrypter, SEQUOIA), ("slixmpp", PGPY)),
    PGPY: Exercise(partial(encrypter, PGPY), ("slixmpp", "pysequoia", SEQUOIA)),
    "gre-gateway-email": Exercise(gateway, (*CRYPTO, "gre-formatter-mime", SEQUOIA, PGPY)),
    "gre-cli": Exercise(command),
}


# -- stand-ins ---------------------------------------------------------------------------------------

Nodes = dict[tuple[str, str], dict[str, Item]]


@dataclass
class PubSub:
    """Nodes in memory, those of all accounts together."""

    account: str
    nodes: Nodes = field(repr=False)

    async def items(
        self, jid: str, node: str, /, *, item_id: str | None = None, max_items: int | None = None
    ) -> Sequence[Item]:
        """Give items."""
        if (jid, node) not in self.nodes:
            raise PeerError("There is no such node", condition="item-not-found")
        items = [item for key, item in self.nodes[jid, node].items() if item_id in {None, key}]
        return items[-max_items:] if max_items else items

    async def publish(
        self, node: str, item_id: str, payload: Element, /, *, access_model: AccessModel, max_items: int = 1
    ) -> None:
        """Keep an item."""
        assert access_model in {"open", "whitelist"}
        assert max_items >= 1
        self.nodes.setdefault((self.account, node), {})[item_id] = Item(item_id, payload)

    async def retract(self, node: str, item_id: str, /) -> None:
        """Remove an item."""
        del self.nodes[self.account, node][item_id]


async def _yes(_question: Question) -> bool:
    return True


def _ports(account: str, nodes: Nodes) -> Ports:
    return Ports(MemoryStore(), PubSub(account, nodes), _yes)


def _seal_job() -> SealJob:
    data = DataForm(JULIET.legacy_id)
    # No recipient but oneself: what is sent is always encrypted to oneself too.
    return SealJob(JULIET.jid, (), data, MIME, OPENPGP, "origin-1", datetime.now(UTC))


def _open_job() -> OpenJob:
    return OpenJob(JULIET.jid, JULIET.jid, Direction.SENT, MIME, OPENPGP)


def _program(name: str, *arguments: str, codes: Collection[int] = (0,)) -> str:
    path = Path(sysconfig.get_path("scripts")) / name
    done = subprocess.run([path, *arguments], capture_output=True, check=False, text=True, timeout=60)
    assert done.returncode in codes, f"{name} {' '.join(arguments)}: {done.returncode}\n{done.stderr}"
    return done.stdout


def main() -> None:
    """Try the package that the command line names."""
    name, *options = sys.argv[1:]
    exercise = EXERCISES[name]
    assert "site-packages" in gre_core.__file__, f"this is not an installed core: {gre_core.__file__}"
    if "--alone" in options:
        for absent in exercise.absent:
            try:
                version(absent)
            except PackageNotFoundError:
                continue
            raise AssertionError(f"{absent} must not be needed by {name}")
    exercise.run()
    print(f"{name} {version(name)} works{' alone' if options else ''}; core {version('gre-core')}")


if __name__ == "__main__":
    main()

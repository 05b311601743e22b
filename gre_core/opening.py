"""The way in: find the plugins that a message names, decrypt, judge, parse."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gre_core import wire
from gre_core.errors import BadEncrypted, DecryptFailed, GreError, InvalidAddress, ParseFailed
from gre_core.jid_escape import unescape
from gre_core.model import Direction, Message, Notice, Opened, OpenJob, Verdict
from gre_core.notes import read_notes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

    from gre_core.incoming import Incoming
    from gre_core.namespaces import Namespace
    from gre_core.policy import Memory
    from gre_core.ports import Ports
    from gre_core.registry import Plugins


@dataclass(frozen=True, slots=True)
class Received:
    """A message that was opened.

    Arguments:
        message: its content.
        verdict: the judgement of its signature. Show it.
        notices: further things to show beside it.
        peer: bare JID of the contact.
        direction: received, or a copy of what another device of ours sent.
        formatter: as the message named it.
        encrypter: as the message named it.
        id: the stanza's origin-id or id.
        repeated: it was received before (a gateway repeats what nobody confirmed).
    """

    message: Message
    verdict: Verdict
    notices: tuple[Notice, ...]
    peer: str
    direction: Direction
    formatter: Namespace
    encrypter: Namespace
    id: str | None
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Unopened:
    """A message that could not be opened. Show it; its stanza is kept.

    Arguments:
        error: why.
        stanza: the message as it came.
        peer: bare JID of the contact.
        direction: received, or a copy of what another device of ours sent.
        id: the stanza's origin-id or id.
    """

    error: GreError
    stanza: Element = field(repr=False)
    peer: str
    direction: Direction
    id: str | None


class Opener:
    """Opens messages of one account."""

    def __init__(self, account: str, plugins: Plugins, ports: Ports, memory: Memory) -> None:
        self._account = account
        self._plugins = plugins
        self._ports = ports
        self._memory = memory

    async def open(self, incoming: Incoming, elements: Sequence[Element]) -> Received:
        """Open ``<encrypted/>``.

        Arguments:
            incoming: the message around it.
            elements: the ``<encrypted/>`` elements of the message, which must be one.

        Raises:
            RemoteProtocolError: the element is malformed, or not the only one.
            PluginError: no usable plugin for what it names.
            OpenError: it cannot be decrypted or parsed.
        """
        if len(elements) != 1:
            raise BadEncrypted(f"The message has {len(elements)} <encrypted/> elements instead of one.")
        encrypted = wire.parse_encrypted(elements[0])
        formatter = self._plugins.formatter(encrypted.formatter)
        job = OpenJob(
            account=self._account,
            peer=incoming.peer,
            direction=incoming.direction,
            formatter=encrypted.formatter,
            encrypter=encrypted.encrypter,
            expected_sender=_expected_sender(incoming),
            stanza_id=incoming.id,
        )
        opened = await self._decrypt(encrypted, job)
        try:
            message = formatter.parse(opened.payload, job)
        except GreError:
            raise
        except Exception as error:
            raise ParseFailed(
                f"{encrypted.formatter} failed while parsing ({type(error).__name__})."
            ) from error
        if not isinstance(message, Message):
            raise ParseFailed(f"{encrypted.formatter} gave no message. Tell its authors.")
        notices = [*read_notes(incoming.stanza), *opened.warnings]
        if incoming.direction is Direction.RECEIVED:
            notices += _sender_mismatch(message, job)
            notice = await self._memory.see_signature(incoming.peer, opened.verdict)
            if notice is not None:
                notices.append(notice)
        return Received(
            message,
            opened.verdict,
            tuple(notices),
            incoming.peer,
            incoming.direction,
            encrypted.formatter,
            encrypted.encrypter,
            incoming.id,
        )

    async def _decrypt(self, encrypted: wire.Encrypted, job: OpenJob) -> Opened:
        encrypter = self._plugins.encrypter(encrypted.encrypter)
        try:
            keys = await encrypter.open_keys(encrypted.body, job, self._ports)
            opened = await encrypter.decrypt(encrypted.body, keys, self._ports)
            if isinstance(opened, Opened) and opened.missing:
                again = OpenJob(
                    job.account, job.peer, job.direction, job.formatter, job.encrypter,
                    job.expected_sender, job.stanza_id, opened.missing,
                )  # fmt: skip
                keys = await encrypter.open_keys(encrypted.body, again, self._ports)
                opened = await encrypter.decrypt(encrypted.body, keys, self._ports)
        except GreError:
            raise
        except Exception as error:
            raise DecryptFailed(
                f"{encrypted.encrypter} failed while decrypting ({type(error).__name__})."
            ) from error
        if not (isinstance(opened, Opened) and isinstance(opened.verdict, Verdict)):
            raise DecryptFailed(f"{encrypted.encrypter} gave no result. Tell its authors.")
        return opened


def _expected_sender(incoming: Incoming) -> str | None:
    if incoming.direction is Direction.SENT:
        return None
    local, at, _ = incoming.peer.rpartition("@")
    try:
        return unescape(local) if at else None
    except InvalidAddress:
        return None


def _sender_mismatch(message: Message, job: OpenJob) -> list[Notice]:
    claimed, expected = message.claimed_sender, job.expected_sender
    if claimed is None or expected is None or claimed.casefold() == expected.casefold():
        return []
    return [
        Notice(
            "sender-mismatch",
            f"The message says that it is from {claimed}, but came from {expected}. Answer only if you know why.",
            {"claimed": claimed, "expected": expected},
        )
    ]

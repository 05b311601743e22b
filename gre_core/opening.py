"""The way in: find the plugins that a message names, decrypt, judge, parse."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast

from gre_core import wire
from gre_core.errors import BadEncrypted, DecryptFailed, GreError, InvalidAddress, ParseFailed, WorkerFailed
from gre_core.jid_escape import unescape
from gre_core.log import get_logger
from gre_core.message_codec import decode_message
from gre_core.model import Direction, Message, Notice, Opened, OpenJob, Signature, SignedPart, Verdict
from gre_core.notes import read_notes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from xml.etree.ElementTree import Element

    from gre_core.api import Encrypter, Formatter, JudgesSigned, Learning, TellsApart, WorkerParsing
    from gre_core.assessing import Assessor
    from gre_core.incoming import Incoming
    from gre_core.namespaces import Namespace
    from gre_core.ports import Ports
    from gre_core.registry import Plugins


_log = get_logger(__name__)

_UNREADABLE: Final = "The message was decrypted, but could not be read: "
_SECOND_SIGNATURE: Final = Notice(
    "signature-unchecked",
    "The message has a second signature inside, which was not judged: the one around it was.",
)


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
        reply_to: the id of the message that it answers, ours or theirs; None when it answers none that we know.
        thread: stable id of the conversation.
        archived: it came while this device was away, and was fetched from the archive (XEP-0313).
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
    reply_to: str | None = None
    thread: str = ""
    archived: bool = False


@dataclass(frozen=True, slots=True)
class Unopened:
    """A message that could not be opened. Show it; its stanza is kept.

    Arguments:
        error: why.
        stanza: the message as it came.
        peer: bare JID of the contact.
        direction: received, or a copy of what another device of ours sent.
        id: the stanza's origin-id or id.
        archived: it came while this device was away, and was fetched from the archive (XEP-0313).
    """

    error: GreError
    stanza: Element = field(repr=False)
    peer: str
    direction: Direction
    id: str | None
    archived: bool = False


class Opener:
    """Opens messages of one account."""

    def __init__(self, account: str, plugins: Plugins, ports: Ports, assessor: Assessor) -> None:
        self._account = account
        self._plugins = plugins
        self._ports = ports
        self._assessor = assessor

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
        encrypter = self._plugins.encrypter(encrypted.encrypter)
        job = OpenJob(
            account=self._account,
            peer=incoming.peer,
            direction=incoming.direction,
            formatter=encrypted.formatter,
            encrypter=encrypted.encrypter,
            expected_sender=_expected_sender(incoming),
            stanza_id=incoming.id,
            received=incoming.received or self._ports.now(),
            parser=_parser(formatter),
        )
        opened = await self._decrypt(encrypter, encrypted, job)
        message = await self._parse(formatter, opened, job)
        judged = await self._with_signed_part(encrypter, message, opened, job)
        if judged.missing and _learns(encrypter):
            # The message may have brought the key of its signer itself.
            await self._learn(encrypter, message, judged, job)
            again = replace(job, missing=judged.missing)
            if opened.missing:
                second = await self._decrypt(encrypter, encrypted, replace(again, parser=""))
                opened = replace(second, parsed=opened.parsed)
            judged = await self._with_signed_part(encrypter, message, opened, again)
        opened = judged
        notices = [*read_notes(incoming.stanza), *opened.warnings, *message.notices]
        if incoming.direction is Direction.RECEIVED:
            notices += _sender_mismatch(message, job)
        name = await self._signature_id(encrypter, encrypted, message, opened, job)
        assessed = await self._assessor.assess(opened, message, job, tuple(notices), name)
        # What came again, late or by way of others must not change what is remembered of a contact.
        judged = replace(opened, verdict=assessed.verdict)
        notices += [*assessed.notices, *await self._learn(encrypter, message, judged, job)]
        return Received(
            message,
            assessed.verdict,
            tuple(notices),
            incoming.peer,
            incoming.direction,
            encrypted.formatter,
            encrypted.encrypter,
            incoming.id,
            reply_to=assessed.reply_to,
            thread=assessed.thread,
        )

    async def _decrypt(self, encrypter: Encrypter[Any], encrypted: wire.Encrypted, job: OpenJob) -> Opened:
        try:
            keys = await encrypter.open_keys(encrypted.body, job, self._ports)
            opened = await encrypter.decrypt(encrypted.body, keys, self._ports)
            if isinstance(opened, Opened) and opened.missing and not _learns(encrypter):
                again = replace(job, missing=opened.missing)
                keys = await encrypter.open_keys(encrypted.body, again, self._ports)
                opened = await encrypter.decrypt(encrypted.body, keys, self._ports)
        except GreError:
            raise
        except Exception as error:
            raise DecryptFailed(
                f"{job.encrypter} failed while decrypting ({type(error).__name__})."
            ) from error
        if not (isinstance(opened, Opened) and isinstance(opened.verdict, Verdict)):
            raise DecryptFailed(f"{job.encrypter} gave no result. Tell its authors.")
        return opened

    async def _parse(self, formatter: Formatter, opened: Opened, job: OpenJob) -> Message:
        """Read the payload: where it was decrypted, else in a worker of its own, else here."""
        try:
            if opened.parsed is not None:
                return decode_message(opened.parsed)
            if job.parser and self._ports.worker is not None:
                return decode_message(await self._ports.worker.run(job.parser, opened.payload))
            message = formatter.parse(opened.payload, job)
        except WorkerFailed as error:
            raise ParseFailed(_UNREADABLE + error.text) from error
        except GreError:
            raise
        except Exception as error:
            raise ParseFailed(f"{job.formatter} failed while parsing ({type(error).__name__}).") from error
        if not isinstance(message, Message):
            raise ParseFailed(f"{job.formatter} gave no message. Tell its authors.")
        return message

    async def _with_signed_part(
        self, encrypter: Encrypter[Any], message: Message, opened: Opened, job: OpenJob
    ) -> Opened:
        """Let a signed part inside decide when nothing around it is signed."""
        if message.signed is None:
            return opened
        if opened.verdict.signature is Signature.UNSIGNED:
            return await self._judge_signed(encrypter, message.signed, opened, job)
        return replace(opened, warnings=(*opened.warnings, _SECOND_SIGNATURE))

    async def _judge_signed(
        self, encrypter: Encrypter[Any], part: SignedPart, opened: Opened, job: OpenJob
    ) -> Opened:
        """Let the signature of a part inside the encryption decide (RFC 3156, section 6.1)."""
        try:
            judge = _judge(encrypter)
            if judge is None:
                raise DecryptFailed(f"{job.encrypter} does not check such signatures")
            judged = await judge.judge_signed(part, job, self._ports)
            if judged.missing and not _learns(encrypter):
                again = replace(job, missing=judged.missing)
                judged = await judge.judge_signed(part, again, self._ports)
        except Exception as error:  # noqa: BLE001 - the message was decrypted: it must not be lost
            text = error.text if isinstance(error, GreError) else f"{type(error).__name__} in {job.encrypter}"
            notice = Notice(
                "signature-unchecked", f"The signature inside the message cannot be judged: {text}"
            )
            return replace(opened, warnings=(*opened.warnings, notice))
        return replace(
            opened,
            verdict=judged.verdict,
            signer_ids=judged.signer_ids,
            missing=judged.missing,
            warnings=(*opened.warnings, *judged.warnings),
        )

    async def _signature_id(
        self,
        encrypter: Encrypter[Any],
        encrypted: wire.Encrypted,
        message: Message,
        opened: Opened,
        job: OpenJob,
    ) -> str:
        """Give what tells a message without an id of its own from another one that says the same."""
        if message.message_id or opened.verdict.signature is not Signature.GOOD:
            return ""
        if not hasattr(encrypter, "signature_id"):
            return ""
        try:
            part = None if _SECOND_SIGNATURE in opened.warnings else message.signed
            return await cast("TellsApart", encrypter).signature_id(encrypted.body, part, job, self._ports)
        except Exception as error:  # noqa: BLE001 - then its content alone is its name
            _log.warning("signature-not-named", error_type=type(error).__name__)
            return ""

    async def _learn(
        self, encrypter: Encrypter[Any], message: Message, opened: Opened, job: OpenJob
    ) -> list[Notice]:
        if not _learns(encrypter):
            return []
        try:
            return list(await cast("Learning", encrypter).learn(message, opened, job, self._ports))
        except Exception as error:  # noqa: BLE001 - what is not learned costs nobody the message
            text = error.text if isinstance(error, GreError) else f"{type(error).__name__} in {job.encrypter}"
            return [Notice("not-learned", f"Nothing was remembered of this message: {text}")]


# What isinstance says of these Protocols, but that takes a tenth of the time of opening a small message.


def _parser(formatter: object) -> str:
    return cast("WorkerParsing", formatter).worker_parser if hasattr(formatter, "worker_parser") else ""


def _learns(encrypter: object) -> bool:
    return hasattr(encrypter, "learn")


def _judge(encrypter: object) -> JudgesSigned | None:
    return cast("JudgesSigned", encrypter) if hasattr(encrypter, "judge_signed") else None


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

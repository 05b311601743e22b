"""What the parts of the formatter suite share: switches, jobs, and calls that are judged."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gre_core.errors import FormatFailed, ParseFailed
from gre_core.model import DataForm, Direction, Message, OpenJob, Recipient, SealJob
from gre_core.namespaces import Namespace, encrypter
from gre_core.testing.conformance.calling import call, required
from gre_core.testing.conformance.corpus import Sample, messages
from gre_core.testing.conformance.provider import ProviderConformance
from gre_core.testing.conformance.rules import demand

if TYPE_CHECKING:
    from gre_core.api import Formatter, FormatterProvider

SWITCHES: Final = ("subject", "html", "attachments", "inline", "replies", "addresses")
"""The switches that decide which messages of the corpus a formatter meets."""


class FormatterSuite(ProviderConformance):
    """Attributes and helpers of the formatter suite.

    Attributes:
        provider: what your ``gre_formatters`` hook returns. Set it.
        subject: the format carries a subject.
        html: the format carries an alternative in HTML.
        attachments: the format carries files.
        inline: the format tells which files are shown inside the text.
        replies: the format carries ids of earlier messages.
        addresses: the format carries the recipients.
        sender: the format names the sender.
        date: the format carries the date.
        huge: size of the largest messages, in bytes.
        legacy_ids: addresses on your network: ours first, then those of others.
        hostile: payloads that are dangerous for your format in particular (a decompression bomb, say).
    """

    provider: ClassVar[FormatterProvider]
    subject: ClassVar[bool] = True
    html: ClassVar[bool] = True
    attachments: ClassVar[bool] = True
    inline: ClassVar[bool] = True
    replies: ClassVar[bool] = True
    addresses: ClassVar[bool] = True
    sender: ClassVar[bool] = True
    date: ClassVar[bool] = True
    huge: ClassVar[int] = 2_000_000
    legacy_ids: ClassVar[tuple[str, ...]] = (
        "romeo@montague.example",
        "juliet@capulet.example",
        "nurse@capulet.example",
    )
    hostile: ClassVar[tuple[bytes, ...]] = ()
    methods: ClassVar[tuple[tuple[str, int, bool], ...]] = (("format", 2, False), ("parse", 2, False))

    # -- jobs --------------------------------------------------------------------------------------

    def seal_job(self, **changes: Any) -> SealJob:
        """Give the facts of a message that is written."""
        facts: dict[str, Any] = {
            "account": "romeo@xmpp.example",
            "recipients": (Recipient(r"juliet\40capulet.example@gateway.example", self.legacy_ids[1]),),
            "data": DataForm(self.legacy_ids[0]),
            "formatter": self.namespace,
            "encrypter": encrypter("conformance"),
            "origin_id": "5d2f6c1a-9a0e-4b57",
            "date": datetime(2026, 11, 23, 17, 4, 9, tzinfo=UTC),
        }
        return SealJob(**(facts | changes))

    def open_job(self) -> OpenJob:
        """Give the facts of a message that is read."""
        return OpenJob(
            account="juliet@xmpp.example",
            peer=r"romeo\40montague.example@gateway.example",
            direction=Direction.RECEIVED,
            formatter=self.namespace,
            encrypter=encrypter("conformance"),
            expected_sender=self.legacy_ids[0],
            received=datetime(2026, 11, 23, 17, 5, 0, tzinfo=UTC),
        )

    @property
    def namespace(self) -> Namespace:
        """The namespace of the provider."""
        return self.provider.namespace

    # -- messages ----------------------------------------------------------------------------------

    def can(self) -> frozenset[str]:
        """Give the switches that are on."""
        return frozenset(name for name in SWITCHES if getattr(self, name))

    def corpus(self, about: str | None = None) -> list[Sample]:
        """Give the messages that this formatter must carry.

        Arguments:
            about: only those that need this switch; None gives those that need nothing.
        """
        samples = messages(self.huge, self.legacy_ids[1:])
        if about is None:
            return [sample for sample in samples if not sample.needs]
        return [sample for sample in samples if about in sample.needs and sample.needs <= self.can()]

    # -- calls that are judged ---------------------------------------------------------------------

    def format(
        self,
        made: Formatter,
        message: Message,
        job: SealJob | None = None,
        doing: str = "",
        rule: str = "format-own-errors",
    ) -> bytes:
        """Format a message that every formatter can express."""
        __tracebackhide__ = True
        return required(self.try_format(made, message, job, doing, rule), "expresses-messages", doing)

    def try_format(
        self,
        made: Formatter,
        message: Message,
        job: SealJob | None = None,
        doing: str = "",
        rule: str = "format-own-errors",
    ) -> bytes | BaseException:
        """Format a message that may be beyond what can be expressed. Other errors break ``rule``."""
        __tracebackhide__ = True
        used = job or self.seal_job()
        payload: object = call(
            lambda: made.format(message, used),
            own=(FormatFailed,),
            rule=rule,
            doing=f"format({doing or 'a message'})",
        )
        if isinstance(payload, FormatFailed):
            return payload
        demand(type(payload) is bytes, "format-gives-bytes", f"it gave {type(payload).__name__}")
        assert isinstance(payload, bytes)
        return payload

    def parse(self, made: Formatter, payload: bytes, doing: str = "") -> Message:
        """Read a payload that the formatter wrote itself."""
        __tracebackhide__ = True
        return required(self.try_parse(made, payload, doing), "reads-its-own", doing)

    def try_parse(self, made: Formatter, payload: bytes, doing: str = "") -> Message | BaseException:
        """Read a payload that may be anything."""
        __tracebackhide__ = True
        read: object = call(
            lambda: made.parse(payload, self.open_job()),
            own=(ParseFailed,),
            rule="parse-own-errors",
            doing=f"parse({doing or 'a payload'})",
        )
        if isinstance(read, ParseFailed):
            return read
        demand(isinstance(read, Message), "parse-types", f"it gave {type(read).__name__}")
        assert isinstance(read, Message)
        return read

    def through(
        self, made: Formatter, message: Message, job: SealJob | None = None, doing: str = ""
    ) -> Message:
        """Format a message and read it again."""
        __tracebackhide__ = True
        return self.parse(made, self.format(made, message, job, doing), doing)

"""Hypothesis strategies for messages and payloads, for the tests of authors as well.

::

    from hypothesis import given
    from gre_core.testing.conformance import strategies


    @given(strategies.messages())
    def test_mine(message): ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from gre_core.mime_text.file_names import safe_name
from gre_core.model import Attachment, Message
from gre_core.testing.conformance.rules import NonConformance

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

T = TypeVar("T")

_SMALLER: Final = 60
"""With how many values more one that breaks a rule is made smaller."""

ALL: Final = frozenset({"html", "subject", "attachments", "inline", "replies", "addresses"})
"""What messages may have."""

characters: Final = st.characters(exclude_categories=["Cc", "Cs", "Cn"]) | st.sampled_from("\t\n")
"""What people write: all of Unicode that is assigned, without control characters."""

texts: Final = st.text(characters, max_size=400)
"""Texts of messages."""

subjects: Final = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn", "Zl", "Zp"]), max_size=150).map(
    lambda text: " ".join(text.split())
)
"""Subjects: one line, no spaces at the ends or twice."""

names: Final = st.builds(
    "{}.{}".format,
    st.text(
        st.characters(categories=["Lu", "Ll", "Lo", "Nd"]) | st.sampled_from("-_ "), min_size=1, max_size=30
    )
    .map(str.strip)
    .filter(bool),
    st.sampled_from(["txt", "pdf", "png", "tar", "odt"]),
).filter(lambda name: safe_name(name) == name)
"""Names of files as people give them; none that a formatter may have to change, such as COM1.txt."""

media_types: Final = st.sampled_from(
    ["text/plain", "text/csv", "image/png", "application/pdf", "video/mp4", "application/octet-stream"]
)
"""Ordinary media types."""

contents: Final = st.binary(max_size=300)
"""Contents of files."""

payloads: Final = st.binary(max_size=2000)
"""What an encrypter is given."""

ids: Final = st.builds(
    "{}@example.org".format,
    st.text("abcdefghijklmnopqrstuvwxyz0123456789.-", min_size=1, max_size=30).filter(
        lambda text: not set(".-") & {text[0], text[-1]} and ".." not in text
    ),
)
"""Ids of messages."""


def tries(examples: int) -> settings:
    """Give the settings of a property: so many examples, and no clock, as machines that run tests are busy."""
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(
        deadline=None, max_examples=examples, suppress_health_check=slow, report_multiple_bugs=False
    )


class _Enough(BaseException):
    """Ends the search for a smaller value; Hypothesis lets it pass."""


def explore(strategy: st.SearchStrategy[T], examples: int, check: Callable[[T], None]) -> None:
    """Call a check with random values; the first rule that is broken comes out, with a small value that breaks it.

    Arguments:
        strategy: for the values.
        examples: how many. A value that breaks a rule is made smaller with some more, not with thousands: that took
            minutes.
        check: raises :class:`NonConformance`.

    Raises:
        NonConformance: a rule is broken, each time or only now and then.
    """
    __tracebackhide__ = True
    seen: list[NonConformance] = []
    left = _SMALLER

    @tries(examples)
    @given(strategy)
    def found(value: T) -> None:
        nonlocal left
        __tracebackhide__ = True
        if seen:
            left -= 1
            if left < 0:
                raise _Enough
        try:
            check(value)
        except NonConformance as failure:
            seen.append(failure)
            raise

    try:
        found()
    except _Enough:
        raise seen[-1] from None  # each is smaller than the one before
    except Flaky:
        if seen:
            raise seen[0] from None  # it came once, and not again: Hypothesis would talk about itself
        raise


def attachments(*, inline: bool = True) -> st.SearchStrategy[Attachment]:
    """Give attachments.

    Arguments:
        inline: some of them are shown inside the text.
    """
    shown = st.booleans() if inline else st.just(value=False)
    return st.builds(_attachment, names, media_types, contents, shown, ids)


def _attachment(name: str, kind: str, content: bytes, inline: bool, content_id: str) -> Attachment:  # noqa: FBT001
    return Attachment.from_bytes(
        name, kind, content, inline=inline, content_id=content_id if inline else None
    )


def messages(
    can: Collection[str] = ALL, addresses: Collection[str] = ("juliet@capulet.example",)
) -> st.SearchStrategy[Message]:
    """Give messages.

    Arguments:
        can: what they may have, of :data:`ALL`.
        addresses: legacy ids for their recipients.
    """
    html = st.none() | st.builds("<p>{}</p>".format, texts) if "html" in can else st.none()
    subject = st.none() | subjects if "subject" in can else st.none()
    inline = {"inline", "html"} <= set(can)
    files = st.lists(attachments(inline=inline), max_size=3).map(tuple)
    some = st.lists(st.sampled_from(sorted(addresses)), max_size=3, unique=True).map(tuple)
    nothing = st.just(())
    return st.builds(
        Message,
        text=texts,
        html=html,
        subject=subject,
        attachments=files if "attachments" in can else nothing,
        to=some if "addresses" in can else nothing,
        cc=some if "addresses" in can else nothing,
        in_reply_to=st.none() | ids if "replies" in can else st.none(),
        references=st.lists(ids, max_size=5).map(tuple) if "replies" in can else nothing,
    )

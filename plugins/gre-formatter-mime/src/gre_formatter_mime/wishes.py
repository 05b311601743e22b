"""What the user wishes of this formatter (``Policy.options``)."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from gre_core.api import formatter
from gre_core.errors import FormatFailed

if TYPE_CHECKING:
    from gre_core.api import SealJob

NAMESPACE: Final = formatter("mime", 0)


class Confidentiality(StrEnum):
    """What may be visible outside of the header fields: a header confidentiality policy of RFC 9788, section 3.2."""

    BASELINE = "baseline"
    """Neither Subject nor Keywords nor Comments (``hcp_baseline``)."""
    SHY = "shy"
    """And no display names, and no time zone (``hcp_shy``)."""
    NONE = "none"
    """Everything (``hcp_no_confidentiality``)."""


class Padding(StrEnum):
    """Whether the size of a message is blurred."""

    NONE = "none"
    PADME = "padme"
    """See :mod:`gre_formatter_mime.padding`."""


class Wishes(NamedTuple):
    """The options of one message."""

    confidentiality: Confidentiality = Confidentiality.BASELINE
    padding: Padding = Padding.NONE


_USUAL: Final = Wishes()
_Choice = TypeVar("_Choice", Confidentiality, Padding)


def wishes_of(job: SealJob) -> Wishes:
    """Read the options ``header-confidentiality`` and ``padding``.

    Raises:
        FormatFailed: an option has a value that does not exist. Guessing could mean to show what should be hidden.
    """
    if not job.options:
        return _USUAL
    return Wishes(
        _choice(job, "header-confidentiality", Confidentiality.BASELINE),
        _choice(job, "padding", Padding.NONE),
    )


def _choice(job: SealJob, name: str, usual: _Choice) -> _Choice:
    value = job.option(NAMESPACE, name)
    kind = type(usual)
    try:
        return kind(value) if value else usual
    except ValueError:
        known = ", ".join(kind)
        raise FormatFailed(
            f"The option {name} of the MIME formatter has the value {value[:40]!r}, which does not exist. "
            f"Use one of these: {known}",
            option=name,
        ) from None

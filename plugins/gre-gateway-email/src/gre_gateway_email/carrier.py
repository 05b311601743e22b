"""Carriers: how a pair of formatter and encrypter becomes a raw mail, and back, without any cryptography.

A package adds a carrier by an entry point in the group ``gre_email.v1`` that names a module with a function
``carrier()``::

    [project.entry-points."gre_email.v1"]
    pgp-mime = "gre_gateway_email.carriers.pgp_mime"

The gateway announces only the pairs that its carriers can carry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from gre_core.api import Body, Kind, Namespace
from gre_gateway_email.mail.addresses import address_list, on_the_wire
from gre_gateway_email.mail.date_time import date_time

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

ENTRY_POINT_GROUP: Final = "gre_email.v1"
"""The entry-point group of carriers. Its name is the version of the interface."""

SUBJECT: Final = "[...]"
"""What stands in the place of the subject, which is inside the encryption."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the gateway knows about a mail that it sends. Everything in it is checked, and in ASCII but for addresses.

    Arguments:
        sender: mail address of the user.
        recipients: mail addresses that the mail shows; none when all get a blind copy.
        message_id: without angle brackets.
        date: with time zone UTC.
        autocrypt: the value of an Autocrypt header with the sender's key, folded, or None.
    """

    sender: str = field(repr=False)
    recipients: tuple[str, ...] = field(repr=False)
    message_id: str
    date: datetime
    autocrypt: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Carried:
    """What a received mail carries.

    Arguments:
        body: the content of ``<encrypted/>``.
        notes: codes of what the reader should know about the mail around it (:mod:`gre_core.notes`).
    """

    body: Body
    notes: tuple[str, ...] = ()


def header_of(envelope: Envelope) -> str:
    r"""Give the outer header fields that the gateway owns, from Date to Autocrypt, each with its CRLF.

    A carrier writes them first, and then those of its own content, from MIME-Version on. The subject is inside the
    encryption; ``[...]`` stands in its place (RFC 9788, section 3.2.1).

    Arguments:
        envelope: as the gateway gives it. Encode the whole mail as UTF-8: an address may need it (RFC 6532).
    """
    autocrypt = f"Autocrypt: {envelope.autocrypt}\r\n" if envelope.autocrypt else ""
    return (
        f"Date: {date_time(envelope.date)}\r\n"
        f"From: {on_the_wire(envelope.sender)}\r\n"
        f"To: {address_list(envelope.recipients)}\r\n"
        f"Message-ID: <{envelope.message_id}>\r\n"
        f"Subject: {SUBJECT}\r\n"
        f"{autocrypt}"
    )


@runtime_checkable
class Carrier(Protocol):
    """Turns the content of ``<encrypted/>`` into a mail, and back."""

    @property
    def formatter(self) -> Namespace:
        """The formatter of the pair."""
        ...

    @property
    def encrypter(self) -> Namespace:
        """The encrypter of the pair."""
        ...

    def wrap(self, body: Body, envelope: Envelope, /) -> bytes:
        """Make a whole mail with CRLF line ends, 7bit.

        Raises:
            BadEncrypted: the body is not what the encrypter's specification allows.
        """
        ...

    def unwrap(self, mail: bytes, /) -> Carried | None:
        """Take the encrypted content out of a raw mail, which may be hostile; None: it is of another kind.

        Raises:
            BadEncrypted: it is of this kind, but damaged.
            Unreadable: the mail is beyond the bounds.
        """
        ...


@dataclass(frozen=True, slots=True)
class CarrierProblem:
    """A carrier that cannot be used, and why."""

    name: str
    error: str


class Carriers:
    """The carriers that are used.

    Arguments:
        carriers: in the order in which a received mail is shown to them.
        problems: what could not be used.
    """

    def __init__(self, carriers: Iterable[Carrier], problems: Iterable[CarrierProblem] = ()) -> None:
        self._by_pair = {(one.formatter, one.encrypter): one for one in carriers}
        self.problems = tuple(problems)

    @classmethod
    def discover(cls) -> Carriers:
        """Find and load the carriers of all installed packages; what fails becomes a problem."""
        return cls.load(entry_points(group=ENTRY_POINT_GROUP))

    @classmethod
    def load(cls, points: Iterable[EntryPoint]) -> Carriers:
        """Load carriers. Two for one pair are both left out: which one is right is not ours to guess."""
        made: dict[tuple[Namespace, Namespace], dict[str, Carrier]] = {}
        problems = []
        for point in sorted(points, key=_name):
            try:
                carrier = _make(point)
                made.setdefault((carrier.formatter, carrier.encrypter), {})[_name(point)] = carrier
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:  # noqa: BLE001
                problems.append(CarrierProblem(_name(point), f"{type(error).__name__}: {error}"[:300]))
        for (formatter, encrypter), rivals in made.items():
            if len(rivals) > 1:
                names = " and ".join(sorted(rivals))
                problems.append(
                    CarrierProblem(names, f"both carry {formatter} with {encrypter}: uninstall one")
                )
        return cls((next(iter(one.values())) for one in made.values() if len(one) == 1), problems)

    @property
    def pairs(self) -> tuple[tuple[Namespace, Namespace], ...]:
        """All pairs that can be carried."""
        return tuple(self._by_pair)

    def carrier(self, formatter: Namespace, encrypter: Namespace) -> Carrier | None:
        """Give the carrier of a pair."""
        return self._by_pair.get((formatter, encrypter))

    def unwrap(self, mail: bytes) -> tuple[Carrier, Carried] | None:
        """Ask each carrier in turn for the encrypted content of a mail; None when it is none of theirs.

        Raises:
            BadEncrypted: it is encrypted, but damaged.
            Unreadable: it is beyond the bounds.
        """
        for carrier in self._by_pair.values():
            carried = carrier.unwrap(mail)
            if carried is not None:
                return carrier, carried
        return None


def _name(point: EntryPoint) -> str:
    distribution = point.dist.name if point.dist is not None else "?"
    return f"{distribution}:{point.name}"


def _make(point: EntryPoint) -> Carrier:
    carrier = point.load().carrier()
    if not isinstance(carrier, Carrier):
        raise TypeError("carrier() gave something that has not formatter, encrypter, wrap and unwrap")
    for namespace, kind in ((carrier.formatter, Kind.FORMATTER), (carrier.encrypter, Kind.ENCRYPTER)):
        if not isinstance(namespace, Namespace) or namespace.kind is not kind:
            raise TypeError(f"its {kind} is not the namespace of a {kind}")
    return carrier

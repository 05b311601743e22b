"""The names that GRE puts on the wire: fixed namespaces and the URN grammar of formatters and encrypters.

>>> Namespace.parse("urn:xmpp:gre:formatter:mime:0")
Namespace('urn:xmpp:gre:formatter:mime:0')
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from gre_core.errors import InvalidNamespace

GRE: Final = "urn:xmpp:gre:0"
"""Feature and element namespace of GRE itself (GRE, "Discovering Support")."""

ENCRYPTED_ONLY: Final = "urn:xmpp:gre:encrypted_only:0"
"""Feature of a gateway that takes only encrypted content (GRE, "Business Rules")."""

FORM_TYPE: Final = "urn:xmpp:gre:data"
"""FORM_TYPE of the data form (GRE, "Relayed Encryption Data")."""

EME: Final = "urn:xmpp:eme:0"
"""Explicit Message Encryption (XEP-0380)."""

LIMITS: Final = "urn:xmpp:gre:limits:0"
"""Namespace of the data field by which a gateway announces its size limit (ours, see :data:`MAX_SIZE`)."""

MAX_SIZE: Final = f"{{{LIMITS}}}max-size"
"""Data field: how many bytes the serialised ``<encrypted/>`` element may have at most (a decimal number)."""

MAX_NAME: Final = 64
"""Longest formatter or encrypter name that is accepted, in characters."""


class Kind(StrEnum):
    """What a namespace names."""

    FORMATTER = "formatter"
    ENCRYPTER = "encrypter"


_URN = re.compile(
    r"urn:xmpp:gre:(?P<kind>formatter|encrypter):(?P<name>[a-z0-9][a-z0-9_.+-]{0,63}):(?P<version>0|[1-9][0-9]{0,8})",
    re.ASCII,
)


@dataclass(frozen=True, order=True, slots=True, repr=False)
class Namespace:
    """The namespace of one version of one formatter or encrypter (GRE, "Formatter" and "Encrypter").

    Order is by kind, name, version, so that ``max()`` over one name gives the highest version.

    Arguments:
        kind: formatter or encrypter.
        name: the short name, 1 to 64 characters of ``a-z 0-9 _ . + -``, starting with a letter or digit.
        version: a whole number from 0 to 999,999,999, written without leading zeros.

    Raises:
        InvalidNamespace: the three do not make a well-formed URN.
    """

    kind: Kind
    name: str
    version: int

    def __post_init__(self) -> None:
        if _URN.fullmatch(str(self)) is None:
            raise InvalidNamespace(str(self)[:160])

    @classmethod
    @lru_cache(maxsize=256)
    def parse(cls, text: str, kind: Kind | None = None) -> Namespace:
        """Read a namespace from its URN.

        Arguments:
            text: for example ``urn:xmpp:gre:encrypter:openpgp:0``.
            kind: when given, the other kind is refused.

        Raises:
            InvalidNamespace: not a well-formed URN, or of the other kind.
        """
        match = _URN.fullmatch(text) if len(text) <= _LONGEST else None
        if match is None or (kind is not None and match["kind"] != kind):
            raise InvalidNamespace(text[:160])
        return cls(Kind(match["kind"]), match["name"], int(match["version"]))

    def __str__(self) -> str:
        return f"urn:xmpp:gre:{self.kind}:{self.name}:{self.version}"

    def __hash__(self) -> int:
        return hash(
            self.name
        )  # names hardly ever share a dictionary with another version, and this one is cached

    def __repr__(self) -> str:
        return f"Namespace({str(self)!r})"


_LONGEST: Final = len("urn:xmpp:gre:formatter::") + MAX_NAME + 9


def formatter(name: str, version: int = 0) -> Namespace:
    """Make the namespace of a formatter; raises :class:`InvalidNamespace`."""
    return Namespace(Kind.FORMATTER, name, version)


def encrypter(name: str, version: int = 0) -> Namespace:
    """Make the namespace of an encrypter; raises :class:`InvalidNamespace`."""
    return Namespace(Kind.ENCRYPTER, name, version)


def package_for(namespace: Namespace) -> str:
    """Give the package that by convention provides a namespace (``gre-formatter-mime``)."""
    return f"gre-{namespace.kind}-{namespace.name.replace('_', '-').replace('.', '-')}"

"""Two feature sets in, an agreement or a reasoned refusal out. Pure functions.

>>> from gre_core.namespaces import formatter, encrypter
>>> theirs = read_features(
...     ["urn:xmpp:gre:0", "urn:xmpp:gre:formatter:mime:0", "urn:xmpp:gre:encrypter:openpgp:0"]
... )
>>> negotiate({formatter("mime")}, {encrypter("openpgp")}, theirs).encrypter
Namespace('urn:xmpp:gre:encrypter:openpgp:0')
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from gre_core.errors import InvalidNamespace, NoCommonGround, NotAGateway
from gre_core.namespaces import ENCRYPTED_ONLY, GRE, Kind, Namespace, package_for

MAX_FEATURES = 2000
"""How many features of a peer are looked at."""

_SHOWN = 20
_ADVISED = 5

Pair = tuple[Namespace, Namespace]
"""A formatter and an encrypter."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a peer announces.

    Arguments:
        gre: whether it announces ``urn:xmpp:gre:0``.
        encrypted_only: whether it takes only encrypted content.
        formatters: those that it announces.
        encrypters: those that it announces.
    """

    gre: bool
    encrypted_only: bool
    formatters: frozenset[Namespace]
    encrypters: frozenset[Namespace]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The pair to use, and why.

    Arguments:
        formatter: the chosen one.
        encrypter: the chosen one.
        reason: for people.
    """

    formatter: Namespace
    encrypter: Namespace
    reason: str

    @property
    def pair(self) -> Pair:
        """Both namespaces."""
        return self.formatter, self.encrypter


def read_features(features: Iterable[str]) -> Offer:
    """Sort the features of a disco#info answer. Unknown and malformed ones are ignored (GRE, "Discovering Support")."""
    known: dict[Kind, set[Namespace]] = {Kind.FORMATTER: set(), Kind.ENCRYPTER: set()}
    gre = encrypted_only = False
    for number, feature in enumerate(features):
        if number >= MAX_FEATURES:
            break
        if feature == GRE:
            gre = True
        elif feature == ENCRYPTED_ONLY:
            encrypted_only = True
        elif feature.startswith("urn:xmpp:gre:"):
            try:
                namespace = Namespace.parse(feature)
            except InvalidNamespace:
                continue
            known[namespace.kind].add(namespace)
    return Offer(gre, encrypted_only, frozenset(known[Kind.FORMATTER]), frozenset(known[Kind.ENCRYPTER]))


def rank(namespace: Namespace, order: Sequence[str]) -> tuple[int, str, int]:
    """Give the place of a namespace: smaller is better. By the order of names, then by name; higher versions first."""
    place = order.index(namespace.name) if namespace.name in order else len(order)
    return place, namespace.name, -namespace.version


def negotiate(
    formatters: Collection[Namespace],
    encrypters: Collection[Namespace],
    theirs: Offer,
    *,
    formatter_order: Sequence[str] = (),
    encrypter_order: Sequence[str] = (),
    refused: Collection[Pair] = (),
) -> Agreement:
    """Choose a pair (GRE, "Formatter" and "Encrypter").

    Within a name the highest version that both have; across names our order, the encrypter before the formatter.

    Arguments:
        formatters: ours.
        encrypters: ours.
        theirs: the peer's offer.
        formatter_order: names that we prefer, best first; others follow by name.
        encrypter_order: the same for encrypters.
        refused: pairs that the peer refused.

    Raises:
        NotAGateway: the peer does not announce GRE.
        NoCommonGround: no pair is left; the text says what they offer, what we have and what to install.
    """
    if not theirs.gre:
        raise NotAGateway(
            f"The peer does not announce {GRE}: it does not relay encrypted messages. Check the address, or ask "
            "the operator of the gateway."
        )
    common_formatters = sorted(
        theirs.formatters.intersection(formatters), key=lambda ns: rank(ns, formatter_order)
    )
    common_encrypters = sorted(
        theirs.encrypters.intersection(encrypters), key=lambda ns: rank(ns, encrypter_order)
    )
    for encrypter in common_encrypters:
        for formatter in common_formatters:
            if (formatter, encrypter) not in refused:
                return Agreement(
                    formatter,
                    encrypter,
                    f"{_why(formatter, common_formatters, formatter_order)}; "
                    f"{_why(encrypter, common_encrypters, encrypter_order)}"
                    + (f"; {len(refused)} other pair(s) refused by the gateway" if refused else ""),
                )
    raise _no_common_ground(formatters, encrypters, theirs, refused)


def _why(chosen: Namespace, common: Sequence[Namespace], order: Sequence[str]) -> str:
    names = {namespace.name for namespace in common}
    if len(common) == 1:
        return f"{chosen.kind} {chosen.name}:{chosen.version} is the only one that both have"
    if len(names) == 1:
        return f"{chosen.kind} {chosen.name}:{chosen.version} is the highest version that both have"
    why = (
        "comes first in the policy" if chosen.name in order else "comes first by name (the policy names none)"
    )
    return f"{chosen.kind} {chosen.name}:{chosen.version} {why}"


def _no_common_ground(
    formatters: Collection[Namespace],
    encrypters: Collection[Namespace],
    theirs: Offer,
    refused: Collection[Pair],
) -> NoCommonGround:
    parts = []
    install: list[str] = []
    headline = "No formatter and encrypter in common."
    have = {package_for(namespace) for namespace in (*formatters, *encrypters)}
    for kind, ours, offered in (
        (Kind.FORMATTER, formatters, theirs.formatters),
        (Kind.ENCRYPTER, encrypters, theirs.encrypters),
    ):
        parts.append(f"{kind}s: they offer {_list(offered)}, we have {_list(ours)}")
        if not offered.intersection(ours):
            install += sorted({package_for(namespace) for namespace in offered})[:_ADVISED]
    if install and have.issuperset(install):
        advice = f"Another version of what they offer is here: update {' and '.join(install)}."
    elif install:
        # The peer chose these names, so the advice must not lead to whatever somebody uploaded under them.
        advice = (
            f"A package that provides it is by convention named {' or '.join(install)}: install it only from "
            "somebody whom you trust."
        )
    elif refused:
        pairs = ", ".join(f"{formatter.name}+{encrypter.name}" for formatter, encrypter in sorted(refused))
        headline = f"The gateway refused every pair of formatter and encrypter that both have ({pairs})."
        advice = "Ask its operator."
    else:
        advice = "Ask the operator of the gateway what it is made for."
    return NoCommonGround(
        f"{headline} {'; '.join(parts)}. {advice}",
        offered=sorted(map(str, theirs.formatters | theirs.encrypters))[: _SHOWN * 2],
        installed=sorted(map(str, {*formatters, *encrypters})),
        install=install,
    )


def _list(namespaces: Iterable[Namespace]) -> str:
    return (
        ", ".join(f"{namespace.name}:{namespace.version}" for namespace in sorted(namespaces)[:_SHOWN])
        or "none"
    )

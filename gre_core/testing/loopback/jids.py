"""JIDs as the router compares them (RFC 7622, with the older string preparation that servers use)."""

from __future__ import annotations

import stringprep
import unicodedata
from functools import lru_cache
from typing import NamedTuple

_PART_LIMIT = 1023
_NODE_FORBIDDEN = frozenset("\"&'/:<>@ ")


class Jid(NamedTuple):
    """A prepared JID; ``node`` and ``resource`` are empty when absent."""

    node: str
    domain: str
    resource: str

    @property
    def bare(self) -> str:
        """The JID without its resource."""
        return f"{self.node}@{self.domain}" if self.node else self.domain

    def __str__(self) -> str:
        return f"{self.bare}/{self.resource}" if self.resource else self.bare


@lru_cache(maxsize=1024)
def parse(text: str) -> Jid | None:
    """Return the prepared JID, or None when it is no JID."""
    bare, slash, resource = text.partition("/")
    node, at, domain = bare.rpartition("@")
    domain = domain.lower()
    node = unicodedata.normalize("NFKC", node.lower()) if at else ""
    if (slash and not resource) or (at and not node) or not domain:
        return None
    if any(len(part.encode(errors="replace")) > _PART_LIMIT for part in (node, domain, resource)):
        return None
    if any(char in _NODE_FORBIDDEN for char in node + domain) or _has_control(node + domain + resource):
        return None
    return Jid(node, domain, resource)


def bare(text: str) -> str:
    """Return the text of a JID without its resource."""
    return text.partition("/")[0]


def _has_control(text: str) -> bool:
    return not text.isprintable() and any(
        stringprep.in_table_c21_c22(char) or stringprep.in_table_c5(char) for char in text
    )

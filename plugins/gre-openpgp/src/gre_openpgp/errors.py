"""The one error that reading OpenPGP material adds to the tree of :mod:`gre_core.errors`."""

from __future__ import annotations

from gre_core.errors import RemoteProtocolError


class BadOpenPGP(RemoteProtocolError):
    """A key, an armor or a key node is malformed, too large, or not of the kind that was asked for."""

    code = "bad-openpgp"

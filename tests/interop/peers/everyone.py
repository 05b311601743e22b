"""The peers, and what of each is tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peers.deltachat import DeltaChat
from peers.gnupg import GnuPG
from peers.mutt import Mutt, NeoMutt
from peers.notmuch import Notmuch
from peers.openpgpjs import OpenPGPjs
from peers.rnp import Rnp
from peers.sqop import Sqop
from peers.thunderbird import Thunderbird

if TYPE_CHECKING:
    from peers.peer import Peer

PEERS: tuple[type[Peer], ...] = (DeltaChat, GnuPG, Mutt, NeoMutt, Notmuch, OpenPGPjs, Rnp, Sqop, Thunderbird)

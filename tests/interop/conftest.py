"""The office, and the peers that were introduced to it: each made once in a worker, when a test wants it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from peers.meeting import Meeting
from peers.office import Office
from peers.table import lines_of, note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from peers.peer import Peer
    from peers.table import Row

PAGE = Path(__file__).parents[2] / "docs" / "interop.md"
ROWS = os.environ.get("GRE_INTEROP_ROWS")
"""A file: then what is seen is written there, for ``nox -s interop_table``, and not compared with the page."""


@pytest.fixture(scope="session")
def office() -> Iterator[Office]:
    with Office() as made:
        yield made


@pytest.fixture(scope="session")
def meet(office: Office) -> Iterator[Callable[[type[Peer]], Meeting]]:
    """``meet(GnuPG)``: a peer who exchanged keys with our user."""
    met: dict[type[Peer], Meeting] = {}
    peers: list[Peer] = []

    def introduce(kind: type[Peer]) -> Meeting:
        if kind not in met:
            peer = kind(f"{kind.__name__.lower()}@outside.example")
            peers.append(peer)
            met[kind] = Meeting(peer, office)
        return met[kind]

    yield introduce
    for peer in peers:
        peer.close()


@pytest.fixture
def tell() -> Callable[[Row, Peer], None]:
    """``tell(row, peer)``: compare a row with the page, or write the page's next version."""

    def compare(row: Row, peer: Peer) -> None:
        if ROWS:
            note(row, peer.version(), ROWS)
        else:
            lines = lines_of(PAGE.read_text(encoding="utf-8"))
            assert (row.direction, row.line) in lines, (
                f"docs/interop.md says something else about {row.program}. If this is right: nox -s interop_table\n{row.line}"
            )

    return compare

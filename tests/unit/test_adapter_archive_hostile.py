"""Catching up from an archive that is hostile or damaged, over a stream that the test plays."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, SubElement

import pytest

from gre_core.errors import PeerError, PeerTimeout
from gre_core.model import Direction
from gre_core.opening import Received
from gre_core.outbox import SendState, Sent
from gre_core.ports import DiscoInfo
from gre_core.slixmpp import archive as module
from gre_core.slixmpp.archive import CatchUp
from gre_core.testing.fakes import run, through_xml
from gre_core.testing.scene import ACCOUNT, CONTACT, Scene

if TYPE_CHECKING:
    from gre_core.opening import Unopened

MAM = "urn:xmpp:mam:2"
RSM = "{http://jabber.org/protocol/rsm}"


class Archive:
    """A server with an archive: what it gives is a list of (id, stanza)."""

    def __init__(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scene = scene
        self.entries: list[tuple[str, Element]] = []
        self.features = {MAM, "urn:xmpp:sid:0"}
        self.sender: str | None = ACCOUNT
        self.queries = 0
        self.error: Exception | None = None
        self.more: list[Element] = []
        self.complete: bool | None = None
        self.told: list[Any] = []
        self.receipts: list[Element] = []
        self.catch_up = CatchUp(self, scene.client, timedelta(days=7), self.deliver)  # type: ignore[arg-type]
        ask = scene.network.disco_info

        async def disco_info(jid: str) -> DiscoInfo:
            return DiscoInfo(frozenset(self.features)) if jid == ACCOUNT else await ask(jid)

        monkeypatch.setattr(scene.network, "disco_info", disco_info)

    async def deliver(self, result: Received | Unopened | Sent) -> bool:
        self.told.append(result)
        return True

    def put(self, stanza: Element, *, wait: bool = False) -> None:
        assert wait
        self.receipts.append(stanza)

    def result(self, query: str, entry: tuple[str, Element]) -> Element:
        message = Element("{jabber:client}message", {"to": f"{ACCOUNT}/a"})
        if self.sender is not None:
            message.set("from", self.sender)
        found = SubElement(message, f"{{{MAM}}}result", {"queryid": query, "id": entry[0]})
        forwarded = SubElement(found, "{urn:xmpp:forward:0}forwarded")
        SubElement(forwarded, "{urn:xmpp:delay}delay", {"stamp": "2027-01-01T00:00:00Z"})
        forwarded.append(through_xml(entry[1]))
        return message

    async def iq(self, jid: str | None, kind: str, query: Element) -> Element:
        assert (jid, kind) == (None, "set")
        self.queries += 1
        if self.error is not None:
            raise self.error
        after, size = query.findtext(f"{RSM}set/{RSM}after"), int(query.findtext(f"{RSM}set/{RSM}max") or 0)
        ids = [entry[0] for entry in self.entries]
        begin = ids.index(after) + 1 if after is not None else 0
        for stanza in self.more:
            self.catch_up.take(stanza)
        for entry in self.entries[begin : begin + size]:
            assert self.catch_up.take(self.result(query.get("queryid", ""), entry)) is (
                self.sender in {ACCOUNT, None}
            )
        complete = begin + size >= len(self.entries) if self.complete is None else self.complete
        return Element(f"{{{MAM}}}fin", {"complete": str(complete).lower()})

    def texts(self) -> list[str]:
        return [one.message.text for one in self.told if isinstance(one, Received)]


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Archive:
    made = Archive(Scene(), monkeypatch)
    made.entries = [(f"a{number}", made.scene.from_legacy(str(number))) for number in range(5)]
    return made


def test_what_is_archived_is_told_once_with_its_flag(archive: Archive) -> None:
    assert run(archive.catch_up.run()) == ()
    assert archive.texts() == ["0", "1", "2", "3", "4"]
    assert all(one.archived and not one.repeated for one in archive.told)
    assert [receipt.get("to") for receipt in archive.receipts] == [CONTACT] * 5
    archive.scene.restart()
    archive.catch_up = CatchUp(archive, archive.scene.client, timedelta(7), archive.deliver)  # type: ignore[arg-type]
    run(archive.catch_up.run())
    assert len(archive.told) == 5


@pytest.mark.parametrize("sender", [CONTACT, "mail.example.net", "example.org", f"{ACCOUNT}/evil"])
def test_results_of_others_are_no_results(archive: Archive, sender: str) -> None:
    archive.sender = sender
    run(archive.catch_up.run())
    assert archive.told == []


def test_results_that_nobody_asked_for_are_left_alone(archive: Archive) -> None:
    assert not archive.catch_up.take(archive.result("", archive.entries[0]))
    archive.more = [archive.result("guessed", archive.entries[0])] * 3
    run(archive.catch_up.run())
    assert archive.texts() == ["0", "1", "2", "3", "4"]
    assert not archive.catch_up.take(archive.result("late", archive.entries[0]))


def test_a_server_without_archive_is_not_asked(archive: Archive) -> None:
    archive.features = {"urn:xmpp:mam:1"}
    assert run(archive.catch_up.run()) == ()
    assert archive.queries == 0
    assert not archive.scene.client.handled.complete


def test_an_error_is_told_and_a_lost_stream_is_not(archive: Archive) -> None:
    archive.error = PeerError("Come back later.", condition="internal-server-error")
    (notice,) = run(archive.catch_up.run())
    assert notice.code == "archive-failed"
    assert "Come back later." in notice.text
    archive.error = PeerTimeout("gone")
    assert run(archive.catch_up.run()) == ()
    assert not archive.scene.client.handled.complete


def test_an_archive_without_end_ends(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    archive.complete = False  # and after the last one it begins anew with nothing
    run(archive.catch_up.run())
    assert archive.texts() == ["0", "1", "2", "3", "4"]
    assert archive.queries <= 5


def test_a_page_larger_than_asked_for_is_cut_and_the_rest_comes(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PAGE_BYTES", 1)
    run(archive.catch_up.run())
    assert archive.texts() == ["0", "1", "2", "3", "4"], "one by one"


def test_receipts_are_few(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RECEIPTS", 2)
    run(archive.catch_up.run())
    assert len(archive.receipts) == 2


def test_archived_receipts_and_errors_settle_what_waits(archive: Archive) -> None:
    sent = archive.scene.send("waits")
    relayed = archive.scene.gateway.receipt(archive.scene.relay())
    assert relayed is not None
    archive.entries.append(("a-sent", archive.scene.last))
    archive.entries.append(("a-receipt", relayed))
    run(archive.catch_up.run())
    (state,) = [one for one in archive.told if isinstance(one, Sent)]
    assert (state.id, state.state) == (sent.id, SendState.RELAYED)
    assert all(one.direction is Direction.RECEIVED for one in archive.told if isinstance(one, Received)), (
        "ours"
    )


def test_what_another_device_sent_gets_no_receipt(archive: Archive) -> None:
    archive.scene.send("from another device")
    other = archive.scene.last
    archive.entries = [("a1", other)]
    scene = Scene()  # another device with a store of its own
    archive.catch_up = CatchUp(archive, scene.client, timedelta(7), archive.deliver)  # type: ignore[arg-type]
    scene.client.network = archive.scene.client.network
    run(archive.catch_up.run())
    assert [one.direction for one in archive.told] == [Direction.SENT]
    assert archive.receipts == []

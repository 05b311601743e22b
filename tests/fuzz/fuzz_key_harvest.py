"""Received mails with keys, as the gateway takes them: what is kept, and what it would serve of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pysequoia
from gre_gateway_email.keys.harvest import Harvest
from gre_gateway_email.keys.lookup import key_date
from gre_gateway_email.mail.addresses import check_address
from gre_openpgp.autocrypt import MAX_HEADER, header_value
from gre_openpgp.certificate_parts import Parts, life_of
from gre_openpgp.xep0373 import PublicKey

from gre_core.errors import GreError
from gre_core.testing.fakes import run as drive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gre_gateway_email.mail.mime_scan import Entity
    from gre_gateway_email.store.store import ContactKeys

NAME = "key-harvest"

NOW = 1_800_000_000.0
SENDER = "bob@mail.example"


async def _vouched(_mail: Entity, _sender: str, _address: str) -> bool:
    return True


def _told(_user: str, _address: str) -> None: ...


_NO_STORE: ContactKeys = None  # type: ignore[assignment]
_HARVEST = Harvest(_NO_STORE, _vouched, _told, lambda: NOW)


def seeds() -> Iterator[bytes]:
    """Give mails with keys of each version, written in several ways."""
    for profile in (pysequoia.Profile.RFC4880, pysequoia.Profile.RFC9580):
        key = bytes(pysequoia.Tsk.generate(f"Bob <{SENDER}>", profile=profile).extract_certificate())
        header = header_value(SENDER, key, mutual=True)
        for written in (f"Bob <{SENDER}>", f'"Bob, B." <{SENDER.upper()}>', f"{SENDER} (Bob)"):
            yield (
                f"From: {written}\r\nDate: Mon, 23 Nov 2026 09:00:00 +0000\r\nAutocrypt: {header}\r\n"
                f"Autocrypt: addr=eve@mail.example; keydata=AAAA\r\n\r\nHello\r\n"
            ).encode()


def run(data: bytes) -> None:
    """Read it, and do with the key what serving it does."""
    header = drive(_HARVEST.read(SENDER, data))
    if header is None:
        return
    check_address(header.address)
    assert len(header.data) <= MAX_HEADER
    assert 0 <= header.date <= NOW
    key = PublicKey.read(header.data)
    assert key_date(key.data)
    public = Parts(key.data).public(header.address)
    assert public is None or PublicKey.read(public).fingerprint == key.fingerprint
    try:
        header_value(header.address, key.data)
        life_of(key.data).over(time.time())
    except GreError:
        pass

"""Looking up a contact's keys in the store of an account with 100,000 contacts."""

from __future__ import annotations

import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pysequoia
from gre_encrypter_openpgp.engine import ENGINE
from gre_openpgp.contact_record import (
    PREFIX,
    By,
    ContactRecord,
    KeyState,
    KnownKey,
    Seen,
    Source,
    write_record,
)
from gre_openpgp.encrypting.contacts import Contacts
from gre_openpgp.encrypting.keymaking import make_key
from gre_openpgp.xep0373 import PublicKey

from gre_core import FileStore, Ports
from gre_core.stores import _file_name
from gre_core.testing.fakes import FakePubSub

if TYPE_CHECKING:
    from crypto import Figures

CONTACTS = 100_000
SAMPLES = 200


def _jid(number: int) -> str:
    return f"user{number}\\40mail.example@gateway.example"


def _record() -> bytes:
    now = datetime.now(UTC)
    secret = pysequoia.Tsk.from_bytes(make_key("<user@mail.example>", now))
    key = PublicKey.read(bytes(secret.extract_certificate()), "2027-01-01T00:00:00Z")
    seen = {Source.XEP0373: Seen(now, now), Source.WKD: Seen(now, now)}
    known = KnownKey(key, KeyState.ACCEPTED, By.CONFIRMED, seen)
    return write_record(ContactRecord({known.fingerprint: known}))


async def lookup() -> tuple[Figures, Figures]:
    """Measure the first look at a contact in a session, from the disk to the parsed keys, and a later one.

    Result:
        No ratios, and medians in milliseconds.
    """
    record = _record()
    with tempfile.TemporaryDirectory(prefix="gre") as name:
        folder = Path(name) / "store"
        folder.mkdir(mode=0o700)
        for number in range(CONTACTS):
            (folder / _file_name(PREFIX + _jid(number))).write_bytes(record)
        ports = Ports(FileStore(folder), FakePubSub())
        contacts = Contacts(ENGINE)
        await contacts.to_verify("nobody@gateway.example", ports)  # looks after the directory once
        figures = {}
        for what in ("first", "later"):
            samples = []
            for number in range(0, CONTACTS, CONTACTS // SAMPLES):
                start = time.perf_counter()
                contact = await contacts.to_verify(_jid(number), ports)
                samples.append(time.perf_counter() - start)
                assert contact.parsed
            figures[f"contact_lookup_100k_{what}_ms"] = statistics.median(samples) * 1000
    return {}, figures

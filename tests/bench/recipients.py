"""Sealing to many recipients, against bare pysequoia with the same keys, in one run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pysequoia
from gre_openpgp.xep0373 import PUBLIC_KEYS, Announced, PublicKey, data_node, list_element, pubkey_element

from gre_core import Item
from gre_core.api import Recipient, SealJob
from gre_core.model import DataForm

from crypto import TEXT, Figures, _secret_key, interleave  # isort: skip - beside this script
from parties import MIME, OPENPGP, two_parties  # isort: skip

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

COUNTS = (1, 10, 100)
ROUNDS = 60


def _publish(number: int, shared: dict[tuple[str, str], dict[str, Item]]) -> tuple[Recipient, pysequoia.Cert]:
    """Let one more contact announce a key (XEP-0373)."""
    from gre_openpgp.encrypting.keymaking import make_key

    address = f"contact{number}@c.example"
    jid = f"contact{number}\\40c.example@gateway"
    cert = pysequoia.Tsk.from_bytes(make_key(f"<{address}>")).extract_certificate()
    date = "2026-01-01T00:00:00Z"
    key = PublicKey.read(bytes(cert), date)
    listed: Element = list_element([Announced(key.fingerprint, date)])
    shared[jid, PUBLIC_KEYS] = {"current": Item("current", listed)}
    shared[jid, data_node(key.fingerprint)] = {date: Item(date, pubkey_element(key.data))}
    return Recipient(jid, address), cert


async def recipients() -> tuple[Figures, Figures]:
    """Measure finding the keys, signing and encrypting 1 KB to 1, 10 and 100 recipients and ourselves.

    Result:
        The ratios (our time over theirs), and the medians in milliseconds.
    """
    shared: dict[tuple[str, str], dict[str, Item]] = {}
    sender, _ = await two_parties(shared=shared)
    own = pysequoia.Tsk.from_bytes(await _secret_key(sender))
    encrypter: Any = sender.plugins.encrypter(OPENPGP)
    contacts = [_publish(number, shared) for number in range(max(COUNTS))]
    payload = TEXT.encode()
    ratios: Figures = {}
    absolute: Figures = {}
    for count in COUNTS:
        to = tuple(recipient for recipient, _ in contacts[:count])
        form = DataForm("alice@a.example")
        job = SealJob(sender.account, to, form, MIME, OPENPGP, "0" * 32, datetime.now(UTC))
        certs = [*(cert for _, cert in contacts[:count]), own.extract_certificate()]
        signer = own.signer()

        async def seal(job: SealJob = job) -> None:
            keys = await encrypter.seal_keys(job, sender.ports)
            await encrypter.encrypt(payload, keys, sender.ports)

        def bare(certs: list[pysequoia.Cert] = certs, signer: pysequoia.PySigner = signer) -> None:
            pysequoia.encrypt(payload, certs, signer, armor=False)

        ours, theirs = await interleave(ROUNDS, seal, bare)
        ratios[f"encrypt_to_{count}_vs_pysequoia"] = ours / theirs
        absolute |= {f"encrypt_to_{count}_ms": ours, f"encrypt_to_{count}_pysequoia_ms": theirs}
    return ratios, absolute

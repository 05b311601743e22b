"""Sealing and opening against bare pysequoia, PGPy and a gpg subprocess, in one run.

Each pair of samples is taken in turn, so that both meet the same machine.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pysequoia

from gre_core import Direction, Message, Received
from gre_core.api import Attachment, OpenJob, Recipient, SealJob
from gre_core.model import DataForm

from parties import MIME, OPENPGP, two_parties  # isort: skip - beside this script

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from gre_core import ClientEngine

TEXT = ("The quick brown fox jumps over the lazy dog. Pack my box with five dozen jugs.\n" * 13)[:1000]
MEGABYTE = 1 << 20

WARM = 10
"""How often ours runs between two runs of PGPy and gpg; the last time counts."""

Figures = dict[str, float]


async def _secret_key(engine: ClientEngine) -> bytes:
    from gre_encrypter_openpgp.management import OwnKeys
    from gre_openpgp.armor import PRIVATE_KEY, dearmor

    return dearmor(await OwnKeys("", engine.ports).export(secret=True), PRIVATE_KEY)


def median_ms(samples: list[float]) -> float:
    """Give the median of seconds in milliseconds."""
    return statistics.median(samples) * 1000


async def interleave(rounds: int, *works: Callable[[], Awaitable[object] | object]) -> list[float]:
    """Run each work in turn, many times; give the median of each in milliseconds."""
    samples: list[list[float]] = [[] for _ in works]
    gc.collect()
    gc.disable()  # as timeit does: what one work leaves behind must not be counted for another
    try:
        for number in range(rounds + 1):
            for work, times in zip(works, samples, strict=True):
                start = time.perf_counter()
                result = work()
                if isinstance(result, Awaitable):
                    await result
                if number:  # the first round warms up
                    times.append(time.perf_counter() - start)
    finally:
        gc.enable()
    return [median_ms(times) for times in samples]


class Bare:
    """What a user would write with a library: the same keys, read once; no formatting, no wire."""

    def __init__(self, sender: bytes, recipient: bytes) -> None:
        sender_key, recipient_key = pysequoia.Tsk.from_bytes(sender), pysequoia.Tsk.from_bytes(recipient)
        self.certs = [recipient_key.extract_certificate(), sender_key.extract_certificate()]
        self.signer = sender_key.signer()
        self.decryptor = recipient_key.decryptor()
        self.store = lambda _ids: [self.certs[1]]

    def seal(self, payload: bytes) -> bytes:
        """Sign and encrypt to both."""
        return pysequoia.encrypt(payload, self.certs, self.signer, armor=False)

    def open(self, message: bytes) -> object:
        """Decrypt and verify."""
        opened = pysequoia.decrypt(message, self.decryptor, self.store)
        assert opened.valid_sigs
        return opened


class WithPGPy:
    """The same by PGPy, keys read once."""

    def __init__(self, sender: bytes, recipient: bytes) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pgpy

            self._pgpy: Any = pgpy
            self.sender = pgpy.PGPKey.from_blob(sender)[0]
            self.recipient = pgpy.PGPKey.from_blob(recipient)[0]

    def seal(self, payload: bytes) -> bytes:
        """Sign and encrypt to both."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            constants = self._pgpy.constants
            cipher = constants.SymmetricKeyAlgorithm.AES256
            message = self._pgpy.PGPMessage.new(
                payload, compression=constants.CompressionAlgorithm.Uncompressed
            )
            message |= self.sender.sign(message)
            key = cipher.gen_key()
            message = self.recipient.pubkey.encrypt(message, cipher=cipher, sessionkey=key)
            return bytes(self.sender.pubkey.encrypt(message, cipher=cipher, sessionkey=key))

    def open(self, message: bytes) -> object:
        """Decrypt and verify."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = self.recipient.decrypt(self._pgpy.PGPMessage.from_blob(message))
            assert self.sender.pubkey.verify(opened)
            return opened


class WithGnuPG:
    """The same by a gpg process for each message, as many mail programs do."""

    def __init__(self, home: Path, sender: bytes, recipient: bytes) -> None:
        home.mkdir(mode=0o700)
        self._command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--trust-model", "always"]
        for key in (sender, recipient):
            subprocess.run([*self._command, "--import"], input=key, check=True, capture_output=True)

    def _run(self, *arguments: str, data: bytes) -> bytes:
        return subprocess.run(
            [*self._command, *arguments], input=data, check=True, capture_output=True
        ).stdout

    def seal(self, payload: bytes) -> bytes:
        """Sign and encrypt to both."""
        who = ["-r", "bob@b.example", "-r", "alice@a.example", "-u", "alice@a.example"]
        return self._run("--compress-algo", "none", "--sign", "--encrypt", *who, data=payload)

    def open(self, message: bytes) -> object:
        """Decrypt and verify."""
        return self._run("--decrypt", data=message)

    def stop(self) -> None:
        """End the agent that gpg started."""
        home = self._command[2]
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)


async def small() -> tuple[Figures, Figures]:
    """Measure 1 KB, from the message to the stanza element and back.

    Result:
        The ratios (our time over theirs), and the medians in milliseconds.
    """
    sender, recipient = await two_parties()
    keys = [await _secret_key(engine) for engine in (sender, recipient)]
    message = Message(text=TEXT, subject="A kilobyte")
    payload = sender.plugins.formatter(MIME).format(message, _seal_job(sender, recipient))
    bare, pgpy = Bare(*keys), WithPGPy(*keys)

    async def seal() -> None:
        await sender.seal(recipient.account, message)

    async def received() -> Element:
        stanza = (await sender.seal(recipient.account, message)).stanza
        stanza.set("from", sender.account)
        return stanza

    waiting = iter([await received() for _ in range(301 + WARM * 21)])

    async def open_() -> None:
        opened = await recipient.handle(next(waiting))
        assert isinstance(opened, Received)
        assert opened.verdict.signature == "good"

    sealed = bare.seal(payload)
    waiting_bare = iter([bare.seal(payload) for _ in range(301)])
    ratios: Figures = {}
    absolute: Figures = {}
    with tempfile.TemporaryDirectory(prefix="gre") as folder:
        gpg = WithGnuPG(Path(folder) / "g", *keys)
        try:
            ours, theirs = await interleave(300, seal, lambda: bare.seal(payload))
            # PGPy and a process cool the caches down; a program that seals all day does not run between them.
            *_, beside, by_pgpy, by_gpg = await interleave(
                20, *[seal] * WARM, lambda: pgpy.seal(payload), lambda: gpg.seal(payload)
            )
            ours_open, theirs_open = await interleave(300, open_, lambda: bare.open(next(waiting_bare)))
            *_, beside_open, by_pgpy_open, by_gpg_open = await interleave(
                20, *[open_] * WARM, lambda: pgpy.open(sealed), lambda: gpg.open(sealed)
            )
        finally:
            gpg.stop()
    for name, mine, mine_beside, others in (
        ("seal_1k", ours, beside, {"pysequoia": theirs, "pgpy": by_pgpy, "gpg": by_gpg}),
        (
            "open_1k",
            ours_open,
            beside_open,
            {"pysequoia": theirs_open, "pgpy": by_pgpy_open, "gpg": by_gpg_open},
        ),
    ):
        absolute[f"{name}_ms"] = mine
        for other, figure in others.items():
            ratios[f"{name}_vs_{other}"] = (mine if other == "pysequoia" else mine_beside) / figure
            absolute[f"{name}_{other}_ms"] = figure
    return ratios, absolute


def _seal_job(sender: ClientEngine, recipient: ClientEngine) -> SealJob:
    return SealJob(
        sender.account,
        (Recipient(recipient.account, "bob@b.example"),),
        DataForm("alice@a.example"),
        MIME,
        OPENPGP,
        "0" * 32,
        sender.ports.now(),
    )


# -- 25 MB -----------------------------------------------------------------------------------------


async def large() -> tuple[Figures, Figures]:
    """Measure attachments of 25 and 100 MB."""
    ratios, absolute = await _large(25, 5)
    more, figures = await _large(100, 3)
    return ratios | more, absolute | figures


async def _large(size: int, rounds: int) -> tuple[Figures, Figures]:
    """Measure an attachment of so many MB, file to file up to the binary ciphertext."""
    with tempfile.TemporaryDirectory(prefix="gre") as name:
        folder = Path(name)
        attachment = folder / "photo.bin"
        attachment.write_bytes(os.urandom(size * MEGABYTE))
        sender, recipient = await two_parties()
        keys = [await _secret_key(engine) for engine in (sender, recipient)]
        bare = Bare(*keys)
        formatter: Any = sender.plugins.formatter(MIME)
        encrypter: Any = sender.plugins.encrypter(OPENPGP)
        decrypter: Any = recipient.plugins.encrypter(OPENPGP)
        message = Message(text=TEXT, attachments=(Attachment.from_path(attachment, "image/png"),))
        job = _seal_job(sender, recipient)
        opening = OpenJob(
            recipient.account, sender.account, Direction.RECEIVED, MIME, OPENPGP, "alice@a.example"
        )
        payload, sealed, opened = folder / "payload", folder / "sealed", folder / "opened"
        material = await encrypter.seal_keys(job, sender.ports)

        async def seal() -> None:
            with payload.open("wb") as sink:
                formatter.format_to(message, job, sink)
            await encrypter.encrypt_file(payload, sealed, material, sender.ports)

        def bare_seal() -> None:
            pysequoia.encrypt_file(payload, folder / "bare", bare.certs, bare.signer, armor=False)

        async def open_() -> None:
            result = await decrypter.decrypt_file(sealed, opened, opening, recipient.ports)
            assert result.verdict.signature == "good"
            with opened.open("rb") as source:
                parsed = formatter.parse_from(source, opening)
                with parsed.attachments[0].open() as content, (folder / "saved").open("wb") as saved:
                    while chunk := content.read(MEGABYTE):
                        saved.write(chunk)

        def bare_open() -> None:
            pysequoia.decrypt_file(sealed, folder / "bare", bare.decryptor, bare.store)

        await seal()
        await open_()
        assert (folder / "saved").read_bytes() == attachment.read_bytes()
        seal_ms, bare_seal_ms, open_ms, bare_open_ms = await interleave(
            rounds, seal, bare_seal, open_, bare_open
        )
    ratios = {
        f"seal_{size}m_vs_pysequoia": seal_ms / bare_seal_ms,
        f"open_{size}m_vs_pysequoia": open_ms / bare_open_ms,
    }
    absolute = {
        f"seal_{size}m_ms": seal_ms,
        f"seal_{size}m_pysequoia_ms": bare_seal_ms,
        f"open_{size}m_ms": open_ms,
        f"open_{size}m_pysequoia_ms": bare_open_ms,
    }
    return ratios, absolute


# -- memory and import -----------------------------------------------------------------------------


def peak_memory() -> tuple[Figures, Figures]:
    """Measure the peak of one seal and one open above the base, file to file, each in a fresh process.

    Result:
        Peak over payload, and the peaks in MiB.
    """
    ratios: Figures = {}
    absolute: Figures = {}
    for size in (25, 100):
        for what in ("seal", "open"):
            command = [sys.executable, str(Path(__file__).with_name("memory.py")), what, str(size)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            absolute[f"{what}_{size}m_peak_mib"] = float(printed)
        ratios[f"seal_{size}m_peak_vs_payload"] = absolute[f"seal_{size}m_peak_mib"] / size
    return ratios, absolute

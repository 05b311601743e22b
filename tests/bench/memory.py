"""Prints how many MiB one seal or one open of so many MB takes at its peak above the base. Run by crypto.py."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from gre_core import Direction, Message
from gre_core.api import Attachment, OpenJob

from crypto import MEGABYTE, TEXT, _seal_job  # isort: skip - beside this script
from parties import MIME, OPENPGP, two_parties  # isort: skip


def _kib(what: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{what}:\s+(\d+) kB$", status, re.MULTILINE)[1])  # type: ignore[index]


async def main(what: str, size: int) -> None:
    """Do it once to warm up with a small file, then with the large one, and print the difference."""
    sender, recipient = await two_parties()
    formatter: Any = sender.plugins.formatter(MIME)
    encrypter: Any = sender.plugins.encrypter(OPENPGP)
    decrypter: Any = recipient.plugins.encrypter(OPENPGP)
    job = _seal_job(sender, recipient)
    opening = OpenJob(recipient.account, sender.account, Direction.RECEIVED, MIME, OPENPGP, "alice@a.example")
    material = await encrypter.seal_keys(job, sender.ports)

    with tempfile.TemporaryDirectory(prefix="gre") as name:
        folder = Path(name)

        async def seal(megabytes: int) -> None:
            file = folder / "photo.bin"
            with file.open("wb") as sink:
                for _ in range(megabytes):
                    sink.write(os.urandom(MEGABYTE))
            message = Message(text=TEXT, attachments=(Attachment.from_path(file, "image/png"),))
            with (folder / "payload").open("wb") as sink:
                formatter.format_to(message, job, sink)
            await encrypter.encrypt_file(folder / "payload", folder / "sealed", material, sender.ports)

        async def open_() -> None:
            opened = folder / "opened"
            await decrypter.decrypt_file(folder / "sealed", opened, opening, recipient.ports)
            with opened.open("rb") as source:
                parsed = formatter.parse_from(source, opening)
                with parsed.attachments[0].open() as content:
                    while content.read(MEGABYTE):
                        pass

        for work in (lambda: seal(1), open_):
            await work()
        if what == "open":
            await seal(size)
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # begins a new peak (Linux)
        base = _kib("VmRSS")
        await (seal(size) if what == "seal" else open_())
        print((_kib("VmHWM") - base) / 1024)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))

"""A machine that finds one Web Key Directory by its real name and port, over HTTPS. Needs root, runs in fresh namespaces.

    unshare --mount --net --pid --fork --kill-child python wkd_machine.py FOLDER DOMAIN COMMAND...

``openpgpkey.DOMAIN`` is 127.0.0.1 there, port 443 of which ends TLS as a web server does, and passes on to the socket
FOLDER/wkd.sock. FOLDER/ca.pem is the only authority that programs trust.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import sys
import threading
from pathlib import Path

AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def serve(folder: Path, ready: threading.Event) -> None:
    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ahead, back = await asyncio.open_unix_connection(str(folder / "wkd.sock"))
        await asyncio.gather(pipe(reader, back), pipe(ahead, writer))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    server = await asyncio.start_server(connection, "127.0.0.1", 443, ssl=context)
    ready.set()
    await server.serve_forever()


def main() -> int:
    folder, domain, command = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost openpgpkey.{domain} {domain}\n")
    for source, target in ((hosts, "/etc/hosts"), (folder / "ca.pem", AUTHORITIES)):
        subprocess.run(["mount", "--bind", source, target], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    ready = threading.Event()
    threading.Thread(target=lambda: asyncio.run(serve(folder, ready)), daemon=True).start()
    if not ready.wait(60):
        return 99
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

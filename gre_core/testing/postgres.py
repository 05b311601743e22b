"""A throw-away PostgreSQL: the real server, unprivileged, in a temporary directory, on 127.0.0.1."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from gre_core.testing.managed import ProgramServer
from gre_core.testing.ports import LOOPBACK, free_port
from gre_core.testing.server import ServerProcess, TestServerError, as_user, find_program

_USER: Final = "gre"
_PASSWORD: Final = "secret"
_DATABASE: Final = "postgres"  # initdb makes it
_INSTALL: Final = "apt-get install postgresql"
_PATIENCE: Final = 60.0


class PostgresServer(ProgramServer):
    """Debian's PostgreSQL for one test: ready in half a second, gone afterwards.

    Example::

        async with PostgresServer() as server:
            store = await Store.open(server.url)

    What is committed is on the disk (``fsync`` and ``synchronous_commit`` are on), as in a stock installation, so that
    :meth:`kill` and :meth:`restart` show what survives. Differences: few connections, small buffers, no SSL, locale C.
    """

    def __init__(self) -> None:
        self.port = 0
        super().__init__(ServerProcess("postgresql", "postgres", _INSTALL))

    @staticmethod
    def installed() -> bool:
        """Tell whether there is a PostgreSQL server on this machine."""
        return all(find_program(name) is not None for name in ("initdb", "postgres", "pg_isready"))

    @property
    def url(self) -> str:
        """The database, with user and password."""
        return f"postgresql://{_USER}:{_PASSWORD}@{LOOPBACK}:{self.port}/{_DATABASE}"

    async def _begin(self) -> None:
        self._process.find()
        self.port = free_port()
        directory = self._process.directory
        await asyncio.to_thread(_copy, _template(), directory / "data")
        user = _unprivileged()
        if user is not None:
            shutil.chown(directory, user)
        await self.start()

    async def start(self) -> None:
        """Start it, after :meth:`kill` or :meth:`stop` on the same data; return when it answers queries.

        Raises:
            TestServerError: it does not start; the text holds the end of its log.
        """
        directory = self._process.directory
        settings = {
            "listen_addresses": LOOPBACK,
            "port": self.port,
            "unix_socket_directories": directory,
            "fsync": "on",
            "synchronous_commit": "on",
            "max_connections": 40,
            "shared_buffers": "16MB",
            "max_wal_size": "64MB",
            "logging_collector": "off",
        }
        arguments = [self._process.find(), "-D", str(directory / "data")]
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        await self._process.start(arguments, ports=[self.port], user=_unprivileged())
        async with asyncio.timeout(_PATIENCE):
            while not await self._answers():  # noqa: ASYNC110 - another process is asked
                await asyncio.sleep(0.03)

    async def stop(self) -> None:
        """Stop it in order (``fast`` shutdown); the data stays."""
        await self._process.end()

    async def restart(self) -> None:
        """Kill it and start it again on the same data and port."""
        await self.kill()
        await self.start()

    async def _answers(self) -> bool:
        program = find_program("pg_isready") or "pg_isready"
        process = await asyncio.create_subprocess_exec(
            program, "--quiet", "--host", LOOPBACK, "--port", str(self.port), "--dbname", _DATABASE
        )
        return await process.wait() == 0


def _unprivileged() -> str | None:
    """Whom to become: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    import pwd  # noqa: PLC0415 - only Unix has it, and this module is imported everywhere

    return "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody"


@cache
def _template() -> Path:
    """Make an empty data directory, once for this process: ``initdb`` takes a second, a copy less than a tenth."""
    directory = Path(tempfile.mkdtemp(prefix="gre-postgresql-template-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    password = directory / "password"
    password.write_text(_PASSWORD)
    user = _unprivileged()
    if user is not None:
        shutil.chown(directory, user)
        shutil.chown(password, user)
    program = find_program("initdb")
    if program is None:
        message = f"initdb is not installed. Install it: {_INSTALL}"
        raise TestServerError(message)
    made = subprocess.run(
        [
            *(program, "--pgdata", str(directory / "data"), "--username", _USER, "--pwfile", str(password)),
            *("--auth", "scram-sha-256", "--locale", "C", "--encoding", "UTF8", "--no-sync"),
        ],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        **as_user(user),
    )
    if made.returncode != 0:
        message = f"initdb failed:\n{made.stdout}"
        raise TestServerError(message)
    return directory / "data"


def _copy(source: Path, target: Path) -> None:
    """Copy a directory with the owners of its files, which ``shutil`` does not keep."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)

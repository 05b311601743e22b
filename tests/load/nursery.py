"""Starts gateway processes by fork, with all that they import already there: ``python nursery.py CONFIG``.

Most of a start is importing, and a proof that starts a gateway a thousand times would do little else. Each line on
standard input starts one, and is the number that it goes by; it runs what ``gre-email-gateway run`` runs. Standard output
tells its ``pid`` and how it ``ended``, between its own lines. One at a time.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
import traceback

MODULES = (
    "gre_gateway_email.commands.run",
    "gre_gateway_email.store.sql_store",
    "aiosqlite",
    "asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "gre_gateway_email.carriers.pgp_mime",
    "aiosmtpd.smtp",
    "aiosmtplib",
    "planted",
)


def main(config: str) -> None:
    """Start one for each line."""
    sys.modules.setdefault("gnupg", None)  # type: ignore[arg-type]  # as the gateway does
    for module in MODULES:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    if threading.active_count() != 1:
        message = "a process with threads cannot be forked"
        raise RuntimeError(message)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os._exit(_gateway(config, line.strip()))
        print(f"pid {pid}", flush=True)
        print(f"ended {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}", flush=True)


def _gateway(config: str, number: str) -> int:
    os.environ["GRE_GENERATION"] = number
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        import sitecustomize
        from gre_gateway_email.__main__ import main as run

        sitecustomize.set_up()
        code = run(["run", "--config", config])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 70
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    main(sys.argv[1])

"""What of the encrypter runs inside a worker process; see :mod:`gre_openpgp.encrypting.opening_worker`."""

from __future__ import annotations

from typing import Final

from gre_openpgp.encrypting.opening_worker import OpeningWorker

from gre_encrypter_openpgp_pgpy.engine import ENGINE

WORKER: Final = OpeningWorker(ENGINE)

open_message = WORKER.open_message
open_file = WORKER.open_file
judge_part = WORKER.judge_part
name_signature = WORKER.name_signature
seal = WORKER.seal

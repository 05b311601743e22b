"""Opens what others sent in a process of its own, with limits of memory and time.

::

    worker = WorkerProcess.for_plugins(plugins)
    client = attach_client(xmpp, plugins, worker=worker)
    ...
    await worker.close()
"""

from __future__ import annotations

from gre_core.worker.process import WorkerInfo, WorkerProcess

__all__ = ["WorkerInfo", "WorkerProcess"]

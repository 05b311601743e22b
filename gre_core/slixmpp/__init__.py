"""The adapter for slixmpp: the only rooms of the core that know asyncio.

Install it with the extra ``gre-core[slixmpp]``.
"""

from __future__ import annotations

from gre_core.slixmpp.attach import attach_client
from gre_core.slixmpp.client import Client
from gre_core.slixmpp.gateway import Gateway, attach_gateway

__all__ = ["Client", "Gateway", "attach_client", "attach_gateway"]

"""The program: all rooms of the gateway, tied together.

::

    await App(config.load(Path("gateway.toml"))).run(stop, ready=print)

:mod:`~gre_gateway_email.app.xmpp_side` is the component, :mod:`~gre_gateway_email.app.outgoing` and
:mod:`~gre_gateway_email.app.incoming` are the two directions, :mod:`~gre_gateway_email.app.key_side` is about keys, and
:mod:`~gre_gateway_email.app.program` starts and stops them.
"""

from __future__ import annotations

from gre_gateway_email.app.program import App
from gre_gateway_email.app.xmpp_side import load_carriers

__all__ = ["App", "load_carriers"]

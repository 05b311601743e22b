"""Juliet writes to Romeo through a gateway, all in this process: ``python post.py``."""

import asyncio

from gre_formatter_example import plugin

from gre_core import GatewayEngine, MemoryStore, Message, Plugins
from gre_core.api import formatter
from gre_core.slixmpp import attach_client, attach_gateway
from gre_core.testing.fakes import say_yes, toy_encrypter
from gre_core.testing.loopback import LoopbackServer
from gre_core.testing.slix import make_client, make_component, offline, online

TOY = toy_encrypter()  # INSECURE: for tests
PLUGINS = Plugins.of(plugin, TOY)
PAIR = formatter("example"), TOY.namespace


async def address(user):
    """Let the network's addresses be those of the accounts."""
    return user


async def main():
    async with LoopbackServer(
        accounts={"juliet": "a", "romeo": "b"}, components={"gateway.localhost": "c"}
    ) as server:
        # The gateway: it passes on what it cannot read.
        component = make_component(server, "gateway.localhost")
        engine = GatewayEngine("gateway.localhost", [PAIR], sender_id=address)

        async def relay(message):
            print("gateway:", message.sender_id, "writes", message.body.size, "characters")
            for recipient in message.recipients:
                gateway.deliver(recipient.legacy_id, message.sender_id, PAIR, message.body, message.id)

        gateway = attach_gateway(component, engine, on_encrypted=relay)

        # Two clients.
        juliet, romeo = make_client(server, "juliet"), make_client(server, "romeo")
        sends = attach_client(juliet, PLUGINS, store=MemoryStore(), decide=say_yes)
        receives = attach_client(romeo, PLUGINS, store=MemoryStore(), decide=say_yes)
        arrived = asyncio.get_running_loop().create_future()
        receives.on_received(arrived.set_result)
        for xmpp in (component, juliet, romeo):
            await online(xmpp)
        romeo.send_presence()

        message = Message("Wherefore art thou Romeo?", subject="The balcony")
        sent = await sends.send(r"romeo\40localhost@gateway.localhost", message)
        received = await asyncio.wait_for(arrived, 30)
        print(
            "romeo:", received.message.subject, "-", received.message.text, f"({received.verdict.signature})"
        )
        print("juliet:", (await sends.settled(sent)).state)
        for xmpp in (juliet, romeo, component):
            await offline(xmpp)


asyncio.run(main())

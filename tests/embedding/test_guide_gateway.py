"""The guide to a gateway for a network of one's own: on the loopback router as it shows, and on Prosody."""

from __future__ import annotations

import asyncio
import re
import signal
from xml.etree.ElementTree import fromstring, tostring

import pytest
from embedding_reader import line_with, require_shown
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from gre_core.api import encrypter, formatter
from gre_core.errors import PeerError
from gre_core.outbox import SendState
from gre_core.registry import Plugins
from gre_core.slixmpp import attach_client
from gre_core.stores import MemoryStore
from gre_core.testing import require
from gre_core.testing.fakes import say_yes, toy_encrypter, toy_formatter
from gre_core.testing.loopback import LoopbackServer
from gre_core.testing.prosody import ProsodyServer
from gre_core.testing.slix import make_client, offline, online

PAIR = formatter("example"), encrypter("openpgp")
ON_PROSODY = """
import asyncio
from gre_core.testing.prosody import ProsodyServer
from try_chat import converse

async def main():
    async with ProsodyServer(accounts={"juliet": "a"}, components={"chat.localhost": "b"}) as server:
        await converse(server)

asyncio.run(main())
"""


@pytest.fixture
def guide(page):
    return page("embedding-gateway.md")


@pytest.mark.parametrize("server", ["loopback", "prosody"])
def test_who_tries_it_sees_what_the_page_shows(guide, install, server):
    require(server == "loopback" or ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    environment = install(guide.installed()[2])
    program = ("try_chat.py",) if server == "loopback" else ("-c", ON_PROSODY)
    require_shown(guide.shown("python try_chat.py"), environment.run(*program, cwd=guide.folder))


async def test_the_gateway_needs_the_core_alone(guide, install):
    environment = install(guide.installed()[0])
    there = environment.distributions(guide.folder)
    assert {name for name in there if name.startswith("gre-")} == {"gre-core"}
    assert not there & {"pysequoia", "pgpy", "cryptography", "pytest"}
    # Toys under the names that the gateway carries: it does not know, and need not.
    plugins = Plugins.of(toy_formatter(name="example"), toy_encrypter(name="openpgp"))
    async with LoopbackServer(accounts={"juliet": "a"}, components={"chat.localhost": "b"}) as server:
        xmpp = make_client(server, "juliet")
        client = attach_client(xmpp, plugins, store=MemoryStore(), decide=say_yes)
        await online(xmpp)
        async with (
            environment.running(
                "chat_gateway.py", cwd=guide.folder, GRE_DOMAIN="chat.localhost", GRE_SECRET="b",
                GRE_HOST=server.host, GRE_PORT=str(server.component_port),
                GRE_USER="juliet@localhost", GRE_HANDLE="juliet",
            ),
            asyncio.timeout(120),
        ):  # fmt: skip
            await client.ready.wait()
            sent = None
            while sent is None:  # the gateway may still be starting
                try:
                    sent = await client.send("nobody@chat.localhost", "Hello")
                except PeerError:
                    await asyncio.sleep(0.1)
            settled = await client.settled(sent, timeout=100)
            assert settled.state is SendState.REFUSED
            assert "Nobody on Chatter is called nobody" in (settled.error or "")
            with pytest.raises(PeerError, match="A handle on Chatter"):
                await client.send("No.Handle@chat.localhost", "Hello")
        await offline(xmpp)


def encrypted(xmpp, *handles, name="1"):
    message = xmpp.make_message("chat.localhost", mtype="chat")
    message["id"] = name
    to = "".join(f"<address type='to' jid='{handle}@chat.localhost'/>" for handle in handles)
    for xml in (
        f"<encrypted xmlns='urn:xmpp:gre:0' formatter='{PAIR[0]}' encrypter='{PAIR[1]}'>AAAA {name}</encrypted>",
        f"<addresses xmlns='http://jabber.org/protocol/address'>{to}</addresses>",
    ):
        message.append(fromstring(xml))
    message.send()


async def test_it_is_a_gateway_by_the_specification_and_ends_when_told(guide, install):
    require(ProsodyServer.installed(), "Prosody (apt-get install prosody)")
    environment = install(guide.installed()[0])
    server = ProsodyServer(accounts={"juliet": "a"}, components={"chat.localhost": "b"})
    async with server:
        run = {
            "GRE_DOMAIN": "chat.localhost", "GRE_SECRET": "b", "GRE_HOST": server.host,
            "GRE_PORT": str(server.component_port), "GRE_USER": "juliet@localhost", "GRE_HANDLE": "juliet",
        }  # fmt: skip
        async with environment.running(
            "chat_gateway.py", cwd=guide.folder, **{**run, "GRE_SECRET": "wrong"}
        ) as process:
            assert "refused the secret of chat.localhost" in await line_with(process, "secret")
            assert await asyncio.wait_for(process.wait(), 120) == 1
        async with environment.running("chat_gateway.py", cwd=guide.folder, **run) as process:
            await line_with(process, "ready")
            xmpp = make_client(server, "juliet")
            errors = asyncio.Queue()
            xmpp.add_event_handler("message_error", errors.put)
            await online(xmpp)
            xmpp.send_presence()

            async def ask(payload):
                iq = xmpp.make_iq(ito="romeo@chat.localhost", itype="get")
                iq.append(fromstring(payload))
                return tostring((await iq.send(timeout=60)).xml, "unicode")

            told = await ask("<query xmlns='http://jabber.org/protocol/disco#info'/>")
            for name in (
                "urn:xmpp:gre:0",
                str(PAIR[0]),
                str(PAIR[1]),
                "urn:xmpp:gre:encrypted_only:0",
                "urn:xmpp:eme:0",
            ):
                assert f'"{name}"' in told
            assert re.search(r"urn:xmpp:data-policy:0.*data_transmission.*<\S*value>gre<", told)
            form = await ask(f"<data xmlns='urn:xmpp:gre:0' formatter='{PAIR[0]}' encrypter='{PAIR[1]}'/>")
            assert re.search(r"sender_id.*<\S*value>juliet<", form)

            xmpp.send_message("juliet@chat.localhost", "in clear")
            error = (await asyncio.wait_for(errors.get(), 60)).xml
            assert (
                error.find("{jabber:client}error/{urn:ietf:params:xml:ns:xmpp-stanzas}policy-violation")
                is not None
            )
            came = asyncio.Queue()
            path = MatchXPath("{jabber:client}message/{urn:xmpp:gre:0}encrypted")
            xmpp.register_handler(Callback("relayed", path, came.put_nowait))
            encrypted(xmpp, "juliet", "nobody")
            refused = tostring((await asyncio.wait_for(errors.get(), 60)).xml, "unicode")
            assert "Nobody on Chatter is called nobody" in refused
            for _ in range(2):  # the same once more, as after a loss of the connection
                encrypted(xmpp, "juliet")
            encrypted(xmpp, "juliet", name="2")
            # What she writes to herself comes back as it was, from her handle, and once.
            back = [(await asyncio.wait_for(came.get(), 60)).xml for _ in range(2)]
            assert [each.findtext("{urn:xmpp:gre:0}encrypted") for each in back] == ["AAAA 1", "AAAA 2"]
            assert all(each.get("from", "").startswith("juliet@chat.localhost") for each in back)
            await offline(xmpp)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 120) == 0


def test_an_author_of_a_member_needs_no_slixmpp(guide, install):
    environment = install(guide.installed()[1])
    assert "slixmpp" not in environment.distributions(guide.folder)
    environment.run("-c", "import chatter_member", cwd=guide.folder)

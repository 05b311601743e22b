"""What the gateway says in the data form."""

from __future__ import annotations

from gre_gateway_email.store.records import User
from gre_gateway_email.xmpp.data_fields import contributors

from gre_core.api import DataRequest
from gre_core.namespaces import MAX_SIZE

BOB = "bob\\40example.net@mail.localhost"


class Registered:
    """Users, of whom there is one."""

    async def get(self, jid):
        return User(jid, ("juliet@example.org",)) if jid == "juliet@localhost" else None


async def test_the_form_gets_the_size_limit_and_the_domain():
    fields = {}
    for provider, contributor in contributors(Registered(), 500_000):
        request = DataRequest("juliet@localhost", BOB, "bob@example.net", None, None, ())
        for field in await contributor.fields(request):
            assert field.namespace == provider.namespace
            fields[field.var] = field.values
        assert provider.make(None) is contributor
    assert fields == {MAX_SIZE: ("500000",), "{urn:xmpp:gre:formatter:mime:0}domain": ("example.org",)}


async def test_a_stranger_has_no_domain():
    request = DataRequest("eve@localhost", BOB, "bob@example.net", None, None, ())
    (_, (_, domain)) = contributors(Registered(), 1)
    assert list(await domain.fields(request)) == []

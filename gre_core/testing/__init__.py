"""Help for tests and demonstrations. Nothing here is for real use.

- :mod:`gre_core.testing.conformance`: what a formatter, an encrypter or a package must keep, as suites for pytest.
- :mod:`gre_core.testing.vectors`: the same for other languages, as text files.
- :mod:`gre_core.testing.fakes`: fakes of all ports, among them ``FakeNetwork``, a gateway that follows a script.
- :mod:`gre_core.testing.scene`: a client, a gateway and a contact behind it, joined without a server.
- :func:`require`: skip on a desk, fail in CI.
- :mod:`gre_core.testing.loopback`: an XMPP router in this process, standard library only.
- :mod:`gre_core.testing.prosody`, :mod:`gre_core.testing.ejabberd`: the real servers, thrown away afterwards.
- :mod:`gre_core.testing.postgres`: the real database server, thrown away afterwards.
- :mod:`gre_core.testing.slix`: slixmpp clients and components for these servers.
- :mod:`gre_core.testing.postfix`: a whole mail server, and a sink for mails.
"""

from gre_core.testing.require import require as require

__all__ = ["require"]

"""The whole suite for encrypters."""

from __future__ import annotations

from gre_core.testing.conformance.encrypters.contract import Contract
from gre_core.testing.conformance.encrypters.hostility import Hostility
from gre_core.testing.conformance.encrypters.optional import Optional
from gre_core.testing.conformance.encrypters.round_trips import RoundTrips


class EncrypterConformance(RoundTrips, Contract, Optional, Hostility):
    """Everything that an encrypter must keep. An heir of it with a ``provider`` is a complete test file.

    ::

        class TestMyCipher(EncrypterConformance):
            provider = gre_encrypters()[0]

    See :class:`~gre_core.testing.conformance.encrypters.base.EncrypterSuite` for the switches and for ``introduce``,
    :mod:`gre_core.testing.conformance.people` for who takes part, and ``RULES`` for what is demanded.
    """

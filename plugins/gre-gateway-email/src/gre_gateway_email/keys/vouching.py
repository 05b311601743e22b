"""Who says that a mail comes from the domain in From: the operator's mail server, or its verifier, which is asked.

Behind the queue Postfix passes on what its milter wrote (Authentication-Results). Before the queue nobody writes such
a field but strangers: then only the verifier counts, when there is one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gre_core.log import get_logger
from gre_gateway_email.mail import milter
from gre_gateway_email.mail.addresses import domain_of
from gre_gateway_email.mail.authentication import authenticated_domains, is_aligned, vouching_domains

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_gateway_email.config import Config
    from gre_gateway_email.mail.mime_scan import Entity

PAUSE: Final = 30.0
"""A verifier that failed is left alone for so many seconds: its silence must not hold up each mail."""

_SIGNATURE: Final = "dkim-signature"

_log = get_logger(__name__)


class Vouching:
    """Tells whether a mail comes from the domain of an address.

    Arguments:
        config: names the mail server, or its verifier.
        clock: in seconds, that never goes back.
    """

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        # Before the queue the mail has passed nobody who removes forged fields.
        self._authserv_id = config.mail.authserv_id if config.listen.protocol == "lmtp" else None
        self._verifier = config.mail.verifier
        # Some address of ours is needed; who gets the mail is not the verifier's business.
        self._recipient = f"postmaster@{config.mail.domains[0]}"
        self._clock = clock
        self._rest_until = float("-inf")

    async def __call__(self, mail: Entity, sender: str, address: str) -> bool:
        """Tell whether DKIM (or DMARC) passed and is aligned. Raises nothing: what is not known is a no.

        Arguments:
            mail: a received mail.
            sender: of its envelope.
            address: the one in From.
        """
        if is_aligned(address, authenticated_domains(mail, self._authserv_id)):
            return True
        verifier = self._verifier
        if verifier is None or not mail.first(_SIGNATURE) or self._clock() < self._rest_until:
            return False
        try:
            said = await milter.ask(verifier, sender, [self._recipient], mail.raw)
        except milter.MilterFailed as error:
            self._rest_until = self._clock() + PAUSE
            _log.warning("verifier-failed", peer_domain=domain_of(address), error_type=str(error))
            return False
        return is_aligned(address, vouching_domains(said, None))

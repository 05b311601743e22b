"""A mail of a user to the own address, to see that both ways work."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTPUTF8
from email.utils import localtime, make_msgid
from typing import TYPE_CHECKING, Final

from gre_core.errors import GreError
from gre_gateway_email.mail.addresses import ascii_domain, domain_of

if TYPE_CHECKING:
    from gre_gateway_email.mail.relay import Relay
    from gre_gateway_email.store.records import User

_TEXT: Final = """\
This mail went from the gateway to the mail server and back.
Your mail address works.
"""


async def send_test_mail(relay: Relay, user: User) -> str:
    """Send it past the outbox: whoever asked for it waits for the answer.

    Arguments:
        relay: takes it.
        user: who gets it.

    Result:
        A sentence that says what became of it.
    """
    address = user.addresses[0]
    mail = EmailMessage(policy=SMTPUTF8)
    mail["From"] = mail["To"] = address
    mail["Subject"] = "Test of your mail address"
    mail["Date"] = localtime()
    mail["Message-ID"] = make_msgid(domain=ascii_domain(domain_of(address)))
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(_TEXT)
    try:
        await relay.send(address, [address], mail.as_bytes())
    except GreError as error:
        return f"The test mail could not be sent. {error.text}"
    return "The mail server took the test mail. It should reach you within a minute."

"""Hands mails to the mail relay over a few kept connections (RFC 5321).

::

    relay = Relay(config.smtp)
    await relay.send("juliet@example.org", ["alice@example.net"], mail)  # returns: the relay took it
    await relay.close()
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import aiosmtplib

from gre_core.errors import Refused
from gre_core.log import get_logger
from gre_gateway_email.mail.addresses import ascii_domain, domain_of, on_the_wire
from gre_gateway_email.mail.line_ends import has_clean_lines
from gre_gateway_email.mail.smtp_dialogue import Broken, Dialogue, Letter, NotTaken, open_dialogue
from gre_gateway_email.mail.trace import received

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gre_core.errors import StanzaErrorType
    from gre_gateway_email.config import Smtp

KEPT_IDLE: Final = 60.0
"""How long an idle connection is kept, in seconds. Relays close them after about 300."""

STALL_SECONDS: Final = 5.0
"""After a time-out, messages that wait are refused for so long without another try."""

MAX_NAMES: Final = 5
"""How many refused recipients are named to the user."""

MAX_WORDS: Final = 200
"""How much of a relay's reply is passed on to the user, in characters."""

_TEMPORARY: Final = 4
_PERMANENT: Final = 5
_LOGIN_CODES: Final = frozenset({530, 534, 535, 538})
_TOO_MUCH: Final = 552

_log = get_logger(__name__)


class Unreachable(Refused):
    """There is no relay now: not the fault of one mail, and none was handed over."""


class Relay:
    """A pool of connections to one relay.

    Arguments:
        settings: where the relay is, and the bounds.
    """

    def __init__(self, settings: Smtp) -> None:
        self._settings = settings
        self._idle: list[tuple[Dialogue, float]] = []
        self._free = asyncio.Semaphore(settings.connections)
        self._stalled_until = float("-inf")

    async def send(
        self, sender: str, recipients: Sequence[str], mail: bytes, *, envelope_id: str = ""
    ) -> None:
        """Hand over one mail. When this returns, the relay is responsible for it, for every recipient.

        The mail gets a trace field (``Received``), and, where the relay can do that, reports about failures are
        asked for (RFC 3461).

        Arguments:
            sender: of the envelope; checked by ``check_address``, or ``""`` for the null sender.
            recipients: of the envelope; checked by ``check_address``.
            mail: with CRLF line ends.
            envelope_id: what reports will name (:mod:`gre_gateway_email.mail.envelope_id`), or ``""``.

        Raises:
            Refused: the relay did not take it, for any recipient. The text says why; the type is ``wait`` when
                trying again later may help.
        """
        letter = _letter(sender, recipients, mail, envelope_id, self._settings.helo)
        async with self._free:
            if _now() < self._stalled_until:
                # Whoever waited behind a relay that hangs must not wait for it once more.
                raise unreachable()
            try:
                await self._send(letter)
            except TimeoutError as error:
                self._stalled_until = _now() + STALL_SECONDS
                raise _logged(explain(error)) from error
            except (NotTaken, Broken, aiosmtplib.SMTPException, OSError) as error:
                raise _logged(explain(error)) from error

    async def check(self) -> None:
        """Connect, log in and leave again.

        Raises:
            Refused: it did not work; the text says why.
        """
        try:
            (await open_dialogue(self._settings)).close()
        except (aiosmtplib.SMTPException, OSError) as error:
            raise explain(error) from error

    async def close(self) -> None:
        """Close all idle connections."""
        idle, self._idle = self._idle, []
        for dialogue, _since in idle:
            dialogue.close()

    async def _send(self, letter: Letter) -> None:
        kept = self._take()
        if kept is not None:
            try:
                await self._over(kept, letter)
            except Broken as error:
                if error.began:
                    raise
                # The relay had closed the kept connection before the mail: another one may be tried.
            else:
                return
        await self._over(await open_dialogue(self._settings), letter)

    async def _over(self, dialogue: Dialogue, letter: Letter) -> None:
        if letter.smtputf8 and not dialogue.extensions.smtputf8:
            self._idle.append((dialogue, _now()))
            raise _logged(
                _refused(
                    "cancel",
                    "not-acceptable",
                    "The mail relay takes no addresses outside of ASCII (SMTPUTF8, RFC 6531). Ask your correspondent "
                    "for an address in ASCII.",
                )
            )
        try:
            await dialogue.send(letter)
        except BaseException:
            # The relay may wait for the rest of a mail: a new connection costs less than a wrong one.
            dialogue.abort()
            raise
        self._idle.append((dialogue, _now()))

    def _take(self) -> Dialogue | None:
        while self._idle:
            dialogue, since = self._idle.pop()
            if dialogue.usable and _now() - since < KEPT_IDLE:
                return dialogue
            dialogue.close()
        return None


def _letter(sender: str, recipients: Sequence[str], mail: bytes, envelope_id: str, host: str) -> Letter:
    if not has_clean_lines(mail):
        raise _refused(
            "cancel",
            "internal-server-error",
            "The gateway made a mail with broken line ends: tell its operator.",
        )
    sender, to = on_the_wire(sender), tuple(map(on_the_wire, recipients))
    header = mail[: mail.find(b"\r\n\r\n")]
    domain = ascii_domain(domain_of(sender) or host)
    return Letter(
        sender,
        to,
        received(domain, mail, datetime.now(UTC)) + mail,
        envelope_id,
        smtputf8=not (sender.isascii() and "".join(to).isascii() and header.isascii()),
    )


def explain(error: Exception) -> Refused:
    """Say in a stanza error what went wrong with the relay (RFC 5321, section 4.2.1)."""
    if isinstance(error, NotTaken):
        return _explain_recipients(error) if error.refused and error.others else _explain_reply(error)
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return _refused(
            "wait",
            "internal-server-error",
            f"The mail relay does not accept the gateway ({_said(error.code, error.message)}): tell its operator.",
        )
    if isinstance(error, Broken) and error.began:
        return _refused(
            "wait",
            "remote-server-timeout",
            "The mail relay ended the connection. The message was most probably not sent: try again later.",
        )
    if type(error) is TimeoutError:  # the kinds below it are about connecting
        return _refused(
            "wait",
            "remote-server-timeout",
            "The mail relay did not answer in time. The message was most probably not sent: try again later.",
        )
    return unreachable()


def _explain_reply(error: NotTaken) -> Refused:
    code = error.reply.code
    said = _said(code, error.reply.text)
    if code // 100 == _TEMPORARY:
        return _refused(
            "wait",
            "recipient-unavailable",
            f"The mail relay cannot take the message now ({said}): try again later.",
        )
    if code // 100 != _PERMANENT:
        return unreachable()  # whatever answers there, it is no mail server
    if code in _LOGIN_CODES:
        return _refused(
            "wait",
            "internal-server-error",
            f"The mail relay does not accept the gateway ({said}): tell its operator.",
        )
    if code == _TOO_MUCH:
        return _refused(
            "modify", "policy-violation", f"The mail relay says that the message is too large ({said})."
        )
    if error.refused:
        return _refused("cancel", "item-not-found", f"The mail relay refused the recipient ({said}).")
    return _refused("cancel", "not-acceptable", f"The mail relay refused the message ({said}).")


def _explain_recipients(error: NotTaken) -> Refused:
    """Name who was refused. Nobody got the mail: a half-sent one could neither be repeated nor taken back."""
    shown = [f"{address} ({_said(*reply)})" for address, reply in error.refused[:MAX_NAMES]]
    if len(error.refused) > MAX_NAMES:
        shown.append(f"{len(error.refused) - MAX_NAMES} more")
    names = ", ".join(shown)
    if all(reply.code // 100 == _TEMPORARY for _, reply in error.refused):
        return _refused(
            "wait",
            "recipient-unavailable",
            f"Nobody got the message: the mail relay cannot take it now for {names}. Try again later.",
        )
    return _refused(
        "cancel",
        "item-not-found",
        f"Nobody got the message: the mail relay refused {names}. Send it without them.",
    )


def unreachable() -> Unreachable:
    """Say that there is no relay."""
    return Unreachable(
        "The gateway cannot reach its mail relay. The message was not sent: try again later.",
        condition="remote-server-timeout",
        error_type="wait",
    )


def _refused(error_type: StanzaErrorType, condition: str, text: str) -> Refused:
    return Refused(text, condition=condition, error_type=error_type)


def _logged(refusal: Refused) -> Refused:
    _log.warning("relay-refused", condition=refusal.condition, error_type=refusal.error_type)
    return refusal


def _said(code: int, text: str) -> str:
    words = "".join(char if char.isprintable() else " " for char in text[:MAX_WORDS])
    return f"{code} {words}".strip()


def _now() -> float:
    return asyncio.get_running_loop().time()

"""Reads what stands behind MAIL and RCPT: the path, and the parameters that the listener announces.

Unknown parameters are refused (RFC 5321, section 4.1.1.11): whoever sends one expects that it is obeyed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gre_gateway_email.mail.addresses import composed
from gre_gateway_email.mail.door import RecipientOptions
from gre_gateway_email.mail.xtext import from_xtext

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ENVELOPE_ID: Final = 100
MAX_ORIGINAL: Final = 500

_SYNTAX: Final = "501 5.5.4 The command is not understood"
# A local part may be quoted; what is in the quotes is not looked into. A source route is left out (appendix C).
_PATH = re.compile(r'\s*<(?:@[^<>":]{1,500}:)?((?:"(?:[^"\\\r\n]|\\.){0,300}"|[^<>"\s]){0,600})>(?:\s+|$)')
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]{0,40})(?:=([\x21-\x3c\x3e-\x7e\x80-\U0010ffff]{1,600}))?")
_NOTIFY: Final = frozenset({"NEVER", "SUCCESS", "FAILURE", "DELAY"})


class BadCommand(Exception):
    """A command is answered with an error.

    Attributes:
        reply: the whole answer.
    """

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class MailCommand:
    """A MAIL command.

    Arguments:
        sender: ``""`` is the null sender.
        smtputf8: the mail has UTF-8 in addresses or header fields (RFC 6531).
        envelope_id: ENVID, decoded, or ``""``.
    """

    sender: str = field(repr=False)
    smtputf8: bool
    envelope_id: str


def read_mail(argument: str, max_size: int) -> MailCommand:
    """Read what stands behind MAIL.

    Arguments:
        argument: ``FROM:<...> SIZE=...``.
        max_size: largest mail, in bytes.

    Raises:
        BadCommand: it is answered with an error.
    """
    sender, parameters = _read(argument, "FROM:")
    values = dict(parameters)
    size = values.pop("SIZE", "0") or ""
    if not (size.isascii() and size.isdigit() and len(size) <= 20):  # noqa: PLR2004 - RFC 1870, section 3
        raise BadCommand(_SYNTAX)
    if int(size) > max_size:
        raise BadCommand(f"552 5.3.4 The mail is larger than {max_size} bytes")
    if (values.pop("BODY", "7BIT") or "").upper() not in {"7BIT", "8BITMIME"}:
        raise BadCommand("501 5.5.4 BODY is 7BIT or 8BITMIME")
    if (values.pop("RET", "HDRS") or "").upper() not in {"FULL", "HDRS"}:
        raise BadCommand("501 5.5.4 RET is FULL or HDRS")
    smtputf8 = "SMTPUTF8" in values
    if values.pop("SMTPUTF8", None) is not None:
        raise BadCommand("501 5.5.4 SMTPUTF8 takes no value")
    envelope_id = from_xtext(values.pop("ENVID", "") or "")
    if envelope_id is None or len(envelope_id) > MAX_ENVELOPE_ID:
        raise BadCommand("501 5.5.4 ENVID is not understood")
    values.pop(
        "AUTH", None
    )  # advice of the sender's server that nothing here depends on (RFC 4954, section 5)
    _refuse_unknown(values)
    _check_characters(sender, smtputf8=smtputf8)
    return MailCommand(composed(sender), smtputf8, envelope_id)


def read_recipient(argument: str, *, smtputf8: bool) -> tuple[str, RecipientOptions]:
    """Read what stands behind RCPT.

    Arguments:
        argument: ``TO:<...> NOTIFY=...``.
        smtputf8: MAIL had that parameter.

    Raises:
        BadCommand: it is answered with an error.
    """
    recipient, parameters = _read(argument, "TO:")
    values = dict(parameters)
    if not recipient:
        raise BadCommand("501 5.1.3 A mail cannot go to the null address")
    notify = (values.pop("NOTIFY", "FAILURE") or "").upper().split(",")
    if not _NOTIFY.issuperset(notify) or ("NEVER" in notify and len(notify) > 1):
        raise BadCommand("501 5.5.4 NOTIFY is NEVER, or some of SUCCESS, FAILURE and DELAY")
    # Where SMTPUTF8 was said an original recipient may hold UTF-8 (RFC 6533, section 3); it is only passed on.
    original = values.pop("ORCPT", "") or ""
    decoded = from_xtext(original) if original.isascii() else composed(original)
    if decoded is None or len(decoded) > MAX_ORIGINAL or (original and ";" not in original):
        raise BadCommand("501 5.5.4 ORCPT is not understood")
    _refuse_unknown(values)
    _check_characters(recipient, smtputf8=smtputf8)
    return composed(recipient), RecipientOptions("FAILURE" in notify, decoded)


def _read(argument: str, keyword: str) -> tuple[str, Mapping[str, str | None]]:
    if argument[: len(keyword)].upper() != keyword:
        raise BadCommand(_SYNTAX)
    path = _PATH.match(argument, len(keyword))
    if path is None:
        raise BadCommand("501 5.1.7 The address has to stand in angle brackets")
    parameters: dict[str, str | None] = {}
    for word in argument[path.end() :].split():
        parameter = _PARAMETER.fullmatch(word)
        if parameter is None or parameter[1].upper() in parameters:
            raise BadCommand(_SYNTAX)
        parameters[parameter[1].upper()] = parameter[2]
    return path[1], parameters


def _check_characters(address: str, *, smtputf8: bool) -> None:
    if address.isascii() and address.isprintable():  # most: no need to look at each character
        return
    if any(char < " " or char == "\x7f" for char in address):
        raise BadCommand("501 5.1.7 The address has a control character")
    if any("\ud800" <= char <= "\udfff" for char in address):
        raise BadCommand("553 5.6.7 The address is not UTF-8")
    if not address.isascii() and not smtputf8:
        raise BadCommand("553 5.6.7 The address has characters outside of ASCII: say SMTPUTF8 (RFC 6531)")


def _refuse_unknown(values: Mapping[str, str | None]) -> None:
    if values:
        raise BadCommand("555 5.5.4 A parameter is not known here")

"""Reads reports that mail systems write for people only. What is not certain is left alone.

A text counts as a report only when a mail system wrote it (by its From, by X-Failed-Recipients) **and** its subject
or first words say so. Vacation notes, automatic answers, read receipts and abuse reports are none.
"""

from __future__ import annotations

import codecs
import re
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from typing import TYPE_CHECKING, Final

from gre_core.mime_text.html_text import text_of_html
from gre_gateway_email.mail import mime_scan
from gre_gateway_email.mail.delivery_status import (
    MAX_DIAGNOSTIC,
    RETURNED_PARTS,
    Action,
    RecipientStatus,
    Report,
    message_id_in,
    printable,
    read_status,
    returned_header,
    returned_id,
    status_in,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gre_gateway_email.mail.mime_scan import Entity

MAX_WORDS: Final = 32 * 1024
"""How much of a text is read, in bytes."""

MAX_NAMED: Final = 10
"""Most recipients that are taken from words."""

_DAEMONS = re.compile(
    r"mailer-?daemon|postmaster|poostmaster|mail ?deliver|delivery (?:sub)?system|mail administrator|"
    r"^\s*<>|ndr administrator",
    re.IGNORECASE,
)
_SUBJECTS = re.compile(
    r"undeliver|returned mail|returning message|delivery (?:status )?(?:notification|failure|failed|has failed|"
    r"report|problem|error)|deliver(?:y|ies)? ?failure|failure (?:notice|delivery)|failed delivery|mail (?:system )?"
    r"(?:error|failure|could not be delivered)|delivery has failed|could not be delivered|not delivered|"
    r"mail delivery (?:failed|failure|problem|error)|mail failed|message delay|"
    r"delayed (?:[0-9]+ hour|mail)|delivery delay|message not sent|unzustellbar|non remis|nondeliverable|"
    r"non-deliverable|bounce",
    re.IGNORECASE,
)
_WORDS = re.compile(
    r"could ?n[o']t be delivered|could not deliver|unable to deliver|not able to deliver|was undeliverable|"
    r"did not reach|delivery (?:to|has|failed|of)|permanent (?:fatal )?error|has been (?:rejected|returned)|"
    r"undeliverable|returned to sender|wasn't delivered|not delivered|transcript of session|user unknown",
    re.IGNORECASE,
)
_AUTOMATIC_ANSWER = re.compile(
    r"^\s*(?:(?:re|aw|sv|antw|fwd?|wg) ?:|auto(?:matic)?[ -]?(?:reply|response|:)|out of (?:the )?office|vacation|"
    r"abwesen|away\b)"
    r"|autoreply|auto-?respon",
    re.IGNORECASE,
)
_DELAYED = re.compile(
    r"\bdelay|will (?:be )?retr(?:y|ied)|will (?:continue|keep) (?:to )?try|still (?:be )?tr(?:y|ied)|"
    r"not yet been delivered|temporary (?:error|failure|problem)\W{0,3}(?:will|retry)|warning: (?:message|could)|"
    r"this is (?:only )?a warning|deferred",
    re.IGNORECASE,
)
_GIVEN_UP = re.compile(
    r"giving up|gave up|given up|permanent|failed permanently|unable to deliver|returned|undeliverable|"
    r"i'm not going to try|retry time(?:out)? (?:not reached )?(?:for any host )?(?:after|exceeded)|expired|"
    r"\((?:failure)\)|failure",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"(?<![\w.!#$%&'*+/=?^`{|}~@-])[\w!#$%&'*+/=?^`{|}~.-]{1,64}@[\w.-]{1,253}")
_REPLY_CODE = re.compile(r"(?<![0-9.\[-])([45])[0-5][0-9](?=[ -](?:#|[A-Za-z<(\"']|[45]\.[0-9]))")
_RETURNED = re.compile(
    r"^(?:> ?)?(?:return-path:|received: ?(?:from|by|\(|$)|message-id:|bounced e-?mail:|"
    r"from \S{1,254}@\S{1,254} +[A-Z]|"
    r"-{2,}.{0,30}(?:original|below this line|copy of|unsent|returned|the header|the body|message header)"
    r"|.{0,40}(?:copy of (?:your|the) (?:original )?(?:message|mail)|original (?:message|mail) (?:follows|header))"
    r"|.{0,40}message text follows)",
    re.IGNORECASE | re.MULTILINE,
)
_STATUS_BLOCK = re.compile(r"^final-recipient:[ \t]?\S", re.IGNORECASE | re.MULTILINE)
_RETURNED_TO = re.compile(r"^(?:> ?)?to:(.{1,500})", re.IGNORECASE | re.MULTILINE)
_ODD_CODECS: Final = frozenset(
    {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape", "utf-7"}
)


def read_words(root: Entity, parts: Sequence[tuple[Entity, str]]) -> Report | None:
    """Read a report that has no part for machines.

    Arguments:
        root: the whole mail.
        parts: its parts.

    Returns:
        The report, or None when it is something else, or names neither a recipient nor the mail.

    Raises:
        Unreadable: it is beyond the bounds.
    """
    subject = _decoded(root.first("subject"))
    if not _is_from_mail_system(root, subject):
        return None
    text = _text_of(parts)
    cut = _RETURNED.search(text)
    words = text[: cut.start()] if cut is not None else text
    if _STATUS_BLOCK.search(text):
        # The multipart around it was lost on the way.
        report = read_status(text.encode(), returned_id(root, parts))
        if report is not None:
            return report
    if not (_SUBJECTS.search(subject) or _WORDS.search(words)):
        return None
    returned = returned_header(parts) or (text[cut.start() :] if cut is not None else text).encode()
    message_id = message_id_in(returned) or returned_id(root, parts)
    recipients = _recipients(root, words) or _addressee(returned)
    if not recipients and not message_id:
        return None
    status = status_in(words)
    code = _REPLY_CODE.search(words)
    status = status or (f"{code[1]}.0.0" if code is not None else "")
    action: Action = "delayed" if _is_delayed(subject, words) else "failed"
    diagnostic = printable(_telling(words), MAX_DIAGNOSTIC)
    told = tuple(RecipientStatus(action, status, diagnostic, each) for each in recipients or [""])
    return Report(told, "", message_id, standard=False)


def _is_from_mail_system(root: Entity, subject: str) -> bool:
    kind, parameters = mime_scan.structured(root.first("content-type"))
    if kind == "multipart/report" and parameters.get("report-type", "").lower() not in {
        "",
        "delivery-status",
        "global-delivery-status",
    }:
        return False
    if root.first("x-failed-recipients"):
        return True
    return _AUTOMATIC_ANSWER.search(subject) is None and _DAEMONS.search(root.first("from", "<>")) is not None


def _text_of(parts: Sequence[tuple[Entity, str]]) -> str:
    texts = []
    for part, kind in parts:
        if kind in RETURNED_PARTS:
            break
        if kind in {"text/plain", "text/html"}:
            charset = mime_scan.structured(part.first("content-type"))[1].get("charset", "")
            text = _decode(part.content(MAX_WORDS), charset)
            texts.append(text_of_html(text) if kind == "text/html" or "<html" in text[:200].lower() else text)
    return "\n".join(texts)[: 2 * MAX_WORDS].replace("\r\n", "\n")


def _recipients(root: Entity, words: str) -> list[str]:
    named = [each.strip() for each in root.first("x-failed-recipients").split(",") if "@" in each]
    if named:
        return [printable(each) for each in named[:MAX_NAMED]]
    ours = {found.lower() for each in ("to", "from") for found in _ADDRESS.findall(root.first(each)[:1000])}
    found = (each.rstrip(".") for each in _ADDRESS.findall(words))
    others = dict.fromkeys(
        each
        for each in found
        if each.lower() not in ours and "." in each.rpartition("@")[2] and not _DAEMONS.search(each)
    )
    return list(others)[:MAX_NAMED]


def _addressee(returned: bytes) -> list[str]:
    """Give whom the returned mail went to, when that was one alone."""
    field = _RETURNED_TO.search(returned.decode("utf-8", "replace"))
    found = _ADDRESS.findall(field[1]) if field is not None else []
    return found if len(found) == 1 else []


def _is_delayed(subject: str, words: str) -> bool:
    if _DELAYED.search(subject) and not _GIVEN_UP.search(subject.replace("Returned mail", "")):
        return True
    return _DELAYED.search(words) is not None and not (_GIVEN_UP.search(subject) or _GIVEN_UP.search(words))


def _telling(words: str) -> str:
    """Give the line that says why: the one with a code, or the one about the failure."""
    lines = [line for line in words.split("\n") if line.strip()]
    for expression in (_REPLY_CODE, _WORDS):
        for line in lines:
            if expression.search(line) or (expression is _REPLY_CODE and status_in(line)):
                return line
    return ""


def _decode(content: bytes, charset: str) -> str:
    try:
        codec = codecs.lookup(charset.strip() or "utf-8").name
        if codec not in _ODD_CODECS:
            return content.decode(codec, "replace")
    except (LookupError, ValueError):
        pass
    return content.decode("utf-8", "replace")


def _decoded(value: str) -> str:
    try:
        return str(make_header(decode_header(value[:1000])))
    except (HeaderParseError, LookupError, ValueError):
        return value[:1000]

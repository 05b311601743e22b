"""XML to values and back: the data request and answer, ``<encrypted/>``, and the message around it.

Everything that is read here comes from the network: it is bounded, and what is wrong with it is said in a
:class:`~gre_core.errors.RemoteProtocolError` that carries the stanza error to answer with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, SubElement

from gre_core.errors import (
    BadDataForm,
    BadEncrypted,
    BadRequest,
    InvalidNamespace,
    RemoteProtocolError,
    UnknownNamespace,
)
from gre_core.model import Body, DataForm
from gre_core.namespaces import EME, FORM_TYPE, GRE, Kind, Namespace
from gre_core.notes import build_notes
from gre_core.xml_text import (
    MAX_DEPTH,
    MAX_ELEMENTS,
    depth_within,
    has_controls,
    is_identifier,
    local_name,
    replace_illegal,
    require_legal,
)

CLIENT: Final = "jabber:client"
FORM: Final = "jabber:x:data"
HINTS: Final = "urn:xmpp:hints"
ORIGIN: Final = "urn:xmpp:sid:0"
RECEIPTS: Final = "urn:xmpp:receipts"
FALLBACK: Final = "urn:xmpp:fallback:0"
OOB: Final = "jabber:x:oob"

DATA_TAG: Final = f"{{{GRE}}}data"
ENCRYPTED_TAG: Final = f"{{{GRE}}}encrypted"
ENCRYPTION_TAG: Final = f"{{{EME}}}encryption"
MESSAGE_TAG: Final = f"{{{CLIENT}}}message"
BODY_TAG: Final = f"{{{CLIENT}}}body"
SUBJECT_TAG: Final = f"{{{CLIENT}}}subject"
THREAD_TAG: Final = f"{{{CLIENT}}}thread"
ORIGIN_TAG: Final = f"{{{ORIGIN}}}origin-id"
STORE_TAG: Final = f"{{{HINTS}}}store"
REQUEST_TAG: Final = f"{{{RECEIPTS}}}request"
RECEIVED_TAG: Final = f"{{{RECEIPTS}}}received"
OOB_TAG: Final = f"{{{OOB}}}x"
FALLBACK_TAG: Final = f"{{{FALLBACK}}}fallback"

EME_NAME: Final = "Gateway Relayed Encryption"
FALLBACK_TEXT: Final = "This message is encrypted. Your client needs Gateway Relayed Encryption to show it."

MAX_FIELDS: Final = 256
MAX_VALUES: Final = 1024
MAX_VALUE: Final = 65_536
MAX_ID: Final = 1024
MAX_CHILDREN: Final = 64
_CLARK = re.compile(r"\{[^{}\s]{1,512}\}[^{}\s]{1,128}")

# -- data request and answer -------------------------------------------------------------------------


def build_data_request(
    formatter: Namespace, encrypter: Namespace, children: Iterable[Element] = ()
) -> Element:
    """Make ``<data/>`` for a request (GRE, "Relayed Encryption Data"): both attributes are always set."""
    data = Element(DATA_TAG, {"formatter": str(formatter), "encrypter": str(encrypter)})
    data.extend(children)
    return data


def parse_data_request(data: Element) -> tuple[Namespace | None, Namespace | None, tuple[Element, ...]]:
    """Read ``<data/>`` of a request: formatter, encrypter, children.

    A missing attribute gives None, since another implementation sends none.

    Raises:
        BadRequest: not ``<data/>``, too many children or too deep.
        UnknownNamespace: an attribute is not a namespace of its kind.
    """
    if data.tag != DATA_TAG:
        raise BadRequest("A data request is a <data/> element in the namespace urn:xmpp:gre:0.")
    if len(data) > MAX_CHILDREN:
        raise BadRequest(f"A data request has at most {MAX_CHILDREN} children.")
    _require_modest(data, BadRequest)
    return (
        _namespace(data, Kind.FORMATTER, required=False),
        _namespace(data, Kind.ENCRYPTER, required=False),
        tuple(data),
    )


def build_data_form(form: DataForm) -> Element:
    """Make ``<data/>`` for an answer, with a hidden FORM_TYPE (GRE, "Relayed Encryption Data"; XEP-0068).

    Raises:
        LocalProtocolError: a value has characters that XML forbids.
    """
    data = Element(DATA_TAG)
    x = SubElement(data, f"{{{FORM}}}x", {"type": "result"})
    _field(x, "FORM_TYPE", (FORM_TYPE,), "hidden")
    _field(x, "sender_id", (form.sender_id,))
    for var, values in form.fields.items():
        _field(x, var, values, "text-multi" if len(values) > 1 else None)
    return data


def parse_data_form(data: Element | None) -> DataForm:
    """Read ``<data/>`` of an answer. Unknown fields are ignored; those in Clark notation are kept.

    Raises:
        BadDataForm: no form of type ``result`` with a hidden FORM_TYPE ``urn:xmpp:gre:data``, no usable
            ``sender_id``, or more than is reasonable.
    """
    if data is None or data.tag != DATA_TAG:
        raise BadDataForm("The gateway's answer has no <data/> element. Tell its operator.")
    forms = [x for x in data if x.tag == f"{{{FORM}}}x" and _is_gre_form(x)]
    if len(forms) != 1:
        raise BadDataForm(
            f"The gateway's answer has {len(forms)} data forms with the hidden FORM_TYPE {FORM_TYPE} instead of "
            "one. Tell its operator."
        )
    found: dict[str, tuple[str, ...]] = {}
    for number, field in enumerate(forms[0].iterfind(f"{{{FORM}}}field")):
        if number >= MAX_FIELDS:
            raise BadDataForm(f"The gateway's data form has more than {MAX_FIELDS} fields.")
        var = field.get("var", "")
        if var == "sender_id" or is_clark(var):
            if var in found:
                raise BadDataForm(f"The gateway's data form has the field {var[:80]} twice.")
            found[var] = _values(field)
    sender = found.pop("sender_id", ())
    if len(sender) != 1 or not is_identifier(sender[0]):
        raise BadDataForm("The gateway's data form names no usable sender_id. Tell its operator.")
    return DataForm(sender[0], found)


def is_clark(var: str) -> bool:
    """Tell whether a form field is named in Clark notation (XEP-0068)."""
    return _CLARK.fullmatch(var) is not None


def _is_gre_form(x: Element) -> bool:
    if x.get("type") != "result":
        return False
    types = [field for field in x.iterfind(f"{{{FORM}}}field") if field.get("var") == "FORM_TYPE"]
    return len(types) == 1 and types[0].get("type") == "hidden" and _values(types[0]) == (FORM_TYPE,)


def _values(field: Element) -> tuple[str, ...]:
    values = tuple(value.text or "" for value in field.iterfind(f"{{{FORM}}}value"))
    if len(values) > MAX_VALUES or sum(map(len, values)) > MAX_VALUE:
        raise BadDataForm(f"The field {field.get('var', '')[:80]} of the gateway's data form is too large.")
    return values


def _field(x: Element, var: str, values: Iterable[str], type_: str | None = None) -> None:
    field = SubElement(x, f"{{{FORM}}}field", {"var": var} | ({"type": type_} if type_ else {}))
    for value in values:
        SubElement(field, f"{{{FORM}}}value").text = require_legal(value, f"The field {var[:80]}")


def _namespace(element: Element, kind: Kind, *, required: bool) -> Namespace | None:
    text = element.get(kind.value)
    if text is None and not required:
        return None
    try:
        return Namespace.parse(text or "", kind)
    except InvalidNamespace as error:
        raise UnknownNamespace(
            f"The attribute {kind.value!r} is {(text or '')[:160]!r}, which is no namespace of a GRE {kind.value}.",
            namespace=(text or "")[:160],
        ) from error


# -- <encrypted/> ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Encrypted:
    """What ``<encrypted/>`` says (GRE, "Sending and Receiving Encrypted Messages")."""

    formatter: Namespace
    encrypter: Namespace
    body: Body


def build_encrypted(encrypted: Encrypted) -> Element:
    """Make ``<encrypted/>``.

    Raises:
        LocalProtocolError: the text of the body has characters that XML forbids.
    """
    element = Element(
        ENCRYPTED_TAG, {"formatter": str(encrypted.formatter), "encrypter": str(encrypted.encrypter)}
    )
    element.text = require_legal(encrypted.body.text, "The body")
    for child in encrypted.body.children:
        alone = child
        if child.tail:  # stands in the body's text already
            alone = copy(child)
            alone.tail = None
        element.append(alone)
    return element


def parse_encrypted(element: Element) -> Encrypted:
    """Read ``<encrypted/>``. What its children mean is left to the encrypter.

    Raises:
        BadEncrypted: not ``<encrypted/>``, empty, with too many elements or too deep.
        UnknownNamespace: an attribute is missing or not a namespace of its kind.
    """
    if element.tag != ENCRYPTED_TAG:
        raise BadEncrypted("This is not an <encrypted/> element in the namespace urn:xmpp:gre:0.")
    formatter = _namespace(element, Kind.FORMATTER, required=True)
    encrypter = _namespace(element, Kind.ENCRYPTER, required=True)
    children = tuple(element)
    text = element.text or ""
    if children:
        _require_modest(element, BadEncrypted)
        text += "".join(child.tail or "" for child in children)
    elif not text.strip():
        raise BadEncrypted("The <encrypted/> element is empty.")
    if (
        formatter is None or encrypter is None
    ):  # pragma: no cover - _namespace(required=True) never gives None
        raise BadEncrypted("The <encrypted/> element names no formatter or encrypter.")
    return Encrypted(formatter, encrypter, Body(text, children))


# -- the message around it ---------------------------------------------------------------------------


def build_message(  # noqa: PLR0913 - each has a default but what every message has
    to: str,
    stanza_id: str,
    encrypted: Encrypted,
    *,
    sender: str | None = None,
    fallback: bool = False,
    receipt: bool = True,
    notes: Iterable[str] = (),
    origin_id: str | None = None,
    addresses: Element | None = None,
) -> Element:
    """Make a whole ``<message/>``. Nothing but what is listed here can stand outside ``<encrypted/>``.

    ``type='chat'`` and ``<store/>`` make it eligible for carbons and archives (XEP-0280, XEP-0334); the
    ``<encryption/>`` hint is XEP-0380.

    Arguments:
        to: the recipient's JID.
        stanza_id: also the origin-id (XEP-0359), unless that is given.
        encrypted: the content.
        sender: the ``from``, for gateways.
        fallback: add a body that only says that the message is encrypted (XEP-0428).
        receipt: ask for a receipt (XEP-0184).
        notes: what a gateway noted about the mail around the content (:mod:`gre_core.notes`).
        origin_id: that of the whole message, when several stanzas carry it to several recipients.
        addresses: the recipients, when one stanza is for several (:mod:`gre_core.addressing`).

    Raises:
        LocalProtocolError: body or id have characters that XML forbids, or a note is no code.
    """
    message = _message(to, stanza_id, sender)
    if fallback:
        SubElement(message, BODY_TAG).text = FALLBACK_TEXT
        SubElement(message, FALLBACK_TAG, {"for": GRE})
    message.append(build_encrypted(encrypted))
    SubElement(message, ENCRYPTION_TAG, {"namespace": GRE, "name": EME_NAME})
    message.extend(build_notes(notes))
    if addresses is not None:
        message.append(addresses)
    return _finish(message, origin_id or stanza_id, receipt=receipt)


def build_plain(
    to: str,
    stanza_id: str,
    text: str,
    *,
    subject: str | None = None,
    sender: str | None = None,
    receipt: bool = True,
    is_file: bool = False,
    thread: str | None = None,
) -> Element:
    """Make a ``<message/>`` that is not encrypted. What XML forbids in text and subject is replaced.

    Arguments:
        to: the recipient's JID.
        stanza_id: also the origin-id.
        text: the body.
        subject: or None.
        sender: the ``from``, for gateways.
        receipt: ask for a receipt (XEP-0184).
        is_file: the text is the address of a file (XEP-0066): programs show the file.
        thread: of the conversation (XEP-0201), or None.

    Raises:
        LocalProtocolError: the id has characters that XML forbids.
    """
    message = _message(to, stanza_id, sender)
    if subject:
        SubElement(message, SUBJECT_TAG).text = replace_illegal(subject)
    SubElement(message, BODY_TAG).text = replace_illegal(text)
    if thread is not None:
        SubElement(message, THREAD_TAG).text = replace_illegal(thread)
    if is_file:
        SubElement(SubElement(message, OOB_TAG), f"{{{OOB}}}url").text = replace_illegal(text)
    return _finish(message, stanza_id, receipt=receipt)


def build_plain_with_files(
    to: str,
    stanza_id: str,
    text: str,
    subject: str | None,
    sender: str,
    files: Sequence[str],
    thread: str | None = None,
) -> tuple[Element, ...]:
    """Make the messages of a text and files: one for each, as programs expect it (XEP-0066).

    The last one has the id and asks for the receipt, so that it confirms all of them; the others have ids made of it,
    the same when the message is sent again.

    Arguments:
        to: the recipient's JID.
        stanza_id: see above.
        text: ``""`` when there are only files.
        subject: or None.
        sender: the ``from``.
        files: addresses of files.
        thread: of the conversation (XEP-0201), or None.
    """
    said = [(text, subject, False)] if text or subject or not files else []
    parts = [*said, *((url, None, True) for url in files)]
    last = len(parts) - 1
    return tuple(
        build_plain(
            to,
            stanza_id if number == last else f"{stanza_id}-{number}",
            body,
            subject=title,
            sender=sender,
            receipt=number == last,
            is_file=is_file,
            thread=thread,
        )
        for number, (body, title, is_file) in enumerate(parts)
    )


def _message(to: str, stanza_id: str, sender: str | None) -> Element:
    require_legal(stanza_id, "The id of the message")
    message = Element(MESSAGE_TAG, {"to": to, "type": "chat", "id": stanza_id})
    if sender is not None:
        message.set("from", sender)
    return message


def _finish(message: Element, origin_id: str, *, receipt: bool) -> Element:
    SubElement(message, ORIGIN_TAG, {"id": origin_id})
    SubElement(message, STORE_TAG)
    if receipt:
        SubElement(message, REQUEST_TAG)
    return message


def child(stanza: Element, name: str) -> Element | None:
    """Find a child of a stanza in the stanza's own namespace (``jabber:client`` or a component's)."""
    return stanza.find(f"{{{local_name(stanza.tag)[0]}}}{name}")


def stanza_id(message: Element) -> str | None:
    """Give the origin-id of a message, else its id; None when neither is usable (XEP-0359)."""
    origin = message.find(ORIGIN_TAG)
    for candidate in (None if origin is None else origin.get("id"), message.get("id")):
        if candidate and len(candidate) <= MAX_ID and not has_controls(candidate):
            return candidate
    return None


def bare(jid: str) -> str:
    """Give a JID without its resource."""
    return jid.partition("/")[0]


def domain(jid: str) -> str:
    """Give the domain of a JID."""
    return bare(jid).rpartition("@")[2]


def _require_modest(element: Element, error: type[RemoteProtocolError]) -> None:
    if not depth_within(element):
        name = local_name(element.tag)[1]
        raise error(
            f"<{name}/> has more than {MAX_ELEMENTS:,} elements or is nested deeper than {MAX_DEPTH}."
        )

"""XML to values and back: the data request and answer, ``<encrypted/>``, and the message around it.

Everything that is read here comes from the network: it is bounded, and what is wrong with it is said in a
:class:`~gre_core.errors.RemoteProtocolError` that carries the stanza error to answer with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, SubElement

from gre_core.errors import BadDataForm, BadEncrypted, BadRequest, InvalidNamespace, UnknownNamespace
from gre_core.model import Body, DataForm
from gre_core.namespaces import EME, FORM_TYPE, GRE, Kind, Namespace

CLIENT: Final = "jabber:client"
FORM: Final = "jabber:x:data"
HINTS: Final = "urn:xmpp:hints"
ORIGIN: Final = "urn:xmpp:sid:0"
RECEIPTS: Final = "urn:xmpp:receipts"
FALLBACK: Final = "urn:xmpp:fallback:0"

DATA_TAG: Final = f"{{{GRE}}}data"
ENCRYPTED_TAG: Final = f"{{{GRE}}}encrypted"
ENCRYPTION_TAG: Final = f"{{{EME}}}encryption"
MESSAGE_TAG: Final = f"{{{CLIENT}}}message"
BODY_TAG: Final = f"{{{CLIENT}}}body"
ORIGIN_TAG: Final = f"{{{ORIGIN}}}origin-id"
STORE_TAG: Final = f"{{{HINTS}}}store"
REQUEST_TAG: Final = f"{{{RECEIPTS}}}request"
RECEIVED_TAG: Final = f"{{{RECEIPTS}}}received"
FALLBACK_TAG: Final = f"{{{FALLBACK}}}fallback"

EME_NAME: Final = "Gateway Relayed Encryption"
FALLBACK_TEXT: Final = "This message is encrypted. Your client needs Gateway Relayed Encryption to show it."

MAX_FIELDS: Final = 256
MAX_VALUES: Final = 1024
MAX_VALUE: Final = 65_536
MAX_SENDER_ID: Final = 1024
MAX_ID: Final = 1024
MAX_CHILDREN: Final = 64
MAX_ELEMENTS: Final = 10_000

_CLARK = re.compile(r"\{[^{}\s]{1,512}\}[^{}\s]{1,128}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


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
        BadRequest: not ``<data/>``, or too many children.
        UnknownNamespace: an attribute is not a namespace of its kind.
    """
    if data.tag != DATA_TAG:
        raise BadRequest("A data request is a <data/> element in the namespace urn:xmpp:gre:0.")
    if len(data) > MAX_CHILDREN:
        raise BadRequest(f"A data request has at most {MAX_CHILDREN} children.")
    return (
        _namespace(data, Kind.FORMATTER, required=False),
        _namespace(data, Kind.ENCRYPTER, required=False),
        tuple(data),
    )


def build_data_form(form: DataForm) -> Element:
    """Make ``<data/>`` for an answer, with a hidden FORM_TYPE (GRE, "Relayed Encryption Data"; XEP-0068)."""
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
    if len(sender) != 1 or not 0 < len(sender[0]) <= MAX_SENDER_ID or _CONTROL.search(sender[0]):
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
        SubElement(field, f"{{{FORM}}}value").text = value


def _namespace(element: Element, kind: Kind, *, required: bool) -> Namespace | None:
    text = element.get(kind.value)
    if text is None and not required:
        return None
    try:
        return Namespace.parse(text or "", kind)
    except InvalidNamespace as error:
        raise UnknownNamespace(
            f"The attribute {kind.value!r} is {(text or '')[:160]!r}, which is not the namespace of a GRE {kind.value}.",
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
    """Make ``<encrypted/>``."""
    element = Element(
        ENCRYPTED_TAG, {"formatter": str(encrypted.formatter), "encrypter": str(encrypted.encrypter)}
    )
    element.text = encrypted.body.text
    element.extend(encrypted.body.children)
    return element


def parse_encrypted(element: Element) -> Encrypted:
    """Read ``<encrypted/>``. What its children mean is left to the encrypter.

    Raises:
        BadEncrypted: not ``<encrypted/>``, empty, or with too many elements.
        UnknownNamespace: an attribute is missing or not a namespace of its kind.
    """
    if element.tag != ENCRYPTED_TAG:
        raise BadEncrypted("This is not an <encrypted/> element in the namespace urn:xmpp:gre:0.")
    formatter = _namespace(element, Kind.FORMATTER, required=True)
    encrypter = _namespace(element, Kind.ENCRYPTER, required=True)
    children = tuple(element)
    text = element.text or ""
    if children:
        if sum(1 for _ in element.iter()) > MAX_ELEMENTS:
            raise BadEncrypted(f"The <encrypted/> element has more than {MAX_ELEMENTS} elements.")
        text += "".join(child.tail or "" for child in children)
    if not children and not text.strip():
        raise BadEncrypted("The <encrypted/> element is empty.")
    if (
        formatter is None or encrypter is None
    ):  # pragma: no cover - _namespace(required=True) never gives None
        raise BadEncrypted("The <encrypted/> element names no formatter or encrypter.")
    return Encrypted(formatter, encrypter, Body(text, children))


# -- the message around it ---------------------------------------------------------------------------


def build_message(  # noqa: PLR0913 - one argument for each part of the stanza
    to: str,
    stanza_id: str,
    encrypted: Encrypted,
    *,
    sender: str | None = None,
    fallback: bool = False,
    receipt: bool = True,
) -> Element:
    """Make a whole ``<message/>``. Nothing but what is listed here can stand outside ``<encrypted/>``.

    ``type='chat'`` and ``<store/>`` make it eligible for carbons and archives (XEP-0280, XEP-0334); the
    ``<encryption/>`` hint is XEP-0380; the origin-id (XEP-0359) equals the stanza's id.

    Arguments:
        to: the recipient's JID.
        stanza_id: also the origin-id.
        encrypted: the content.
        sender: the ``from``, for gateways.
        fallback: add a body that only says that the message is encrypted (XEP-0428).
        receipt: ask for a receipt (XEP-0184).
    """
    message = Element(MESSAGE_TAG, {"to": to, "type": "chat", "id": stanza_id})
    if sender is not None:
        message.set("from", sender)
    if fallback:
        SubElement(message, BODY_TAG).text = FALLBACK_TEXT
        SubElement(message, FALLBACK_TAG, {"for": GRE})
    message.append(build_encrypted(encrypted))
    SubElement(message, ENCRYPTION_TAG, {"namespace": GRE, "name": EME_NAME})
    SubElement(message, ORIGIN_TAG, {"id": stanza_id})
    SubElement(message, STORE_TAG)
    if receipt:
        SubElement(message, REQUEST_TAG)
    return message


def local_name(tag: str) -> tuple[str, str]:
    """Split a tag into namespace and name."""
    namespace, _, name = tag.rpartition("}")
    return namespace[1:], name


def child(stanza: Element, name: str) -> Element | None:
    """Find a child of a stanza in the stanza's own namespace (``jabber:client`` or a component's)."""
    return stanza.find(f"{{{local_name(stanza.tag)[0]}}}{name}")


def stanza_id(message: Element) -> str | None:
    """Give the origin-id of a message, else its id; None when neither is usable (XEP-0359)."""
    origin = message.find(ORIGIN_TAG)
    for candidate in (None if origin is None else origin.get("id"), message.get("id")):
        if candidate and len(candidate) <= MAX_ID and not _CONTROL.search(candidate):
            return candidate
    return None


def bare(jid: str) -> str:
    """Give a JID without its resource."""
    return jid.partition("/")[0]


def domain(jid: str) -> str:
    """Give the domain of a JID."""
    return bare(jid).rpartition("@")[2]


def serialised_size(element: Element) -> int:
    """Give the size of an element on the wire in bytes of UTF-8, at most a little too large.

    Namespaces are counted as if each element declared its own, so the result is never too small.
    """
    size = 0
    for node in element.iter():
        namespace, name = local_name(node.tag)
        size += (
            2 * len(name.encode()) + len(namespace.encode()) + 16 + _escaped(node.text) + _escaped(node.tail)
        )
        for key, value in node.attrib.items():
            size += len(key.encode()) + 4 + _escaped(value)
    return size


def _escaped(text: str | None) -> int:
    if not text:
        return 0
    grown = (
        4 * text.count("&")
        + 3 * (text.count("<") + text.count(">"))
        + 5 * (text.count('"') + text.count("'"))
    )
    return grown + (len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass")))

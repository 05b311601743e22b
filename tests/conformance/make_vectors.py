"""Writes the vectors into gre_core/testing/vectors: ``python tests/conformance/make_vectors.py``.

What is random (payloads with boundaries, keys, ciphertexts) is taken from the files that are there, by the name of the
vector; delete a file to make its random parts anew. Everything else is computed each time, so that running it again
changes nothing as long as the implementation does what it did.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gre_core import wire
from gre_core.errors import GreError, InvalidAddress, InvalidNamespace
from gre_core.jid_escape import escape, unescape
from gre_core.model import Attachment, DataForm, Direction, Message, OpenJob, Recipient, SealJob
from gre_core.namespaces import Kind, Namespace, encrypter, formatter
from gre_core.negotiation import negotiate, read_features
from gre_core.testing import vectors
from gre_core.testing.conformance.corpus import SCRIPTS, TINY_PNG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Lines = list[tuple[str, str]]
FOLDER = Path(vectors.__file__).parent


def b64(data: bytes | str) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


def written(head: str, blocks: list[Lines]) -> str:
    told = "".join(f"# {line}".rstrip() + "\n" for line in head.strip().split("\n"))
    return told + "".join("\n" + "".join(f"{key}: {value}\n" for key, value in block) for block in blocks)


def kept(file: str, name: str, key: str, make: Callable[[], bytes]) -> bytes:
    """Give what stands in the file that is there, or make it."""
    if (FOLDER / f"{file}.txt").exists():
        for vector in vectors.read(file):
            if vector["name"] == name:
                return vector.bytes(key)
    return make()


# -- what is computed ----------------------------------------------------------------------------------


def jid_escape() -> str:
    ids = [
        "juliet@capulet.example", "space cadet", 'call me "ishmael"', "at&t guy", "d'artagnan", "/.fanboy", "::foo::",
        "<foo>", "user@host", r"c:\net", r"c:\\net", r"c:\cool stuff", r"c:\5commas", r"\40", r"\2plus\2is\4",
        "ñandú@example.org", "吾爱@example.org", "+41791234567",
    ]  # fmt: skip
    blocks: list[Lines] = [
        [("name", f"escape {n}"), ("legacy", legacy), ("localpart", escape(legacy))]
        for n, legacy in enumerate(ids, 1)
    ]
    for n, local in enumerate([r"juliet\40capulet.example", r"c\3a\5cnet", r"\5c40", r"a\5cb", r"a\zb"], 1):
        blocks.append([("name", f"unescape {n}"), ("localpart", local), ("unescaped", unescape(local))])
    for n, legacy in enumerate(["", " leading", "trailing ", "line\tbreak"], 1):
        try:
            escape(legacy)
        except InvalidAddress as error:
            blocks.append([("name", f"refused {n}"), ("legacy-base64", b64(legacy)), ("error", error.code)])
    head = """JID escaping (XEP-0106): identifiers of the legacy network, and localparts of JIDs.

legacy: an identifier as people write it; legacy-base64 holds the same, where it has white space at an end.
localpart: what stands before the @ of its JID. With legacy, it is what escaping gives, and it unescapes to legacy.
unescaped: given without legacy: what the localpart unescapes to. (It need not escape to the same again.)
error: invalid-address: the identifier cannot be escaped."""
    return written(head, blocks)


def namespaces() -> str:
    urns = [
        "urn:xmpp:gre:formatter:mime:0", "urn:xmpp:gre:encrypter:openpgp:0", "urn:xmpp:gre:formatter:a.b_c+d-e:12",
        "urn:xmpp:gre:encrypter:9:999999999", "urn:xmpp:gre:formatter:MIME:0", "urn:xmpp:gre:formatter:mime:00",
        "urn:xmpp:gre:formatter:mime:-1", "urn:xmpp:gre:formatter::0", "urn:xmpp:gre:formatter:mime",
        "urn:xmpp:gre:formatter:mime:0:1", "urn:xmpp:gre:signer:a:0", "urn:xmpp:gre:formatter:.a:0",
        "urn:xmpp:gre:formatter:mime:1000000000", "urn:xmpp:gre:0", "URN:xmpp:gre:formatter:mime:0",
        "urn:xmpp:gre:formatter:" + "a" * 64 + ":0", "urn:xmpp:gre:formatter:" + "a" * 65 + ":0",
        "urn:xmpp:gre:formatter:m\u00efme:0", "urn:xmpp:gre:formatter:mime:\u0661",
    ]  # fmt: skip
    blocks: list[Lines] = []
    for n, urn in enumerate(urns, 1):
        block = [("name", f"urn {n}"), ("urn", urn)]
        try:
            read = Namespace.parse(urn)
            block += [("kind", read.kind.value), ("short-name", read.name), ("version", str(read.version))]
        except InvalidNamespace as error:
            block.append(("error", error.code))
        blocks.append(block)
    head = """The grammar of namespaces (GRE, "Formatter" and "Encrypter").

urn: what is read: urn:xmpp:gre:KIND:NAME:VERSION, and nothing around it.
kind: formatter or encrypter.
short-name: NAME: 1 to 64 of a-z, 0-9, dot, underscore, plus and hyphen, of which the first is a letter or a digit.
version: VERSION: a decimal number of at most 9 ASCII digits, without leading zeros.
error: invalid-namespace: it is none."""
    return written(head, blocks)


def negotiation() -> str:
    f0, f1, e0, e1 = "formatter:mime:0", "formatter:mime:1", "encrypter:openpgp:0", "encrypter:openpgp:1"
    cases: list[tuple[str, list[str], list[str], list[str]]] = [
        ("one pair", ["0", f0, e0], [f0, e0], []),
        ("the highest common version", ["0", f0, f1, "formatter:mime:7", e0, e1], [f0, f1, e0], []),
        ("no feature of GRE itself", [f0, e0], [f0, e0], []),
        ("no formatter in common", ["0", "formatter:other:0", e0], [f0, e0], []),
        ("no encrypter in common", ["0", f0, e1], [f0, e0], []),
        (
            "malformed features are ignored",
            ["0", f0, e0, "formatter:mime:01", "formatter:MIME:9"],
            [f0, e0],
            [],
        ),
        ("a refused pair", ["0", f0, f1, e0], [f0, f1, e0], [f"{f1} {e0}"]),
        ("all pairs refused", ["0", f0, e0], [f0, e0], [f"{f0} {e0}"]),
        ("by name without a preference", ["0", "formatter:a:0", f0, e0], ["formatter:a:0", f0, e0], []),
    ]
    blocks: list[Lines] = []
    for name, theirs, ours, refused in cases:
        block = [("name", name), *(("feature", _urn(each)) for each in theirs)]
        block += [("ours", _urn(each)) for each in ours]
        block += [("refused", " ".join(map(_urn, each.split()))) for each in refused]
        have = [Namespace.parse(_urn(each)) for each in ours]
        pairs = [tuple(Namespace.parse(_urn(one)) for one in each.split()) for each in refused]
        try:
            agreed = negotiate(
                [each for each in have if each.kind is Kind.FORMATTER],
                [each for each in have if each.kind is Kind.ENCRYPTER],
                read_features([_urn(each) for each in theirs]),
                refused=pairs,  # type: ignore[arg-type]
            )
            block += [("formatter", str(agreed.formatter)), ("encrypter", str(agreed.encrypter))]
        except GreError as error:
            block.append(("error", error.code))
        blocks.append(block)
    head = """Negotiation (GRE, "Discovering Support"): which formatter and which encrypter are used.

feature: a feature that the peer announces; several. Features that are no well-formed namespace are ignored.
ours: a namespace that we have, formatters and encrypters; several. We prefer none of them.
refused: a pair that the gateway refused before: the formatter, a space, the encrypter.
encrypter: the result: of those that both sides have the first by name, in its highest version.
formatter: the result, by the same order. The encrypter is chosen first: a formatter of a refused pair gives way before
    the encrypter does.
error: not-a-gateway: it does not announce GRE itself. no-common-ground: no pair is left."""
    return written(head, blocks)


def _urn(short: str) -> str:
    return f"urn:xmpp:gre:{short}"


def data_form() -> str:
    def form(fields: str, *, kind: str = "result", hidden: str = " type='hidden'") -> str:
        return (
            f"<data xmlns='urn:xmpp:gre:0'><x xmlns='jabber:x:data' type='{kind}'><field var='FORM_TYPE'{hidden}>"
            f"<value>urn:xmpp:gre:data</value></field>{fields}</x></data>"
        )

    sender = "<field var='sender_id'><value>juliet@capulet.example</value></field>"
    clark = "<field var='{urn:xmpp:gre:encrypter:openpgp:0}fingerprints'>%s</field>"
    cases = [
        ("the least", form(sender)),
        ("a field of two values", form(sender + clark % "<value>AA</value><value>BB</value>")),
        ("a field without values", form(sender + clark % "")),
        ("unknown fields are ignored", form(sender + "<field var='other'><value>a</value></field>")),
        ("sender_id is missing", form("")),
        ("sender_id is empty", form("<field var='sender_id'><value/></field>")),
        ("FORM_TYPE is not hidden", form(sender, hidden=" type='text-single'")),
        ("a form to fill in", form(sender, kind="form")),
        ("no form", "<data xmlns='urn:xmpp:gre:0'/>"),
        ("another namespace", "<data xmlns='urn:xmpp:gre:1'/>"),
    ]
    blocks: list[Lines] = []
    for name, xml in cases:
        block = [("name", name), ("xml", xml)]
        try:
            read = wire.parse_data_form(_element(xml))
            block.append(("sender-id", read.sender_id))
            for var, values in read.fields.items():
                block += [("field", f"{var} {value}") for value in values] or [("field", var)]
        except GreError as error:
            block.append(("error", error.code))
        blocks.append(block)
    head = """The data form (GRE, "Relayed Encryption Data").

xml: the element that the gateway answers with.
sender-id: the value of the field sender_id.
field: a field whose name is in Clark notation: the name, a space, and one of its values, for each value in its order;
    the name alone when it has no values. Other fields are ignored, and stand in no vector.
error: bad-data-form: it must not be used."""
    return written(head, blocks)


def encrypted() -> str:
    pair = "formatter='urn:xmpp:gre:formatter:mime:0' encrypter='urn:xmpp:gre:encrypter:openpgp:0'"
    cases = [
        ("text", f"<encrypted xmlns='urn:xmpp:gre:0' {pair}>aGVsbG8=</encrypted>"),
        ("a child", f"<encrypted xmlns='urn:xmpp:gre:0' {pair}><a xmlns='urn:example'>b</a></encrypted>"),
        (
            "no encrypter",
            "<encrypted xmlns='urn:xmpp:gre:0' formatter='urn:xmpp:gre:formatter:mime:0'>a</encrypted>",
        ),
        ("kinds exchanged", f"<encrypted xmlns='urn:xmpp:gre:0' {_swapped(pair)}>a</encrypted>"),
        ("empty", f"<encrypted xmlns='urn:xmpp:gre:0' {pair}/>"),
        ("another namespace", f"<encrypted xmlns='urn:xmpp:gre:1' {pair}>a</encrypted>"),
        ("another element", f"<data xmlns='urn:xmpp:gre:0' {pair}>a</data>"),
    ]
    blocks: list[Lines] = []
    for name, xml in cases:
        block = [("name", name), ("xml", xml)]
        try:
            read = wire.parse_encrypted(_element(xml))
            block += [("formatter", str(read.formatter)), ("encrypter", str(read.encrypter))]
            block += [("text", read.body.text)] if read.body.text else []
            block += [("child", child.tag) for child in read.body.children]
        except GreError as error:
            block.append(("error", error.code))
        blocks.append(block)
    head = """The encrypted element (GRE, "Sending and Receiving Encrypted Messages").

xml: the element of a message.
formatter: the namespace in its attribute formatter.
encrypter: the namespace in its attribute encrypter.
text: its text, which is for the encrypter; it stands here only when there is some.
child: the name of a child in Clark notation, {namespace}name, for each child in its order; they are for the encrypter.
error: unknown-namespace: an attribute is missing, or names no formatter or encrypter. bad-encrypted: it is another
    element, or holds nothing."""
    return written(head, blocks)


def _swapped(pair: str) -> str:
    return pair.replace("formatter=", "f=").replace("encrypter=", "formatter=").replace("f=", "encrypter=")


def _element(xml: str) -> Any:
    from xml.etree.ElementTree import fromstring

    return fromstring(xml)


# -- MIME ----------------------------------------------------------------------------------------------

MIME, OPENPGP = formatter("mime"), encrypter("openpgp")
OPEN_JOB = OpenJob(
    "romeo@xmpp.example", r"juliet\40capulet.example@gateway.example", Direction.RECEIVED, MIME, OPENPGP
)
SEAL_JOB = SealJob(
    "juliet@xmpp.example",
    (Recipient(r"romeo\40montague.example@gateway.example", "romeo@montague.example"),),
    DataForm("juliet@capulet.example"),
    MIME,
    OPENPGP,
    "5d2f6c1a-9a0e-4b57",
    datetime(2026, 11, 23, 17, 4, 9, tzinfo=UTC),
)


def messages() -> Iterator[tuple[str, Message]]:
    picture = Attachment.from_bytes(
        "pixel.png", "image/png", TINY_PNG, inline=True, content_id="pixel@example.org"
    )
    file = Attachment.from_bytes
    yield "empty", Message()
    yield "plain text", Message("Wherefore art thou Romeo?\n", subject="Balcony")
    yield "every script", Message("\n".join(SCRIPTS.values()), subject=SCRIPTS["Korean"])
    yield "text and HTML", Message("Wherefore", "<p>Wherefore</p>")
    yield (
        "a picture inside HTML",
        Message("Look", '<img src="cid:pixel@example.org">', attachments=(picture,)),
    )
    yield (
        "files",
        Message(
            "See there",
            attachments=(
                file("Ďáblův plán.pdf", "application/pdf", b"%PDF-"),
                file("計画.txt", "text/plain", b"a\r\nb\n"),
                file("empty.bin", "application/octet-stream", b""),
            ),
        ),
    )
    yield (
        "an answer",
        Message("Yes", in_reply_to="a@example.org", references=("z@example.org", "a@example.org")),
    )
    yield "lines that look like mail", Message("From me\n.\n--=_x\n>From you\n-- \n")


def fields_of(message: Message) -> Lines:
    lines = [("text-base64", b64(message.text))]
    lines += [] if message.html is None else [("html-base64", b64(message.html))]
    lines += [] if message.subject is None else [("subject-base64", b64(message.subject))]
    lines += [("in-reply-to", message.in_reply_to)] if message.in_reply_to else []
    lines += [("reference", each) for each in message.references]
    for each in message.attachments:
        lines += [("file-name-base64", b64(each.name)), ("file-type", each.media_type)]
        lines += [("file-inline", each.content_id or "")] if each.inline else []
        lines.append(("file-content-base64", b64(each.read())))
    return lines


def mime() -> str:
    from gre_formatter_mime.formatter import MimeFormatter

    made = MimeFormatter()
    blocks: list[Lines] = []
    for name, message in messages():
        payload = kept("mime", name, "payload", lambda message=message: made.format(message, SEAL_JOB))  # type: ignore[misc]
        read = made.parse(payload, OPEN_JOB)
        blocks.append(
            [
                ("name", name),
                ("payload-base64", b64(payload)),
                ("from", read.claimed_sender or ""),
                *(("to", each) for each in read.to),
                ("message-id", read.message_id or ""),
                ("date", read.date.isoformat() if read.date else ""),
                *fields_of(read),
            ]
        )
    head = """MIME payloads, both ways. Reading: the payload gives the fields. Writing: what you write of the fields has to read
as the same fields; boundaries and folding are yours. A key that is missing stands for a field that is not there.

payload: what the encrypter is given: a MIME entity with CRLF line ends.
from: the address in From, which is the sender_id that the gateway gave.
to: an address in To, for each of them.
message-id: without its angle brackets.
date: as in RFC 3339.
text: in UTF-8, with LF line ends. A payload that is a text alone, without multipart, ends in one line end (CRLF) that
    is not a part of the text: it is cut off before the transfer encoding is decoded, and it alone. All others stay.
html: in UTF-8: the alternative to the text.
subject: in UTF-8.
in-reply-to: an id without its angle brackets.
reference: an id of References without its angle brackets, for each in its order.
file-name: in UTF-8. With it an attachment begins; the next keys are about it, up to the next file-name.
file-type: its media type.
file-inline: it is shown inside the HTML; its Content-ID without angle brackets. Missing: it is an ordinary file.
file-content: its bytes."""
    return written(head, blocks)


# -- OpenPGP -------------------------------------------------------------------------------------------

PEOPLE = {
    "romeo": "romeo@montague.example",
    "juliet": "juliet@capulet.example",
    "nurse": "nurse@capulet.example",
}


def secret(name: str) -> bytes:
    from gre_openpgp.encrypting.keymaking import make_key

    def make() -> bytes:
        return make_key(f"<{PEOPLE[name]}>", datetime(2026, 1, 1, tzinfo=UTC), lifetime=None)

    return kept("openpgp-keys", name, "secret-key", make)


def openpgp_keys() -> str:
    import pysequoia

    blocks: list[Lines] = []
    for name, address in PEOPLE.items():
        data = secret(name)
        key = pysequoia.Tsk.from_bytes(data)
        cert = key.extract_certificate()
        blocks.append(
            [
                ("name", name),
                ("address", address),
                ("fingerprint", cert.fingerprint.upper()),
                ("secret-key-base64", b64(data)),
                ("public-key-base64", b64(bytes(cert))),
            ]
        )
    head = """OpenPGP keys of the people in openpgp-messages.txt. They never expire. Never use them for anything else.

name: of the person, to whom reader and from in openpgp-messages.txt refer.
address: in the user ID of the key.
fingerprint: of the primary key, in upper case.
secret-key: the transferable secret key (RFC 9580, section 10.2), binary and without a passphrase.
public-key: its transferable public key (section 10.1), binary."""
    return written(head, blocks)


def openpgp_messages() -> str:
    import pysequoia

    keys = {name: pysequoia.Tsk.from_bytes(secret(name)) for name in PEOPLE}
    certs = {name: key.extract_certificate() for name, key in keys.items()}

    def seal(to: str, by: str | None, payload: bytes) -> bytes:
        signer = None if by is None else keys[by].signer()
        return bytes(pysequoia.encrypt(payload, [certs[to]], signer, armor=False))

    hello = b"Wherefore art thou Romeo?\r\n"
    cases: list[tuple[str, str, str | None, bytes, str]] = [
        ("good", "romeo", "juliet", hello, "good"),
        ("good and empty", "romeo", "juliet", b"", "good"),
        ("good, 10,000 bytes", "romeo", "juliet", bytes(range(250)) * 40, "good"),
        ("unsigned", "romeo", None, hello, "unsigned"),
        ("signed by somebody else", "romeo", "nurse", hello, "not-good"),
        ("for somebody else", "nurse", "juliet", hello, "not-for-us"),
    ]
    blocks: list[Lines] = []
    good = b""
    for name, to, by, payload, verdict in cases:
        message = kept("openpgp-messages", name, "body", lambda t=to, b=by, p=payload: seal(t, b, p))  # type: ignore[misc]
        block = [("name", name), ("reader", "romeo"), ("from", "juliet"), ("body-base64", b64(message))]
        block += (
            [("error", verdict)]
            if verdict == "not-for-us"
            else [("verdict", verdict), ("payload-base64", b64(payload))]
        )
        blocks.append(block)
        if name == "good":
            good = message
    half = len(good) // 2
    for name, message, error in [
        ("a bit of the ciphertext flipped", _flip(good, len(good) - 30), "decrypt-failed"),
        ("a bit of the last byte flipped", _flip(good, len(good) - 1), "decrypt-failed"),
        ("cut in half", good[:half], "any"),
        ("something behind it", good + b"\0", "any"),
        ("twice", good + good, "any"),
        ("nothing", b"", "bad-encrypted"),
        ("no OpenPGP at all", b"Wherefore", "bad-encrypted"),
        ("not encrypted", bytes([0xCB, 6]) + b"b\0\0\0\0\0", "bad-encrypted"),
    ]:
        blocks.append(
            [
                ("name", name),
                ("reader", "romeo"),
                ("from", "juliet"),
                ("body-base64", b64(message)),
                ("error", error),
            ]
        )
    head = """OpenPGP messages.

reader: who reads it, by name in openpgp-keys.txt, with the own secret key alone.
from: the contact who is said to have sent it; the reader knows the public key of that contact, and of nobody else.
body: the OpenPGP message. The text of <encrypted/> is its base64, as it stands here.
verdict: good: signed by the contact. unsigned. not-good: anything that is not good.
payload: what comes out.
error: not-for-us, decrypt-failed or bad-encrypted. any: one of these three, and never a payload."""
    return written(head, blocks)


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


MAKERS = {
    "jid-escape": jid_escape,
    "namespaces": namespaces,
    "negotiation": negotiation,
    "data-form": data_form,
    "encrypted": encrypted,
    "mime": mime,
    "openpgp-keys": openpgp_keys,
    "openpgp-messages": openpgp_messages,
}


def main() -> None:
    for name, make in MAKERS.items():
        (FOLDER / f"{name}.txt").write_text(make(), "utf-8")


if __name__ == "__main__":
    main()

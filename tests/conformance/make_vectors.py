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
    told = "".join(f"# {line}\n" for line in head.strip().split("\n"))
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
    head = """JID escaping (XEP-0106): legacy identifiers and localparts.
legacy: what people write. localpart: what stands before the @. unescaped: what a localpart reads as."""
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
    return written('The grammar of namespaces (GRE, "Formatter" and "Encrypter").', blocks)


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
    head = """Negotiation (GRE, "Discovering Support"). feature: what the peer announces. ours: what we have.
refused: pairs that the gateway refused. The result is formatter and encrypter, or error."""
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
    head = """The data form (GRE, "Relayed Encryption Data"). field: its name in Clark notation, a space, one of its values."""
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
    return written('The encrypted element (GRE, "Sending and Receiving Encrypted Messages").', blocks)


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
    head = """MIME payloads, both ways. Reading: the payload gives the fields. Writing: what you write of the fields, with the
sender, recipient, id and date given, has to read as the same fields; boundaries and folding are yours."""
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
    head = """OpenPGP keys of the people in openpgp-messages.txt. They never expire. Never use them for anything else."""
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
    head = """OpenPGP messages: body-base64 is, as it stands, the text of <encrypted/>. The reader holds his own secret key, and
knows the public key of the contact in `from`. verdict: good, unsigned, or not-good (anything that is not good).
error: not-for-us, decrypt-failed or bad-encrypted; any: one of them, and never a payload."""
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

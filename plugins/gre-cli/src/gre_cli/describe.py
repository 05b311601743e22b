"""Values of the framework as lines for people and as JSON for scripts. Text from the network is cleaned here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_cli.safe import clean, clean_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gre_core.client import Sent
    from gre_core.model import Notice, Question
    from gre_core.namespaces import Namespace
    from gre_core.negotiation import Agreement
    from gre_core.sealing import Agreed


def short(namespace: Namespace) -> str:
    """Give ``mime:0`` for ``urn:xmpp:gre:formatter:mime:0``."""
    return f"{namespace.name}:{namespace.version}"


def pair(agreement: Agreement) -> str:
    """Give the pair in few words."""
    return f"{short(agreement.formatter)} + {short(agreement.encrypter)}"


def field_name(var: str) -> str:
    """Give a name that people can read for a field in Clark notation: ``openpgp:0 fingerprints``."""
    namespace, brace, name = var.removeprefix("{").partition("}")
    return clean_line(f"{':'.join(namespace.split(':')[-2:])} {name}" if brace else var)


def data_fields(agreed: Agreed) -> list[tuple[str, str]]:
    """Give the data form as (name, value), the sender_id first."""
    return [
        ("you are seen as", clean_line(agreed.data.sender_id)),
        *(
            (field_name(var), clean_line(", ".join(values)) or "none")
            for var, values in agreed.data.fields.items()
        ),
    ]


def agreed_json(agreed: Agreed) -> dict[str, object]:
    """Give what was agreed."""
    return {
        "formatter": str(agreed.agreement.formatter),
        "encrypter": str(agreed.agreement.encrypter),
        "reason": agreed.agreement.reason,
        "sender_id": agreed.data.sender_id,
        "data": {var: list(values) for var, values in agreed.data.fields.items()},
        "receipts": agreed.receipts,
        "max_size": agreed.max_size,
    }


def sent_json(sent: Sent) -> dict[str, object]:
    """Give a message on its way."""
    return {
        "id": sent.id,
        "to": sent.to,
        "recipients": list(sent.recipients),
        "state": str(sent.state),
        "error": clean(sent.error),
        "condition": sent.condition,
    }


def notice_json(notice: Notice) -> dict[str, object]:
    """Give a notice."""
    return {"code": notice.code, "text": clean(notice.text), "params": dict(notice.params)}


def question_json(question: Question) -> Mapping[str, object]:
    """Give a question."""
    return {
        "code": question.code,
        "peer": question.peer,
        "text": clean(question.text),
        "before": question.before,
        "after": question.after,
    }

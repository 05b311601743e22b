"""The optional Protocols of ``gre_core.api``: which of them an object implements, and which only in part."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from gre_core.api import (
    Acquainting,
    AddsFields,
    Explaining,
    FileEncrypter,
    FileFormatter,
    JudgesSigned,
    Learning,
    NamesMessages,
    Observing,
    Preparing,
    RequestsData,
    TellsApart,
    UsesWorker,
    WorkerParsing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMBERS: Final[dict[type, dict[str, int | None]]] = {
    Acquainting: {"acquaint": 3},
    AddsFields: {"protected_fields": 2},
    Explaining: {"explain": 2},
    FileEncrypter: {"encrypt_file": 4, "decrypt_file": 4},
    FileFormatter: {"format_to": 3, "parse_from": 2},
    JudgesSigned: {"judge_signed": 3},
    Learning: {"learn": 4},
    NamesMessages: {"message_id": 1},
    Observing: {"nodes": None, "notified": 3},
    Preparing: {"prepare": 2},
    RequestsData: {"data_children": 0},
    TellsApart: {"signature_id": 4},
    UsesWorker: {"worker_functions": None},
    WorkerParsing: {"worker_parser": None},
}
"""The members of each Protocol: how many arguments a method takes, None for a property."""

_ASYNC: Final = frozenset(
    {
        "acquaint", "decrypt_file", "encrypt_file", "explain", "judge_signed", "learn", "notified", "prepare",
        "signature_id",
    }
)  # fmt: skip


def abilities_of(made: object) -> frozenset[type]:
    """Give the optional Protocols that an object implements."""
    return frozenset(
        ability for ability, members in MEMBERS.items() if all(hasattr(made, name) for name in members)
    )


def half_done(made: object) -> Iterator[str]:
    """Tell what of an optional Protocol is missing or is not what the Protocol says."""
    for ability, members in MEMBERS.items():
        there = [name for name in members if hasattr(made, name)]
        if there and len(there) < len(members):
            missing = ", ".join(sorted(set(members) - set(there)))
            yield f"{ability.__name__}: {', '.join(there)} is there, {missing} is not"
        for name in there:
            complaint = _complaint(getattr(made, name), name, members[name])
            if complaint:
                yield f"{ability.__name__}.{name} {complaint}"


def _complaint(member: Any, name: str, count: int | None) -> str:
    if count is None:
        return _about_property(member, name)
    if not callable(member):
        return "cannot be called"
    if inspect.iscoroutinefunction(member) is not (name in _ASYNC):
        return f"{'has to be' if name in _ASYNC else 'must not be'} `async def`"
    try:
        inspect.signature(member).bind(*[None] * count)
    except TypeError as error:
        return f"with {count} arguments: {error}"
    except ValueError:
        pass  # a method of an extension in C tells no signature
    return ""


def _about_property(member: Any, name: str) -> str:
    one = name == "worker_parser"
    wanted = "a text" if one else "an iterable of texts"
    if callable(member):
        return f"is a method; it has to be a property that gives {wanted}"
    if isinstance(member, str) is not one or not hasattr(member, "__iter__"):
        return f"is not {wanted}"
    return "" if one or all(isinstance(value, str) for value in member) else f"is not {wanted}"

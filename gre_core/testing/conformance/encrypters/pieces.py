"""The pieces of a body that hold its ciphertext, however that is written: each as bytes, with a way to put others."""

from __future__ import annotations

import contextlib
import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from gre_core.testing.conformance.codings import coded
from gre_core.xml_text import replace_illegal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gre_core.model import Body

T = TypeVar("T")
_DEPTH: Final = 4
"""Encodings inside each other that are looked into."""


class Piece(NamedTuple):
    """A piece of a body.

    Attributes:
        name: where it stands; the same in each body that is built alike.
        raw: the bytes that it stands for.
        put: gives the body with other bytes there.
    """

    name: str
    raw: bytes
    put: Callable[[bytes], Body]


def pieces(body: Body) -> Iterator[Piece]:
    """Give the pieces of a body: what stands in its text and its children, decoded as far as it goes."""
    yield from _inside("text", body.text, lambda text: replace(body, text=text))
    for number, child in enumerate(body.children):
        for at, inner in enumerate(child.iter()):
            place = f"child {number}, element {at}"
            yield from _inside(place, inner.text or "", _element_writer(body, number, at, None))
            for name, value in inner.items():
                yield from _inside(f"{place}, {name}", value, _element_writer(body, number, at, name))


def without_some(body: Body) -> Iterator[tuple[str, Body]]:
    """Leave out what may be a chunk of its own, and let such change places: children, and items of lists in JSON."""
    for doing, children in _fewer(body.children):
        yield f"children {doing}", replace(body, children=tuple(children))
    for number, child in enumerate(body.children):
        for at, inner in enumerate(child.iter()):
            for doing, kept in _fewer(tuple(inner)):
                changed = copy.deepcopy(child)
                list(changed.iter())[at][:] = kept
                children = [*body.children[:number], changed, *body.children[number + 1 :]]
                yield f"{inner.tag}: children {doing}", replace(body, children=tuple(children))
    outer = coded(body.text)
    text = body.text if outer is None else outer.raw.decode("utf-8", "replace")
    for doing, shorter in _fewer_in_json(text):
        yield doing, replace(body, text=shorter if outer is None else outer.write(shorter.encode()))


def _inside(name: str, text: str, put: Callable[[str], Body], depth: int = 0) -> Iterator[Piece]:
    """Give the pieces that stand in a text."""
    if not text:
        return
    leaves = list(_leaves(_json(text))) if depth < _DEPTH else []
    if leaves:
        for path, leaf in leaves:
            yield from _inside(f"{name}{path}", leaf, _json_writer(text, path, put), depth + 1)
        return
    found = coded(text)
    if found is None:
        yield Piece(name, text.encode("utf-8", "replace"), lambda data: put(_legal(data)))
        return
    here, write = f"{name}, {found.name}", found.write

    def put_decoded(data: bytes) -> Body:
        return put(write(data))

    with contextlib.suppress(UnicodeDecodeError):
        inner = found.raw.decode()
        if depth < _DEPTH and (_json(inner) is not None or coded(inner) is not None):
            yield from _inside(here, inner, lambda changed: put_decoded(changed.encode()), depth + 1)
            return
    yield Piece(here, found.raw, put_decoded)


def _element_writer(body: Body, number: int, at: int, name: str | None) -> Callable[[str], Body]:
    def put(text: str) -> Body:
        changed = copy.deepcopy(body.children[number])
        inner = list(changed.iter())[at]
        if name is None:
            inner.text = text
        else:
            inner.set(name, text)
        return replace(body, children=(*body.children[:number], changed, *body.children[number + 1 :]))

    return put


def _legal(data: bytes) -> str:
    return replace_illegal(data.decode("utf-8", "ignore"))


# -- JSON ------------------------------------------------------------------------------------------

_Path = tuple["str | int", ...]


def _json(text: str) -> Any:
    """Read an object or a list in JSON; None if it is none."""
    if text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _leaves(value: Any, path: _Path = ()) -> Iterator[tuple[_Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict | list) and len(path) < _DEPTH:
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(each, (*path, key))


def _at(value: Any, path: _Path) -> Any:
    for key in path:
        value = value[key]
    return value


def _json_writer(text: str, path: _Path, put: Callable[[str], Body]) -> Callable[[str], Body]:
    def write(leaf: str) -> Body:
        value = json.loads(text)
        _at(value, path[:-1])[path[-1]] = leaf
        return put(json.dumps(value))

    return write


def _fewer_in_json(text: str) -> Iterator[tuple[str, str]]:
    value = _json(text)
    for path in _lists(value):
        for doing, kept in _fewer(tuple(_at(value, path))):
            changed = json.loads(text)
            _at(changed, path)[:] = kept
            yield f"list {path} {doing}", json.dumps(changed)


def _lists(value: Any, path: _Path = ()) -> Iterator[_Path]:
    if isinstance(value, list):
        yield path
    if isinstance(value, dict | list) and len(path) < _DEPTH:
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _lists(each, (*path, key))


def _fewer(items: tuple[T, ...]) -> Iterator[tuple[str, list[T]]]:
    """Leave items out, and let two change places; nothing is done to a single one."""
    if len(items) < 2:
        return
    yield "without the last one", list(items[:-1])
    yield "without the first one", list(items[1:])
    yield "the last two exchanged", [*items[:-2], items[-1], items[-2]]
    if len(items) > 2:
        yield "without the second one", [items[0], *items[2:]]
        yield "the first two exchanged", [items[1], items[0], *items[2:]]

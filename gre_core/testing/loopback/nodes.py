"""PEP nodes and their configuration (XEP-0060 section 8, XEP-0163), with Prosody's defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gre_core.testing.loopback.stanza import add, make

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

Config = dict[str, str | bool | int]

DATA_FORMS: Final = "jabber:x:data"
_FIELD: Final = f"{{{DATA_FORMS}}}field"
_VALUE: Final = f"{{{DATA_FORMS}}}value"
_FORM_TYPE: Final = "http://jabber.org/protocol/pubsub#node_config"

MAX_ITEMS: Final = 256

_TEXT: Final = ("title", "description", "type", "access_model", "publish_model", "send_last_published_item")
_BOOL: Final = (
    "persist_items",
    "deliver_notifications",
    "deliver_payloads",
    "notify_delete",
    "notify_retract",
)
_DEFAULTS: Final[Mapping[str, str | bool | int]] = {
    "max_items": 1,
    "persist_items": True,
    "access_model": "presence",
    "publish_model": "publishers",
    "send_last_published_item": "on_sub_and_presence",
}
_ACCESS_MODELS: Final = frozenset({"presence", "whitelist", "open"})


class BadForm(ValueError):
    """A configuration form holds a value that is not allowed."""


@dataclass(eq=False)
class Node:
    """One node of one account."""

    name: str
    config: Config = field(default_factory=dict)
    items: dict[str, Element] = field(default_factory=dict)
    subscribers: set[str] = field(default_factory=set)

    def get(self, option: str) -> str | bool | int | None:
        """Return an option that was set, or its default; None when there is neither."""
        return self.config.get(option, _DEFAULTS.get(option))

    @property
    def max_items(self) -> int:
        """How many items are kept."""
        value = self.get("max_items")
        return value if isinstance(value, int) else MAX_ITEMS

    def mismatch(self, wanted: Config) -> str | None:
        """Return the first option in which this node differs from publish-options."""
        return next((option for option, value in wanted.items() if self.get(option) != value), None)

    def store(self, identifier: str, item: Element) -> None:
        """Keep an item as the newest one, and drop the oldest beyond ``max_items``."""
        self.items.pop(identifier, None)
        self.items[identifier] = item
        self.trim()

    def trim(self) -> None:
        """Drop what the configuration does not allow to be kept."""
        if not self.get("persist_items"):
            self.items.clear()
        for identifier in list(self.items)[: -self.max_items]:
            del self.items[identifier]


def acceptable(config: Config) -> bool:
    """Tell whether a configuration can be used for a node of an account."""
    return config.get("access_model", "presence") in _ACCESS_MODELS


def read_form(form: Element) -> Config:
    """Read a node configuration; unknown fields are ignored.

    Raises:
        BadForm: a value is not allowed; the text says which.
    """
    config: Config = {}
    for element in form.iterfind(_FIELD):
        option = element.get("var", "").removeprefix("pubsub#")
        value = element.findtext(_VALUE)
        if value is None:
            continue
        if option in _TEXT:
            config[option] = value
        elif option in _BOOL:
            if value not in {"0", "1", "true", "false"}:
                message = f"{option}: Invalid boolean representation:{value}"
                raise BadForm(message)
            config[option] = value in {"1", "true"}
        elif option == "max_items":
            config[option] = _max_items(value)
    return config


def _max_items(value: str) -> str | int:
    if value == "max":
        return value
    if not (value.isascii() and value.isdigit() and len(value) < 6):
        message = "max_items: not a number"
        raise BadForm(message)
    if not 1 <= int(value) <= MAX_ITEMS:
        message = "max_items: out of bounds"
        raise BadForm(message)
    return int(value)


def write_form(node: Node) -> Element:
    """Return the configuration of a node as a form."""
    form = make(f"{{{DATA_FORMS}}}x", type="form")
    add(add(form, "field", var="FORM_TYPE", type="hidden"), "value", _FORM_TYPE)
    for option in (*_TEXT, *_BOOL, "max_items"):
        value = node.get(option)
        if value is None:
            value = True if option in _BOOL else ""
        text = ("1" if value else "0") if isinstance(value, bool) else str(value)
        kind = "boolean" if option in _BOOL else "text-single"
        add(add(form, "field", var=f"pubsub#{option}", type=kind), "value", text)
    return form


def write_metadata(node: Node, parent: Element) -> None:
    """Append what others may know about a node (XEP-0060 section 5.4)."""
    form = add(parent, f"{{{DATA_FORMS}}}x", type="result")
    add(add(form, "field", var="FORM_TYPE", type="hidden"), "value", f"{_FORM_TYPE[:-11]}meta-data")
    for option in ("title", "description", "type", "access_model", "publish_model"):
        value = node.get(option)
        element = add(form, "field", var=f"pubsub#{option}", type="text-single")
        if value is not None:
            add(element, "value", str(value))

"""Data forms that are shown to users, and what comes back (XEP-0004)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal
from xml.etree.ElementTree import Element, SubElement

from gre_core.errors import Refused
from gre_core.wire import FORM
from gre_core.xml_text import clean, has_controls, replace_illegal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FORM_TAG: Final = f"{{{FORM}}}x"

MAX_FIELDS: Final = 64
MAX_VALUES: Final = 64
MAX_VALUE: Final = 1024
"""Characters of one value. None of our fields needs more than a mail address has."""

FieldType = Literal["boolean", "fixed", "hidden", "jid-single", "list-single", "text-multi", "text-single"]
_TRUE: Final = frozenset({"1", "true"})
_FALSE: Final = frozenset({"0", "false"})

Values = dict[str, tuple[str, ...]]
"""What was submitted, by field."""


class BadForm(Refused):
    """A submitted form cannot be used. The text says which field, and why."""

    def __init__(self, text: str) -> None:
        super().__init__(text, condition="not-acceptable", error_type="modify")


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Arguments:
        var: its name; ``""`` for text between the fields.
        label: what people read.
        type: how it is shown.
        values: what stands in it.
        options: what can be chosen: (label, value).
        required: it has to be filled in.
    """

    var: str
    label: str = ""
    type: FieldType = "text-single"
    values: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    required: bool = False


def note(text: str) -> Field:
    """Make a line of text between the fields."""
    return Field("", type="fixed", values=(text,))


def yes_or_no(var: str, label: str, *, value: bool) -> Field:
    """Make a field to tick."""
    return Field(var, label, "boolean", ("true" if value else "false",))


@dataclass(frozen=True, slots=True)
class Form:
    """A form to fill in, or results to read.

    Arguments:
        title: what it is about.
        instructions: what to do.
        fields: in order.
        form_type: of the fields (XEP-0068), or ``""``.
        columns: of results that are a table: (name, label).
        rows: of such results, with a value for each column.
        type: ``form`` or ``result``.
    """

    title: str
    instructions: str = ""
    fields: tuple[Field, ...] = ()
    form_type: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    rows: Sequence[Sequence[str]] = field(default=())
    type: Literal["form", "result"] = "form"

    def element(self) -> Element:
        """Make the ``<x/>``. What XML forbids, and what misleads, is replaced."""
        x = Element(FORM_TAG, {"type": self.type})
        SubElement(x, f"{{{FORM}}}title").text = _shown(self.title)
        if self.instructions:
            SubElement(x, f"{{{FORM}}}instructions").text = _shown(self.instructions)
        if self.form_type:
            _add(x, Field("FORM_TYPE", type="hidden", values=(self.form_type,)))
        for each in self.fields:
            _add(x, each)
        if self.columns:
            reported = SubElement(x, f"{{{FORM}}}reported")
            for var, label in self.columns:
                SubElement(
                    reported, f"{{{FORM}}}field", {"var": var, "label": _shown(label), "type": "text-single"}
                )
        for row in self.rows:
            item = SubElement(x, f"{{{FORM}}}item")
            for (var, _), value in zip(self.columns, row, strict=True):
                entry = SubElement(item, f"{{{FORM}}}field", {"var": var})
                SubElement(entry, f"{{{FORM}}}value").text = _shown(value)
        return x


def _shown(text: str) -> str:
    return clean(replace_illegal(text))


def _add(x: Element, entry: Field) -> None:
    attributes = {"var": entry.var, "label": _shown(entry.label), "type": entry.type}
    element = SubElement(x, f"{{{FORM}}}field", {key: value for key, value in attributes.items() if value})
    if entry.required:
        SubElement(element, f"{{{FORM}}}required")
    for value in entry.values:
        SubElement(element, f"{{{FORM}}}value").text = _shown(value)
    for label, value in entry.options:
        option = SubElement(element, f"{{{FORM}}}option", {"label": _shown(label)})
        SubElement(option, f"{{{FORM}}}value").text = _shown(value)


def read_form(x: Element, form_type: str = "") -> Values:
    """Read a submitted form.

    Arguments:
        x: the ``<x/>``.
        form_type: what FORM_TYPE has to be where there is one (XEP-0068).

    Raises:
        BadForm: it is no submitted form, has too many fields or values, one of them twice, or characters that mislead.
    """
    if x.get("type") not in {"submit", "cancel"}:
        raise BadForm("The form has to be of the type 'submit'.")
    found: Values = {}
    fields = x.findall(f"{{{FORM}}}field")
    if len(fields) > MAX_FIELDS:
        raise BadForm(f"The form has more than {MAX_FIELDS} fields.")
    for entry in fields:
        var = entry.get("var", "")
        if var in found:
            raise BadForm(f"The form has the field {clean(var[:80])!r} twice.")
        if var:
            found[var] = _values(entry, var)
    if found.pop("FORM_TYPE", (form_type,)) != (form_type,) and form_type:
        raise BadForm(f"The form has another FORM_TYPE than {form_type}.")
    return found


def _values(entry: Element, var: str) -> tuple[str, ...]:
    values = [value.text or "" for value in entry.findall(f"{{{FORM}}}value")]
    if len(values) > MAX_VALUES or any(len(value) > MAX_VALUE for value in values):
        raise BadForm(f"The field {clean(var[:80])!r} is too large.")
    if any(map(has_controls, values)):
        raise BadForm(f"The field {clean(var[:80])!r} has a control character, or one that is not seen.")
    return tuple(values)


def text_of(values: Mapping[str, Sequence[str]], var: str) -> str | None:
    """Give the text of a field without white space at its edges; None when it is not there or empty.

    Raises:
        BadForm: it has several values.
    """
    found = values.get(var, ())
    if len(found) > 1:
        raise BadForm(f"The field {var!r} has several values.")
    return (found[0].strip() or None) if found else None


def flag_of(values: Mapping[str, Sequence[str]], var: str, *, default: bool) -> bool:
    """Give what was ticked; the default when the field is not there or empty (XEP-0004, section 3.3).

    Raises:
        BadForm: it is neither true nor false.
    """
    text = text_of(values, var)
    if text is None:
        return default
    if text not in _TRUE | _FALSE:
        raise BadForm(f"The field {var!r} is neither true nor false.")
    return text in _TRUE


def choice_of(values: Mapping[str, Sequence[str]], var: str, options: Iterable[str]) -> str:
    """Give which of the options was chosen.

    Raises:
        BadForm: none, or what was not offered.
    """
    text = text_of(values, var)
    if text is None or text not in options:
        raise BadForm(f"Choose one of the offered values for {var!r}.")
    return text

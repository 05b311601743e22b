"""The values that travel between engines and plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

import pytest

from gre_core.model import Attachment, Body, DataField, DataForm
from gre_core.namespaces import encrypter

if TYPE_CHECKING:
    from pathlib import Path


def test_an_attachment_of_bytes_can_be_read_again_and_again() -> None:
    attachment = Attachment.from_bytes("a.bin", "application/x-a", b"content", inline=True, content_id="1@x")
    assert [attachment.read(), attachment.read()] == [b"content", b"content"]
    assert (attachment.size, attachment.inline, attachment.content_id) == (7, True, "1@x")


@pytest.mark.parametrize(
    ("name", "given", "media_type"),
    [
        ("a.png", None, "image/png"),
        ("a.unheard-of", None, "application/octet-stream"),
        ("a.png", "x/y", "x/y"),
    ],
)
def test_an_attachment_of_a_file(tmp_path: Path, name: str, given: str | None, media_type: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"content")
    attachment = Attachment.from_path(path, given)
    assert (attachment.name, attachment.media_type, attachment.size) == (name, media_type, 7)
    assert attachment.read() == b"content"
    assert Attachment.from_path(path, name="other").name == "other"
    assert name not in repr(attachment)


def test_a_missing_file_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nothing"):
        Attachment.from_path(tmp_path / "nothing")


def test_size_of_a_body() -> None:
    child = Element("x")
    SubElement(child, "y").text = "four"
    assert Body("text", (child,)).size == 8


def test_fields_are_found_by_namespace_and_name() -> None:
    field = DataField(str(encrypter("e")), "key", ("1",))
    form = DataForm("juliet@example.org", {field.var: field.values})
    assert form.values(encrypter("e"), "key") == ("1",)
    assert form.values(encrypter("e"), "other") is None

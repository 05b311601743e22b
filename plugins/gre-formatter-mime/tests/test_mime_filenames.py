"""File names that are safe to show and to save."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gre_core.mime_text.file_names import safe_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("plan.pdf", "plan.pdf"),
        ("Ďáblův plán.pdf", "Ďáblův plán.pdf"),
        ("计划 (2).txt", "计划 (2).txt"),
        ("👩‍🚀.png", "👩‍🚀.png"),
        ("می‌خواهم.txt", "می‌خواهم.txt"),
        ("../../etc/passwd", "passwd"),
        ("/home/juliet/diary.txt", "diary.txt"),
        ("C:\\Users\\juliet\\diary.txt", "diary.txt"),
        ("C:diary.txt", "C_diary.txt"),
        ("file.txt:stream", "file.txt_stream"),
        ("folder/", "folder"),
        ("a\r\nb\0c.txt", "abc.txt"),
        ("exe.\u202efdp", "exe.fdp"),
        ("in\u200bvisible.txt", "invisible.txt"),
        ("CON", "_CON"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("com1.txt", "_com1.txt"),
        ("COM¹ .txt", "_COM¹ .txt"),
        ("console.txt", "console.txt"),
        (".profile", ".profile"),
        ("name. . ", "name"),
        ("..", "attachment"),
        ("\xa0", "attachment"),
        ("\u3000計画 .\u3000", "計画"),
        ("/", "attachment"),
        ("\ud800", "attachment"),
        ("", "attachment"),
        ("x" * 300 + ".pdf", "x" * 251 + ".pdf"),
        ("é" * 300, "é" * 127),
        ("x." + "y" * 300, "x." + "y" * 253),
    ],
)
def test_examples(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_file_without_a_name_gets_one_by_its_type() -> None:
    assert safe_name("", "image/png") == "attachment.png"
    assert safe_name("...", "application/x-unknown") == "attachment"


@given(
    st.text(st.characters() | st.sampled_from("./\\:\0\r\n \u202e\u2066"), max_size=300),
    st.sampled_from(["", "image/png"]),
)
def test_always_safe_and_stable(name: str, media_type: str) -> None:
    safe = safe_name(name, media_type)
    assert safe
    assert safe not in {".", ".."}
    assert len(safe.encode()) <= 255
    assert not set(safe) & set("/\\:\0\r\n\u202e\u2066")
    assert not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in safe)
    assert safe == safe.strip().rstrip(".")
    assert safe_name(safe, media_type) == safe

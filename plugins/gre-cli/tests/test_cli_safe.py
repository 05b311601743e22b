"""What comes from the network must not steer the terminal or leave the folder."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from gre_cli.safe import MAX_NAME, clean, clean_line, safe_name, write_new
from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 漢字 🙂", "plain ä 漢字 🙂"),
        ("a\r\nb\rc\nd\te", "a\nb\nc\nd\te"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x\x1b]8;;http://evil\x1b\\link", "xlink"),
        ("\x1b\x1b[31m[31mx", "[31mx"),
        ("\x9b31mx\x9d0;t\x9cy", "xy"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("\x00\x07\x08\x7f\ud800", ""),
        ("\x1b]0;never closed", ""),
    ],
)
def test_clean(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("\x1b\x9b[]m;\x07\\"))))
def test_clean_leaves_no_control(text: str) -> None:
    assert not any(
        (ord(char) < 32 and char not in "\n\t") or 0x7F <= ord(char) < 0xA0 for char in clean(text)
    )
    assert "\n" not in clean_line(text)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("balcony.png", "balcony.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\windows\\evil.exe", "evil.exe"),
        (".bashrc", "bashrc"),
        ("..", "attachment"),
        ("", "attachment"),
        ("con.txt", "_con.txt"),
        ('a<b>:"c|?*.txt', "a_b___c___.txt"),
        ("x\x00\n\x1b[2Jy.txt", "x y.txt"),
        ("für 漢字.pdf", "für 漢字.pdf"),
    ],
)
def test_safe_name(name: str, written: str) -> None:
    assert safe_name(name) == written


@given(st.text())
def test_safe_name_is_always_one_name(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert safe not in {".", ".."}
    assert "/" not in safe
    assert "\x00" not in safe
    assert len(safe.encode()) <= MAX_NAME
    assert not safe.startswith(".")


def test_long_names_keep_their_ending() -> None:
    assert safe_name("ö" * 500 + ".tar").endswith("ö.tar")


def test_nothing_is_overwritten_and_only_the_owner_reads(tmp_path: Path) -> None:
    (tmp_path / "link.txt").symlink_to(tmp_path / "elsewhere")
    first = write_new(tmp_path, "../a.txt", b"1")
    second = write_new(tmp_path, "a.txt", b"2")
    beside_link = write_new(tmp_path, "link.txt", b"3")
    assert (first.name, second.name, beside_link.name) == ("a.txt", "a (1).txt", "link (1).txt")
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")
    assert stat.S_IMODE(second.stat().st_mode) == 0o600
    assert not (tmp_path / "elsewhere").exists()

"""Where a key is from stands beside it: what the gateway says is shown as its word, and what nobody vouches for is."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO

import pytest
from gre_cli.keys.show import contact_json, show_contact_key, show_contacts
from gre_cli.output import Output
from gre_encrypter_openpgp.contact_keys import ContactKeyInfo
from gre_openpgp.contact_record import KeyState, Seen, Source
from gre_openpgp.key_origin import Origin
from rich.console import Console

DAY = datetime(2026, 11, 23, tzinfo=UTC)
SHOWN = {
    "from mail": (Origin("autocrypt", authenticated=False), "xep-0373 (autocrypt, nobody vouches)", "anybody can have sent it"),
    "from signed mail": (Origin("autocrypt", authenticated=True), "xep-0373 (autocrypt)", "signed it (DKIM)"),
    "from the domain": (Origin("wkd"), "xep-0373 (wkd)", "Web Key Directory"),
    "from the operator": (Origin("directory"), "xep-0373 (directory)", "operator keeps this key"),
    "from elsewhere": (Origin("ldap"), "xep-0373 (ldap)", "from: ldap"),
    "not said": (None, "xep-0373", "xep-0373"),
}  # fmt: skip


def info(origin: Origin | None, *sources: Source) -> ContactKeyInfo:
    return ContactKeyInfo(
        "bob\\40example.net@mail.localhost",
        "bob@example.net",
        "AB" * 20,
        ("Bob <bob@example.net>",),
        {source: Seen(DAY, DAY) for source in sources or (Source.XEP0373,)},
        KeyState.NEW,
        "",
        "",
        None,
        b"",
        origin,
    )


def screen() -> tuple[Output, StringIO]:
    output, file = Output(), StringIO()
    output.__dict__["console"] = Console(file=file, width=200, markup=False, emoji=False, highlight=False)
    return output, file


@pytest.mark.parametrize("name", SHOWN)
def test_the_list_names_the_source(name: str) -> None:
    origin, short, _ = SHOWN[name]
    output, file = screen()
    show_contacts(output, [info(origin)])
    assert f"{short} " in file.getvalue()
    assert ("nobody vouches" in file.getvalue()) == (name == "from mail")


@pytest.mark.parametrize("name", SHOWN)
def test_the_key_in_full_says_it_in_a_sentence(name: str) -> None:
    origin, _, words = SHOWN[name]
    output, file = screen()
    show_contact_key(output, info(origin), qr=False)
    assert words in file.getvalue()
    assert ("the gateway says" in file.getvalue()) == (origin is not None)


@pytest.mark.parametrize("name", SHOWN)
def test_a_script_reads_the_same(name: str) -> None:
    origin, _, _ = SHOWN[name]
    said = contact_json(info(origin))["gateway_says"]
    if origin is None:
        assert said is None
    else:
        assert said == {"source": origin.name, "authenticated": origin.authenticated, "seen": None}


def test_what_the_gateway_says_is_not_said_of_other_sources() -> None:
    output, file = screen()
    show_contacts(
        output, [info(Origin("autocrypt", authenticated=False), Source.PINNED, Source.WKD, Source.XEP0373)]
    )
    assert "pinned, wkd, xep-0373 (autocrypt, nobody vouches)" in " ".join(file.getvalue().split())

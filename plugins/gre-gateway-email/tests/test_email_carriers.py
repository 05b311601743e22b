"""Carriers of other packages: found, isolated from each other, and never guessed between."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
from gre_gateway_email import carrier as module
from gre_gateway_email.carrier import Carried, Carriers
from gre_gateway_email.carriers.pgp_mime import PgpMime

from gre_core.api import Body, encrypter, formatter
from gre_core.errors import BadEncrypted


class Other:
    formatter = formatter("other")
    encrypter = encrypter("other", 3)

    def wrap(self, body, envelope, /):
        return b"other"

    def unwrap(self, mail, /):
        return Carried(Body("x")) if mail == b"other" else None


class Point:
    """An entry point that gives what the test says."""

    def __init__(self, name, loaded):
        self.name, self._loaded = name, loaded
        self.dist = SimpleNamespace(name=f"pkg-{name}")

    def load(self):
        if isinstance(self._loaded, BaseException):
            raise self._loaded
        return self._loaded


def giving(carrier):
    return SimpleNamespace(carrier=lambda: carrier)


def raising(error):
    def carrier():
        raise error

    return SimpleNamespace(carrier=carrier)


def test_the_installed_carrier_is_found():
    carriers = Carriers.discover()
    assert carriers.problems == ()
    assert carriers.pairs == ((formatter("mime"), encrypter("openpgp")),)
    assert isinstance(carriers.carrier(*carriers.pairs[0]), PgpMime)


def test_a_carrier_of_another_package_is_used():
    carriers = Carriers.load([Point("a", giving(PgpMime())), Point("b", giving(Other()))])
    assert len(carriers.pairs) == 2
    carrier, carried = carriers.unwrap(b"other")
    assert isinstance(carrier, Other)
    assert carried == Carried(Body("x"))
    assert carriers.unwrap(b"From: x\r\n\r\ny") is None
    assert carriers.carrier(formatter("other"), encrypter("openpgp")) is None


BROKEN = {
    "raises at import": ImportError("no module named gone"),
    "ends the process": SystemExit(3),
    "has no carrier": SimpleNamespace(),
    "raises when made": raising(RuntimeError("boom")),
    "gives nothing": giving(None),
    "gives rubbish": giving("a carrier"),
    "wrong kinds": giving(
        SimpleNamespace(formatter=encrypter("x"), encrypter=encrypter("y"), wrap=len, unwrap=len)
    ),
    "texts for namespaces": giving(SimpleNamespace(formatter="a", encrypter="b", wrap=len, unwrap=len)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_carrier_is_a_problem_and_the_others_work(name):
    carriers = Carriers.load([Point("broken", BROKEN[name]), Point("good", giving(PgpMime()))])
    assert len(carriers.pairs) == 1
    (problem,) = carriers.problems
    assert problem.name == "pkg-broken:broken"
    assert problem.error


def test_two_carriers_of_one_pair_are_both_left_out():
    carriers = Carriers.load([Point("a", giving(PgpMime())), Point("b", giving(PgpMime()))])
    assert carriers.pairs == ()
    (problem,) = carriers.problems
    assert "pkg-a:a" in problem.name
    assert "pkg-b:b" in problem.name
    assert "uninstall one" in problem.error


def test_a_real_entry_point_without_distribution_is_named():
    point = EntryPoint("x", "no_such_module_at_all", module.ENTRY_POINT_GROUP)
    (problem,) = Carriers.load([point]).problems
    assert problem.name == "?:x"
    assert "ModuleNotFoundError" in problem.error


def test_a_damaged_mail_is_not_offered_to_the_next_carrier():
    carriers = Carriers.load([Point("a", giving(PgpMime())), Point("b", giving(Other()))])
    with pytest.raises(BadEncrypted):
        carriers.unwrap(b"Content-Type: multipart/encrypted\r\n\r\n")

"""Which versions of pysequoia are taken."""

from __future__ import annotations

from importlib.metadata import requires

from gre_encrypter_openpgp import plugin


def test_what_is_checked_is_what_the_package_asks_for() -> None:
    lowest, below = (".".join(map(str, bound)) for bound in (plugin._LOWEST, plugin._BELOW))
    (asked,) = (each for each in requires("gre-encrypter-openpgp") or () if each.startswith("pysequoia"))
    assert set(asked.removeprefix("pysequoia").split(",")) == {f">={lowest}", f"<{below}"}

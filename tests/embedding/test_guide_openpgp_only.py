"""The guide to OpenPGP alone: three packages of ours are enough, and no other is there."""

from __future__ import annotations

from embedding_reader import ROOT, require_shown


def test_three_packages_are_enough_and_no_other_of_ours_is_there(install, page):
    guide = page("embedding-openpgp-only.md")
    [requirements] = guide.installed()
    environment = install(requirements)
    assert {name for name in environment.distributions(guide.folder) if name.startswith("gre-")} == {
        "gre-core",
        "gre-openpgp",
        "gre-encrypter-openpgp",
    }
    others = {path.parent.name.replace("-", "_") for path in ROOT.glob("plugins/*/pyproject.toml")}
    others -= {"gre_openpgp", "gre_encrypter_openpgp"}
    code = (
        "import sys; from importlib.util import find_spec;"
        "print(*(name for name in sys.argv[1:] if find_spec(name)), gre_core.__file__)"
    )
    told = environment.run("-I", "-c", f"import gre_core; {code}", *sorted(others), cwd=guide.folder).split()
    assert len(told) == 1
    assert not told[0].startswith(str(ROOT))
    require_shown(guide.shown("python try_openpgp.py"), environment.run("try_openpgp.py", cwd=guide.folder))

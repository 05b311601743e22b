"""The tasks of the project. ``nox`` runs what has to pass before a change is merged, ``nox -l`` lists all.

Most sessions share one environment. The session ``dev`` makes it, with the versions of tests/constraints.txt.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nox

ROOT = Path(__file__).parent
CONSTRAINTS = "tests/constraints.txt"
CORE = "gre-core"
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
SOURCES = ["gre_core", *(f"plugins/{name}/src" for name in PLUGINS), "docs/_ext/made.py"]
MIN_TYPED = 0.98
VERSIONS = ["3.11", "3.12", "3.13", "3.14"]
BIN = "Scripts" if os.name == "nt" else "bin"
DEV = ROOT / ".nox" / "dev" / BIN
PACKAGES_OF_DEBIAN = {
    "prosody": "prosody",
    "ejabberdctl": "ejabberd",
    "smtp-sink": "postfix",
    "gpg": "gnupg",
    "notmuch": "notmuch",
    "mutt": "mutt",
    "neomutt": "neomutt",
    "sqop": "sqop",
    "rnp": "rnp",
    "rnpkeys": "rnp",
    "node": "nodejs",
    "npm": "npm",
    "thunderbird": "thunderbird",
    "initdb": "postgresql",
    "faketime": "faketime",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
    "openssl": "openssl",
    "profanity": "profanity",
    "opendkim": "opendkim",
    "dirmngr": "dirmngr",
    "tmux": "tmux",
    "nbxmpp": "python3-nbxmpp",
}
SYSTEM_PYTHON = "/usr/bin/python3"
MODULES = {"nbxmpp"}
"""What of those is no program, but a module of the system's Python."""
PEERS = ("gpg", "notmuch", "mutt", "neomutt", "sqop", "rnp", "rnpkeys", "node", "npm", "thunderbird")
OPENPGP_JS = "openpgp@6.3.2"

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.sessions = [
    "lint",
    "typing",
    "tests",
    "core_only",
    "packages",
    "integration",
    "interop",
    "fuzz_briefly",
    "abi",
    "docs",
]


@nox.session
def dev(session: nox.Session) -> None:
    """Make the environment that the other sessions share."""
    _install_workspace(session, "-c", CONSTRAINTS)


@nox.session(venv_backend="none", requires=["dev"])
def lint(session: nox.Session) -> None:
    """Check style, format and layers."""
    _run(session, "ruff", "check", ".")
    _run(session, "ruff", "format", "--check", ".")
    _run(session, "lint-imports", "--no-cache")


@nox.session(venv_backend="none", requires=["dev"])
def typing(session: nox.Session) -> None:
    """Check types with mypy and pyright, also from the view of a user of the core."""
    strict = _test_files("tests/typing", "tests/packaging")
    _run(session, "mypy", *SOURCES, "noxfile.py", *map(str, strict))
    # Other tests need no annotations; what has some is checked. For mypy, files of one name would be one module.
    same = {"conftest", "__main__"}
    others = [
        path for path in _test_files("tests", "plugins") if path not in strict and path.stem not in same
    ]
    loose = [
        "--no-check-untyped-defs",
        "--allow-untyped-defs",
        "--allow-incomplete-defs",
        "--allow-untyped-calls",
        "--disable-error-code=annotation-unchecked",
    ]
    session.log(f"mypy on {len(others)} modules of tests")
    _run(session, "mypy", *loose, *map(str, others), log=False)
    _run(session, "pyright", "--pythonpath", str(DEV / "python"))
    # Exit code 1 means "not all". What is left are types of slixmpp that it does not annotate itself.
    arguments = ["--verifytypes", "gre_core", "--ignoreexternal", "--outputjson"]
    report = _run(session, "pyright", *arguments, silent=True, success_codes=[0, 1])
    score = float(json.loads(str(report))["typeCompleteness"]["completenessScore"])
    session.log(f"{score:.1%} of the public names of gre_core have a known type")
    if score < MIN_TYPED:
        session.error(f"Fewer than {MIN_TYPED:.0%}: run pyright {' '.join(arguments[:-1])}")


@nox.session(venv_backend="none", requires=["dev"])
def tests(session: nox.Session) -> None:
    """Run all tests but those of the sessions ``integration``, ``interop``, ``abi``, ``docs`` and ``packages``."""
    _pytest(session, *_fast_tests())


@nox.session(venv_backend="none", requires=["dev"])
def coverage(session: nox.Session) -> None:
    """Run the tests, and show the lines and branches that none of them reaches."""
    _run(session, "coverage", "erase")
    _run(session, "coverage", "run", "-m", "pytest", "-n", "auto", *_fast_tests(), "tests/integration")
    _run(session, "coverage", "combine", "-q")
    _run(session, "coverage", "report", "--show-missing", *session.posargs)


@nox.session(venv_backend="none")
def core_only(session: nox.Session) -> None:
    """Install the core's wheel alone, and let it negotiate; then with ``[testing]``, and run the conformance kit."""
    wheels = _wheels(session)
    _exercise(session, CORE, wheels)
    python = str(_environment(session, "testing") / BIN / "python")
    wanted = f"{CORE}[testing] @ {Path(wheels[CORE]).resolve().as_uri()}"
    session.run(
        "uv", "pip", "install", "--quiet", "--python", python, "-c", CONSTRAINTS, wanted, external=True
    )
    session.run(python, "-I", "tests/packaging/kit_alone.py", external=True)


@nox.session(venv_backend="none")
def packages(session: nox.Session) -> None:
    """Build every package, and try each alone with the core in a clean environment. Then all with pip."""
    wheels = _wheels(session)
    for name in PLUGINS:
        _exercise(session, name, wheels)
    for kind in ("formatter", "encrypter"):
        _be_an_author(session, kind, wheels)
    environment = _environment(session, "by-pip", "--seed")
    session.run(
        environment / BIN / "pip",
        *("install", "--quiet", "--disable-pip-version-check", "-c", CONSTRAINTS),
        *(".", *(f"./plugins/{name}" for name in PLUGINS)),
        external=True,
    )
    for name in (CORE, *PLUGINS):
        session.run(environment / BIN / "python", "-I", "tests/packaging/exercise.py", name, external=True)


@nox.session(venv_backend="none", requires=["dev"])
def integration(session: nox.Session) -> None:
    """Run the tests on the loopback router and on real servers, and the guides for those who embed the core."""
    servers = ("prosody", "ejabberdctl", "smtp-sink", "initdb")
    _say_what_is_missing(session, *servers, "faketime", "gpg", "notmuch", "profanity", "tmux", "nbxmpp")
    # Most of these wait for servers: twice as many at a time as there are processors.
    many = f"--numprocesses={2 * (os.cpu_count() or 1)}"
    _pytest(
        session, "tests/integration", "tests/embedding",
        many, "--dist=worksteal", "--durations=30", "--durations-min=10",
    )  # fmt: skip


@nox.session(venv_backend="none", requires=["dev"])
def interop(session: nox.Session) -> None:
    """Run the tests with peers that share no code with ours, and compare docs/interop.md with what they see."""
    _say_what_is_missing(session, *PEERS)
    _install_openpgp_js(session)
    _pytest(session, "tests/interop", "--dist=loadscope")


@nox.session(venv_backend="none", requires=["dev"])
def fuzz_briefly(session: nox.Session) -> None:
    """Fuzz what reads hostile input, 30 seconds for each part."""
    _run(session, "python", "tests/fuzz", "--seconds", "30", *session.posargs)


@nox.session(venv_backend="none", requires=["dev"])
def docs(session: nox.Session) -> None:
    """Build the documentation and run what it shows; a warning, such as a link that leads nowhere, is an error."""
    # Always all of it: parts of the pages are made from the code, which Sphinx does not watch.
    _run(session, "sphinx-build", "-q", "-E", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")
    _pytest(session, "tests/docs")


@nox.session(venv_backend="none", requires=["dev"])
def abi(session: nox.Session) -> None:
    """Let griffe compare what gre.v1 promises with the promise of the last release, in tests/abi/kept."""
    folder = Path(session.create_tmp()).resolve() / "promise"
    shutil.rmtree(folder, ignore_errors=True)
    kept = ROOT / "tests" / "abi" / "kept"
    for stub in kept.rglob("*.pyi"):  # griffe's command reads no package of stubs alone
        module = folder / stub.relative_to(kept).with_suffix(".py")
        module.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(stub, module)
    author = ("-c", "user.name=nox", "-c", "user.email=nox@localhost")
    with session.chdir(folder):
        for words in (("init", "-q"), ("add", "."), (*author, "commit", "-q", "-m", "kept"), ("tag", "kept")):
            session.run("git", *words, external=True, log=False)
        _run(session, "python", str(ROOT / "tests" / "abi" / "promise.py"), str(folder), ".py")
        for package in ("gre_core", "gre_gateway_email"):
            _run(session, "griffe", "check", package, "--against", "kept", "--search", ".")
    _pytest(session, "tests/abi")


# -- on demand -------------------------------------------------------------------------------------


@nox.session(python=VERSIONS)
def versions(session: nox.Session) -> None:
    """Run the tests on every Python that is at hand."""
    _install_workspace(session, "-c", CONSTRAINTS)
    session.run("pytest", "-n", "auto", *_fast_tests(), *session.posargs)


@nox.session(python=VERSIONS)
def pgpy_alone(session: nox.Session) -> None:
    """Try the encrypter by PGPy where Sequoia is not installed, on every Python that is at hand."""
    name, wheels = "gre-encrypter-openpgp-pgpy", _wheels(session)
    session.install("--quiet", "-c", CONSTRAINTS, *_ours(name, wheels))
    session.run("python", "-I", "tests/packaging/exercise.py", name, "--alone")
    tools = ("pytest", "pytest-asyncio", "hypothesis")
    session.install("--quiet", "-c", CONSTRAINTS, *tools)
    tests = (f"plugins/{name}/tests/test_pgpy_{part}.py" for part in ("guards", "conformance"))
    session.run("python", "-P", "-m", "pytest", *tests)


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest versions that our packages allow."""
    _install_workspace(session, "--resolution", "lowest-direct")
    session.run("pytest", "-n", "auto", *_fast_tests(), *session.posargs)


@nox.session
def highest(session: nox.Session) -> None:
    """Run the tests with the highest versions that our packages allow."""
    _install_workspace(session, "--upgrade")
    session.run("pytest", "-n", "auto", *_fast_tests(), *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build wheels and source distributions of all packages into dist, check them, and that they can be built again."""
    session.install("-c", CONSTRAINTS, "twine>=7,<8", "check-wheel-contents>=0.6.1,<1")
    first, again = ROOT / "dist", Path(session.create_tmp()) / "again"
    for folder in (first, again):
        shutil.rmtree(folder, ignore_errors=True)
        session.run("uv", "build", "--quiet", "--all-packages", "--out-dir", str(folder), external=True)
    files = sorted(path for path in first.glob("gre*"))
    if len(files) != 2 * len({CORE, *PLUGINS}):
        session.error(
            f"A wheel and a source distribution of each package, not {[path.name for path in files]}"
        )
    differ = [path.name for path in files if not filecmp.cmp(path, again / path.name, shallow=False)]
    if differ:
        session.error(f"Not the same when built twice: {', '.join(differ)}")
    session.run("twine", "check", "--strict", *map(str, files))
    session.run("check-wheel-contents", *(str(path) for path in files if path.suffix == ".whl"))


@nox.session(venv_backend="none", requires=["dev"])
def fuzz(session: nox.Session) -> None:
    """Fuzz what reads hostile input, 10 minutes for each part: ``nox -s fuzz -- armor`` for one of them."""
    _run(session, "python", "tests/fuzz", *session.posargs)


@nox.session(venv_backend="none", requires=["dev"])
def bench(session: nox.Session) -> None:
    """Measure, print the figures and write bench.json."""
    _say_what_is_missing(session, *PACKAGES_OF_DEBIAN)
    _run(session, "python", "tests/bench", *session.posargs)


@nox.session(venv_backend="none", requires=["dev"])
def chaos(session: nox.Session) -> None:
    """Kill the email gateway and its servers under load, 500 times for each database; figures go into docs."""
    _say_what_is_missing(session, "prosody", "smtp-sink", "initdb")
    for database in ("sqlite", "postgresql"):
        options = ["--kills", "500", "--database", database, "--write", "docs/durability.md"]
        _run(session, "python", "tests/chaos", *options, *session.posargs)


@nox.session(venv_backend="none", requires=["dev"])
def soak(session: nox.Session) -> None:
    """Send 100,000 messages each way through the email gateway and look whether it grows; figures go into docs."""
    _say_what_is_missing(session, "prosody")
    options = ["--messages", "100000", "--write", "docs/durability.md"]
    _run(session, "python", "tests/soak", *options, *session.posargs)


@nox.session(venv_backend="none", requires=["dev"])
def interop_table(session: nox.Session) -> None:
    """Write docs/interop.md anew from what the tests with peers see."""
    _say_what_is_missing(session, *PEERS)
    _install_openpgp_js(session)
    rows = Path(session.create_tmp()) / "rows.jsonl"
    rows.unlink(missing_ok=True)
    session.env["GRE_INTEROP_ROWS"] = str(rows)
    options = ("-n", "auto", "--dist=loadscope", "-k", "not the_page")
    _run(session, "pytest", *options, "tests/interop/test_outside_peers.py")
    _run(session, "python", "tests/interop/peers/table.py", str(rows), "docs/interop.md")


@nox.session(venv_backend="none", requires=["dev"])
def changelog(session: nox.Session) -> None:
    """Move the news of one package into docs/changelog.md: ``nox -s changelog -- PACKAGE VERSION``."""
    if len(session.posargs) != 2:  # noqa: PLR2004
        session.error("Say which: nox -s changelog -- gre-core 0.2.0")
    package, version = session.posargs
    _run(
        session,
        "towncrier",
        "build",
        "--config",
        f".changes/{package}.toml",
        "--dir",
        ".",
        "--version",
        version,
    )


@nox.session(venv_backend="none")
def constraints(session: nox.Session) -> None:
    """Take the newest versions of all dependencies into tests/constraints.txt."""
    session.run("uv", "lock", "--quiet", "--upgrade", external=True)
    options = ["--all-packages", "--all-extras", "--all-groups", "--no-emit-workspace"]
    bare = ["--no-hashes", "--no-annotate", "--no-header", "--quiet"]
    pins = session.run("uv", "export", *options, *bare, external=True, silent=True)
    head = [line for line in (ROOT / CONSTRAINTS).read_text().splitlines() if line.startswith("#")]
    (ROOT / CONSTRAINTS).write_text("\n".join([*head, str(pins).strip(), ""]))


# -- parts -----------------------------------------------------------------------------------------


def _run(session: nox.Session, program: str, *arguments: str, **options: Any) -> object:
    """Run a program of the shared environment."""
    path = os.pathsep.join([str(DEV), os.environ.get("PATH", "")])
    env = {"PATH": path, "VIRTUAL_ENV": str(DEV.parent)}
    return session.run(str(DEV / program), *arguments, external=True, env=env, **options)


def _install_openpgp_js(session: nox.Session) -> None:
    """Put OpenPGP.js where the tests look for it."""
    folder = ROOT / ".nox" / "node"
    package = folder / "node_modules" / "openpgp" / "package.json"
    wanted = OPENPGP_JS.partition("@")[2]
    if package.exists() and json.loads(package.read_text())["version"] == wanted:
        return
    if shutil.which("npm") is not None:
        folder.mkdir(parents=True, exist_ok=True)
        quiet = ("--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")
        session.run("npm", "install", "--prefix", str(folder), *quiet, OPENPGP_JS, external=True)


def _pytest(session: nox.Session, *words: str) -> None:
    paths = [word for word in words if not word.startswith("-")]
    options = [word for word in words if word.startswith("-")]
    found = [path for path in paths if _test_files(path)]
    if found:
        _run(session, "pytest", "-n", "auto", *options, *found, *session.posargs)
    else:
        session.error(f"There are no tests in {', '.join(paths)}")


def _test_files(*folders: str) -> list[Path]:
    return sorted(
        path.relative_to(ROOT)
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if "tests" in path.relative_to(ROOT).parts
    )


def _fast_tests() -> list[str]:
    slow = {"embedding", "integration", "interop", "bench", "abi", "docs"}
    folders = [path for path in sorted((ROOT / "tests").iterdir()) if path.name not in slow]
    folders += [ROOT / "plugins" / name / "tests" for name in PLUGINS]
    return [str(path.relative_to(ROOT)) for path in folders if next(path.rglob("test_*.py"), None)]


def _install_workspace(session: nox.Session, *options: str) -> None:
    editable = ["--editable=.[slixmpp,testing,web]", *(f"--editable=./plugins/{name}" for name in PLUGINS)]
    session.install("--quiet", *options, "--group", "dev", *editable)


def _wheels(session: nox.Session) -> dict[str, str]:
    """Build the wheels of all packages; give their paths by package."""
    folder = Path(session.create_tmp()) / "wheels"
    shutil.rmtree(folder, ignore_errors=True)
    session.run(
        "uv", "build", "--quiet", "--all-packages", "--wheel", "--out-dir", str(folder), external=True
    )
    return {path.name.partition("-")[0].replace("_", "-"): str(path) for path in folder.glob("*.whl")}


def _environment(session: nox.Session, name: str, *options: str) -> Path:
    """Make a clean environment."""
    path = Path(session.create_tmp()) / name
    session.run(
        "uv", "venv", "--quiet", "--clear", "--python", sys.executable, *options, str(path), external=True
    )
    return path


def _exercise(session: nox.Session, name: str, wheels: dict[str, str]) -> None:
    """Install one package from its wheel, with those of ours that it needs, and use it."""
    environment = _environment(session, name)
    python = str(environment / BIN / "python")
    ours = _ours(name, wheels)
    session.run(
        "uv", "pip", "install", "--quiet", "--python", python, "-c", CONSTRAINTS, *ours, external=True
    )
    session.run(python, "-I", "tests/packaging/exercise.py", name, "--alone", external=True)


def _be_an_author(session: nox.Session, kind: str, wheels: dict[str, str]) -> None:
    """Write a package with ``gre new``, build it, install its wheel, and let it run its own tests."""
    temporary = Path(session.create_tmp())
    place, name = temporary / "new", f"gre-{kind}-road-test"
    shutil.rmtree(place / name, ignore_errors=True)
    command = temporary / "gre-cli" / BIN / "gre"  # from where gre-cli was exercised
    session.run(command, "new", kind, "road-test", "--into", str(place), external=True, silent=True)
    session.run("uv", "build", "--quiet", str(place / name), external=True)  # the wheel from the sdist
    (wheel,) = (place / name / "dist").glob("*.whl")
    python = str(_environment(session, name) / BIN / "python")
    ours = [f"{name}[test] @ {wheel.resolve().as_uri()}", wheels[CORE]]
    session.run(
        "uv", "pip", "install", "--quiet", "--python", python, "-c", CONSTRAINTS, *ours, external=True
    )
    options = ("-q", "-p", "no:cacheprovider")
    session.run(python, "-I", "-m", "pytest", *options, str(place / name), external=True)


def _ours(name: str, wheels: dict[str, str]) -> list[str]:
    """Give the wheels that a package needs from this repository.

    Paths and not names: until the packages are published, an index could offer others under their names.
    """
    return [wheels[each] for each in sorted(_closure(name))]


def _closure(name: str) -> set[str]:
    """Give a package and all packages of this repository that it needs."""
    folder = ROOT if name == CORE else ROOT / "plugins" / name
    project = nox.project.load_toml(folder / "pyproject.toml")["project"]
    needed = {
        each
        for each in (CORE, *PLUGINS)
        for dependency in project["dependencies"]
        if dependency.replace("[", ">").replace("=", ">").partition(">")[0].strip() == each
    }
    return {name}.union(*(_closure(each) for each in needed))


def _say_what_is_missing(session: nox.Session, *programs: str) -> None:
    versioned = map(str, Path("/usr/lib/postgresql").glob("*/bin"))
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *versioned])
    missing = sorted({PACKAGES_OF_DEBIAN[each] for each in programs if not _is_there(each, places)})
    if missing:
        session.warn(
            f"Not installed: {', '.join(missing)}. What needs them is skipped, and fails where CI is set. "
            f"On Debian: sudo apt-get install {' '.join(missing)}"
        )


def _is_there(name: str, places: str) -> bool:
    """Tell whether the system has a program, or its Python a module."""
    if name not in MODULES:
        return shutil.which(name, path=places) is not None
    words = [SYSTEM_PYTHON, "-c", f"import {name}"]
    return (
        Path(SYSTEM_PYTHON).exists()
        and subprocess.run(words, capture_output=True, check=False).returncode == 0
    )

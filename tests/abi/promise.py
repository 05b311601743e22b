"""Writes down what ``gre.v1`` and ``gre_email.v1`` promise: the names, signatures and values of the modules for authors.

``python tests/abi/promise.py FOLDER`` writes them as stubs, without bodies, docstrings and private names. The promise of
the last release is kept in tests/abi/kept: write it anew with a release, after ``nox -s abi`` found nothing broken.
The switches of the conformance suites, which stand in many modules, go into switches.json.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
KEPT = Path(__file__).with_name("kept")
CORE = ROOT
GATEWAY = ROOT / "plugins" / "gre-gateway-email" / "src"

MODULES = {
    "gre_core.api": CORE,
    "gre_core.errors": CORE,
    "gre_core.hookspecs": CORE,
    "gre_core.message_codec": CORE,
    "gre_core.mime_text.file_names": CORE,
    "gre_core.model": CORE,
    "gre_core.namespaces": CORE,
    "gre_core.notes": CORE,
    "gre_core.ports": CORE,
    "gre_core.testing.conformance": CORE,
    "gre_core.worker_functions": CORE,
    "gre_gateway_email.carrier": GATEWAY,
}
"""Where the modules that authors of plugins may use are."""


SWITCHES = "switches.json"


def switches() -> dict[str, dict[str, bool | None]]:
    """Give the attributes that heirs of the suites may set, with the default of those that are on or off."""
    from gre_core.testing import conformance

    suites = {
        name: getattr(conformance, name) for name in conformance.__all__ if name.endswith("Conformance")
    }
    found: dict[str, dict[str, bool | None]] = {}
    for name, suite in suites.items():
        names = {
            each
            for base in suite.__mro__
            for each, annotation in getattr(base, "__annotations__", {}).items()
            if _is_public(each) and "ClassVar" in str(annotation)
        }
        values = {each: getattr(suite, each, None) for each in sorted(names)}
        if values:
            found[name] = {each: value if isinstance(value, bool) else None for each, value in values.items()}
    return found


def promise(source: str) -> str:
    """Give the stub of a module."""
    tree = ast.parse(source)
    tree.body = _kept(tree.body)
    return ast.unparse(tree) + "\n"


def write(folder: Path, suffix: str = ".pyi") -> None:
    """Write the stubs of all modules into a folder."""
    for name, root in MODULES.items():
        parts = name.split(".")
        source = root.joinpath(*parts)
        package = source.is_dir()
        text = promise((source / "__init__.py" if package else source.with_suffix(".py")).read_text("utf-8"))
        target = folder.joinpath(*parts)
        target = target / f"__init__{suffix}" if package else target.with_suffix(suffix)
        for depth in range(1, len(parts)):
            above = folder.joinpath(*parts[:depth]) / f"__init__{suffix}"
            above.parent.mkdir(parents=True, exist_ok=True)
            above.touch()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
    (folder / SWITCHES).write_text(json.dumps(switches(), indent=2) + "\n", "utf-8")


def _kept(body: list[ast.stmt]) -> list[ast.stmt]:
    found: list[ast.stmt] = []
    for node in body:
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                continue
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if _is_public(name):
                    node.body = [ast.Expr(ast.Constant(...))]
                    found.append(node)
            case ast.ClassDef(name=name):
                if _is_public(name):
                    node.body = _kept(node.body) or [ast.Pass()]
                    found.append(node)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if _is_public(name):
                    found.append(node)
            case ast.If():
                node.body = _kept(node.body)
                if node.body:
                    found.append(node)
            case ast.Import() | ast.ImportFrom():
                found.append(node)
            case _:
                continue
    return found


def _is_public(name: str) -> bool:
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


if __name__ == "__main__":
    write(Path(sys.argv[1]), *sys.argv[2:])

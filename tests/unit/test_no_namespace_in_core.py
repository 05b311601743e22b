"""No formatter or encrypter is known to the core by name: only plugins, tests and docs write their namespaces."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import gre_core

CORE = Path(gre_core.__file__).parent
LITERAL = re.compile(r"urn:xmpp:gre:(?:formatter|encrypter):[^:\s]+:\d")
CALLS = {"formatter", "encrypter"}


def modules() -> list[Path]:
    return [path for path in sorted(CORE.rglob("*.py")) if "testing" not in path.relative_to(CORE).parts]


def literals(source: str) -> list[str]:
    """Give the namespaces that code (not its documentation) writes: as a text or as ``formatter("mime")``."""
    tree = ast.parse(source)
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            found += LITERAL.findall(node.value)
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            found += [name] if name in CALLS else []
    return found


def test_no_module_of_the_core_writes_a_namespace() -> None:
    assert len(modules()) > 20
    assert {path.name: literals(path.read_text()) for path in modules() if literals(path.read_text())} == {}


def test_the_search_finds_what_it_looks_for() -> None:
    assert literals("x = 'urn:xmpp:gre:formatter:mime:0'") == ["urn:xmpp:gre:formatter:mime:0"]
    assert literals("x = encrypter('openpgp')") == ["encrypter"]
    assert literals("x = namespaces.formatter('mime', 1)") == ["formatter"]
    assert literals('"""As in urn:xmpp:gre:formatter:mime:0."""\nx = plugins.formatter(namespace)') == []

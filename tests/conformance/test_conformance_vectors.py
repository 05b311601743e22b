"""The vectors: read by the reader, reproduced by the generator, kept by this implementation."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest

from gre_core import wire
from gre_core.errors import GreError
from gre_core.jid_escape import escape, unescape
from gre_core.namespaces import Kind, Namespace
from gre_core.negotiation import negotiate, read_features
from gre_core.testing import vectors
from gre_core.testing.vectors import NAMES, Vector


def all_of(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "vector", [pytest.param(each, id=each["name"]) for each in vectors.read(name)]
    )


@pytest.fixture(scope="module")
def generator() -> Any:
    spec = importlib.util.spec_from_file_location("make_vectors", Path(__file__).with_name("make_vectors.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_vectors"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_reproduces_it(generator: Any, name: str) -> None:
    assert generator.MAKERS[name]() == vectors.source(name)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_plain_text_with_names(name: str) -> None:
    text = vectors.source(name)
    assert "\r" not in text
    assert text.startswith("# ")
    assert text.endswith("\n")
    names = [vector["name"] for vector in vectors.parse(text)]
    assert names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", NAMES)
def test_the_comment_at_the_top_says_what_each_key_means(name: str) -> None:
    head = vectors.source(name).partition("\n\n")[0]
    told = set(re.findall(r"^# ([a-z-]+): ", head, re.MULTILINE))
    keys = {key.removesuffix("-base64") for vector in vectors.read(name) for key, _ in vector.lines}
    assert keys - {"name"} == told - {"name"}
    for code in {vector["error"] for vector in vectors.read(name) if "error" in vector}:
        assert code in head


def test_all_files_are_named() -> None:
    folder = Path(vectors.__file__).parent
    assert {path.stem for path in folder.glob("*.txt")} == set(NAMES)


def test_the_reader_reads_what_is_allowed() -> None:
    (vector,) = vectors.parse("# a\nname: a: b\nkey:  two\nkey:\nx-base64: w6k=\nempty-base64: \n")
    assert vector["name"] == "a: b"
    assert vector.all("key") == [" two", ""]
    assert vector.text("x") == "é"
    assert vector.text("name") == "a: b"
    assert vector.text("other") is None
    assert vector.bytes("empty") == b""
    for key in ("key", "other"):
        with pytest.raises(KeyError):
            vector[key]


def refused(vector: Vector, error: GreError) -> None:
    assert "error" in vector, f"{vector['name']}: {error}"
    assert vector["error"] == error.code


@all_of("jid-escape")
def test_jid_escape(vector: Vector) -> None:
    legacy = vector.text("legacy")
    if "unescaped" in vector:
        assert unescape(vector["localpart"]) == vector["unescaped"]
        return
    assert legacy is not None
    try:
        local = escape(legacy)
    except GreError as error:
        refused(vector, error)
    else:
        assert local == vector["localpart"]
        assert unescape(local) == legacy


@all_of("namespaces")
def test_namespaces(vector: Vector) -> None:
    try:
        read = Namespace.parse(vector["urn"])
    except GreError as error:
        refused(vector, error)
    else:
        assert read == Namespace(Kind(vector["kind"]), vector["short-name"], int(vector["version"]))


@all_of("negotiation")
def test_negotiation(vector: Vector) -> None:
    ours = [Namespace.parse(urn) for urn in vector.all("ours")]
    pairs = [tuple(map(Namespace.parse, pair.split())) for pair in vector.all("refused")]
    try:
        agreed = negotiate(
            {each for each in ours if each.kind is Kind.FORMATTER},
            {each for each in ours if each.kind is Kind.ENCRYPTER},
            read_features(vector.all("feature")),
            refused=pairs,  # type: ignore[arg-type]
        )
    except GreError as error:
        refused(vector, error)
    else:
        assert (str(agreed.formatter), str(agreed.encrypter)) == (vector["formatter"], vector["encrypter"])


@all_of("data-form")
def test_data_form(vector: Vector) -> None:
    try:
        form = wire.parse_data_form(fromstring(vector["xml"]))
    except GreError as error:
        refused(vector, error)
    else:
        assert form.sender_id == vector["sender-id"]
        fields = [f"{var} {value}" for var, values in form.fields.items() for value in values]
        fields += [var for var, values in form.fields.items() if not values]
        assert fields == vector.all("field")


@all_of("encrypted")
def test_encrypted(vector: Vector) -> None:
    try:
        read = wire.parse_encrypted(fromstring(vector["xml"]))
    except GreError as error:
        refused(vector, error)
    else:
        assert (str(read.formatter), str(read.encrypter)) == (vector["formatter"], vector["encrypter"])
        assert read.body.text == (vector.text("text") or "")
        assert [child.tag for child in read.body.children] == vector.all("child")

"""Contributors of data fields that are broken on purpose: each breaks one rule, and the kit says which."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gre_core.api import DataField, DataProvider, encrypter
from gre_core.testing.conformance import DataContributorConformance

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_core.api import DataRequest
    from gre_core.ports import Ports

NAMESPACE = str(encrypter("test"))
MUTANTS: list[tuple[str, type[DataContributorConformance]]] = []


def breaks(rule: str, namespace: str = NAMESPACE, title: str = "Test") -> Callable[[Any], Any]:
    def register(made: Any) -> Any:
        attributes = {"provider": DataProvider(namespace, made, title)}
        MUTANTS.append((rule, type(f"Suite{made.__name__}", (DataContributorConformance,), attributes)))
        return made

    return register


class Toy:
    """The base of the mutants: it tells what it reads from a node of the contact, if there is one."""

    def __init__(self, ports: Ports) -> None:
        self.ports = ports

    def given(self, request: DataRequest) -> list[Any]:
        return [DataField(NAMESPACE, "longest-key", ("4096",))]

    async def fields(self, request: DataRequest, /) -> list[Any]:
        return self.given(request)


class TestToyContributor(DataContributorConformance):
    provider = DataProvider(NAMESPACE, Toy, "Test")


@breaks("field-namespace")
class WritesSenderId(Toy):
    def given(self, request: DataRequest) -> list[Any]:
        return [DataField("urn:xmpp:gre:data", "sender_id", ("mallory@evil.example",))]


@breaks("field-namespace")
class GivesPairs(Toy):
    def given(self, request: DataRequest) -> list[Any]:
        return [(NAMESPACE, "a")]


@breaks("field-namespace", namespace="no {namespace}")
class HasNoNamespace(Toy):
    def given(self, request: DataRequest) -> list[Any]:
        return []


@breaks("title", title="")
class HasNoTitle(Toy):
    pass


@breaks("field-values")
class WritesControlCharacters(Toy):
    def given(self, request: DataRequest) -> list[Any]:
        return [DataField(NAMESPACE, "a", ("\x01",))]


@breaks("field-values")
class WritesTooMuch(Toy):
    def given(self, request: DataRequest) -> list[Any]:
        return [DataField(NAMESPACE, "a", ("a" * 100_000,))]


@breaks("fields-work")
class GivesNothing(Toy):
    async def fields(self, request: DataRequest, /) -> Any:
        return None


COUNT = count()


@breaks("fields-repeat")
class CountsRequests(Toy):
    def given(self, request: DataRequest) -> list[Any]:
        return [DataField(NAMESPACE, "count", (str(next(COUNT)),))]


@breaks("fields-own-errors")
class ChokesOnChildren(Toy):
    def given(self, request: DataRequest) -> list[Any]:
        assert not request.children
        return []


@breaks("no-io")
class OpensAFile(Toy):
    def given(self, request: DataRequest) -> list[Any]:
        with Path(os.devnull).open("rb"):
            return []


@breaks("make-works")
class NeedsASocket(Toy):
    def __init__(self, ports: Ports) -> None:
        raise OSError("no network")


@pytest.mark.parametrize(
    ("rule", "suite"), [pytest.param(*each, id=f"{each[1].__name__[5:]}-{each[0]}") for each in MUTANTS]
)
def test_a_mutant_breaks_its_rule_and_no_other(
    must_break: Any, rule: str, suite: type[DataContributorConformance]
) -> None:
    must_break(suite, rule)

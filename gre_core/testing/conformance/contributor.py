"""The suite for contributors of data fields, which gateways ask."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast
from xml.etree.ElementTree import Element, tostring

from gre_core.api import DataField, DataProvider
from gre_core.contributions import MAX_FIELDS, MAX_VALUE
from gre_core.errors import GreError, Refused
from gre_core.model import DataRequest
from gre_core.namespaces import encrypter, formatter
from gre_core.ports import Ports
from gre_core.stores import MemoryStore
from gre_core.testing.conformance.calling import call, drive
from gre_core.testing.conformance.failing import FailingPubSub, FailingStore
from gre_core.testing.conformance.provider import ProviderConformance
from gre_core.testing.conformance.rules import demand
from gre_core.testing.conformance.watching import hands_off
from gre_core.testing.fakes import FakePubSub
from gre_core.wire import is_clark
from gre_core.xml_text import is_legal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gre_core.api import Provider

RECIPIENT: Final = r"juliet\40capulet.example@gateway.example"


class DataContributorConformance(ProviderConformance):
    """Everything that a contributor must keep. An heir of it with a ``provider`` is a complete test file.

    ::

        class TestMyFields(DataContributorConformance):
            provider = gre_data_fields()[0]

    Attributes:
        provider: what your ``gre_data_fields`` hook returns. Set it.
        legacy_id: an address on your network.
    """

    provider: ClassVar[DataProvider]
    legacy_id: ClassVar[str] = "juliet@capulet.example"
    methods: ClassVar[tuple[tuple[str, int, bool], ...]] = (("fields", 1, True),)

    def ports(self) -> Ports:
        """Give the gateway's ports. Override it when your fields come from nodes: put these there."""
        return Ports(MemoryStore(), FakePubSub("gateway.example"))

    def make_with(self, provider: Provider) -> object:
        """Call ``make`` as a gateway does."""
        return cast("DataProvider", provider).make(self.ports())

    def requests(self) -> Iterator[DataRequest]:
        """Give requests of every kind: without a pair, with one, with children that nobody knows."""
        plain = ("romeo@xmpp.example", RECIPIENT, self.legacy_id)
        own = self.provider.namespace
        strange = Element("{urn:example:unknown}a")
        strange.text = "ignore me"
        yield DataRequest(*plain)
        yield DataRequest(*plain, formatter("conformance"), encrypter("conformance"))
        yield DataRequest(*plain, formatter("conformance"), encrypter("conformance"), (strange,))
        yield DataRequest(*plain, children=(Element(f"{{{own}}}not-known-yet"),))

    def fields(self, made: Any, request: DataRequest) -> list[DataField]:
        """Ask; a refusal counts as no fields."""
        __tracebackhide__ = True
        given: Any = call(
            lambda: drive(made.fields(request)), own=(GreError,), rule="fields-own-errors", doing="fields()"
        )
        if isinstance(given, Refused):
            return []
        demand(not isinstance(given, GreError), "fields-work", f"{type(given).__name__}: {given}")
        demand(hasattr(given, "__iter__"), "fields-work", f"fields() gave {type(given).__name__}")
        return list(given)

    def test_its_fields_are_its_own(self) -> None:
        made = self.make()
        for request in self.requests():
            for field in self.fields(made, request):
                demand(isinstance(field, DataField), "field-namespace", f"a field is {type(field).__name__}")
                right = field.namespace == self.provider.namespace and is_clark(field.var)
                demand(right, "field-namespace", f"the field {field.var!r:.100}")

    def test_its_values_fit(self) -> None:
        made = self.make()
        for request in self.requests():
            fields = [field for field in self.fields(made, request) if isinstance(field, DataField)]
            demand(
                len(fields) <= MAX_FIELDS, "field-values", f"{len(fields)} fields, and {MAX_FIELDS} may be"
            )
            for field in fields:
                values: tuple[object, ...] = field.values
                texts = isinstance(values, tuple) and all(isinstance(value, str) for value in values)
                demand(texts, "field-values", f"the values of {field.name} are no tuple of texts")
                demand(all(map(is_legal, field.values)), "field-values", f"{field.name} has what XML forbids")
                size = sum(map(len, field.values))
                demand(
                    size <= MAX_VALUE,
                    "field-values",
                    f"{field.name} has {size} characters, {MAX_VALUE} may be",
                )

    def test_the_same_request_gets_the_same_fields(self) -> None:
        made = self.make()
        for request in self.requests():
            first, second = self.fields(made, request), self.fields(made, request)
            demand(first == second, "fields-repeat", f"{first!r:.150}, then {second!r:.150}")

    def test_requests_do_not_disturb_each_other(self) -> None:
        used = self.make()
        asker, another = "nurse@xmpp.example", r"nurse\40capulet.example@gateway.example"
        for request in self.requests():
            self.fields(used, request)
            for changed in (
                replace(request, requester=asker),
                replace(request, recipient=another, legacy_id=f"nurse-{self.legacy_id}"),
            ):
                after, alone = self.fields(used, changed), self.fields(self.make(), changed)
                found = f"{after!r:.150} after a request of or for somebody else, {alone!r:.150} without"
                demand(after == alone, "fields-repeat", found)

    def test_requests_stay_as_they_are(self) -> None:
        made = self.make()
        for request in self.requests():
            before = [tostring(child) for child in request.children]
            self.fields(made, request)
            same = before == [tostring(child) for child in request.children]
            demand(same, "inputs-unchanged", "a child of the request was changed")

    def test_ports_that_fail(self) -> None:
        self.make()
        made = self.provider.make(Ports(FailingStore(), FailingPubSub()))
        for request in self.requests():
            call(
                lambda request=request: drive(made.fields(request)),  # type: ignore[misc]
                own=(GreError,),
                rule="fields-own-errors",
                doing="fields() while offline",
            )

    def test_no_file_socket_clock_or_event_loop(self) -> None:
        made = self.make()
        for request in self.requests():
            self.fields(made, request)
            with hands_off("fields()"):
                self.fields(made, request)

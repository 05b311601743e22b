"""What formatters, encrypters and contributors have in common: ``ProviderConformance``."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytest

from gre_core.api import DataProvider, EncrypterProvider, FormatterProvider
from gre_core.errors import InvalidNamespace
from gre_core.namespaces import Kind, Namespace
from gre_core.testing.conformance.abilities import abilities_of, half_done
from gre_core.testing.conformance.calling import describe, is_stop
from gre_core.testing.conformance.rules import demand
from gre_core.testing.conformance.watching import watched

if TYPE_CHECKING:
    from gre_core.api import Provider

_FILES = ("open ", "os.listdir", "os.scandir", "tempfile.")
_KINDS = {FormatterProvider: Kind.FORMATTER, EncrypterProvider: Kind.ENCRYPTER}


class ProviderConformance:
    """The suite for what a hook returns. The suites for each kind are heirs of it; take one of those.

    Attributes:
        provider: what your hook returns. Set it.
        dynamic_data: the provider says that its data form must be fetched before each message.
        abilities: the optional Protocols of ``gre_core.api`` that your object implements. Left at None, those that
            are found are tested; set, they must be exactly these.
        seconds: of processor time for half a megabyte of hostile input.
        memory: how many bytes half a megabyte of hostile input may cost.
        hostile_size: length of each hostile input, in bytes.
        examples: how many random messages are tried; five times as many bits are flipped.
        methods: what the object must have: name, number of arguments, and whether it is a coroutine.
    """

    provider: ClassVar[Any]  # its heirs say of which kind
    dynamic_data: ClassVar[bool] = False
    abilities: ClassVar[tuple[type, ...] | None] = None
    seconds: ClassVar[float] = 20.0
    memory: ClassVar[int] = 512 << 20
    hostile_size: ClassVar[int] = 1 << 19
    examples: ClassVar[int] = 40
    methods: ClassVar[tuple[tuple[str, int, bool], ...]] = ()

    # -- making ------------------------------------------------------------------------------------

    def given(self) -> Provider:
        """Give the provider; fail with help when there is none."""
        found: object = getattr(type(self), "provider", None)
        if not isinstance(found, FormatterProvider | EncrypterProvider | DataProvider):
            text = f"Set `provider` in {type(self).__name__}: provider = next(iter(gre_formatters()))"
            pytest.fail(text, pytrace=False)
        return found

    def make(self) -> Any:
        """Call ``make()`` of the provider."""
        __tracebackhide__ = True
        provider = self.given()
        made: object = None
        try:
            made = self.make_with(provider)
        except BaseException as error:
            if is_stop(error):
                raise
            demand(condition=False, rule="make-works", found=f"make() raised {describe(error)}")
        self._require_methods(made)
        return made

    def make_with(self, provider: Provider) -> object:
        """Call it as a host does."""
        return cast("FormatterProvider | EncrypterProvider", provider).make()

    def _require_methods(self, made: object) -> None:
        __tracebackhide__ = True
        for name, count, is_async in self.methods:
            method = getattr(made, name, None)
            demand(callable(method), "interface", f"{type(made).__name__} has no method {name}")
            fine = inspect.iscoroutinefunction(method) is is_async
            demand(fine, "interface", f"{name} {'has to be' if is_async else 'must not be'} `async def`")
            try:
                inspect.signature(cast("Any", method)).bind(*[None] * count)
            except TypeError as error:
                demand(condition=False, rule="interface", found=f"{name} with {count} arguments: {error}")
            except ValueError:
                pass  # a method of an extension in C tells no signature

    # -- tests -------------------------------------------------------------------------------------

    def test_its_namespace_follows_the_grammar(self) -> None:
        provider = self.given()
        if isinstance(provider, DataProvider):
            text = provider.namespace
            fine = isinstance(text, str) and bool(text) and not set(text) & set(" \t\r\n{}<>")
            demand(fine, "field-namespace", f"the namespace is {text!r}")
            return
        namespace = cast("object", provider.namespace)
        demand(
            isinstance(namespace, Namespace),
            "namespace-grammar",
            f"it is {type(namespace).__name__}: {namespace!r}",
        )
        try:
            read = Namespace.parse(str(namespace), _KINDS[type(provider)])
        except InvalidNamespace as error:
            demand(condition=False, rule="namespace-grammar", found=error.text)
        else:
            demand(read == namespace, "namespace-grammar", f"{namespace} reads as {read}")

    def test_its_title_is_that_of_the_specification(self) -> None:
        provider = self.given()
        kind = _KINDS.get(cast("type[FormatterProvider]", type(provider)))
        title = provider.title
        if kind is None:
            demand(bool(title.strip()), "title", "a contributor has a title for people; this one has none")
            return
        start = f"GRE {kind.value.capitalize()}: "
        demand(
            title.startswith(start) and title[len(start) :].strip() and title.isprintable(),
            "title",
            f"the title is {title!r}; it should begin with {start!r} and go on, in one line",
        )

    def test_its_data_can_be_cached_or_it_says_so(self) -> None:
        said = getattr(self.given(), "dynamic_data", False)
        demand(
            bool(said) is self.dynamic_data,
            "dynamic-data",
            f"the provider says {bool(said)}, the test class {self.dynamic_data}",
        )

    def test_making_it_needs_no_network(self) -> None:
        self.make()
        with watched() as touched:
            self.make()
        for rule, what in touched:
            # It may read its data, and the time that logging or an import wants.
            if rule == "loop-free" or (rule == "no-io" and not what.startswith(_FILES)):
                demand(condition=False, rule=rule, found=f"make() called {what}")

    def test_it_is_made_anew_each_time(self) -> None:
        first, second = self.make(), self.make()
        demand(first is not second, "make-twice", "make() gave the same object twice")

    def test_it_has_the_methods_of_its_protocol(self) -> None:
        self.make()

    def test_its_optional_abilities_are_complete(self) -> None:
        made = self.make()
        for found in half_done(made):
            demand(condition=False, rule="abilities-complete", found=found)
        if self.abilities is None:
            return
        found_ones = {each.__name__ for each in abilities_of(made)}
        declared = {getattr(each, "__name__", repr(each)) for each in self.abilities}
        demand(
            found_ones == declared,
            "abilities-declared",
            f"declared: {sorted(declared)}; found: {sorted(found_ones)}",
        )

"""Calls the methods of a plugin, so that whatever they raise is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from gre_core.testing.conformance.rules import NonConformance, demand

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


def describe(error: BaseException) -> str:
    """Give the class and the text of an error."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - the error comes from a plugin and may be broken itself
        return type(error).__name__


def is_stop(error: BaseException) -> bool:
    """Tell whether an exception must pass: the user's wish, or a verdict of the kit."""
    return isinstance(error, KeyboardInterrupt | NonConformance)


def call(
    work: Callable[[], T],
    *,
    own: tuple[type[BaseException], ...],
    rule: str,
    doing: str,
) -> T | BaseException:
    """Call a method; give its result, or the error when it is one that the contract allows.

    Arguments:
        work: the call.
        own: the errors that are allowed.
        rule: what is broken by any other.
        doing: for the failure: with what input it was called.
    """
    __tracebackhide__ = True
    try:
        return work()
    except own as error:
        return error
    except BaseException as error:
        if is_stop(error):
            raise
        raise _as_failure(rule, f"{doing}: {describe(error)}") from error


def required(result: T | BaseException, rule: str, doing: str) -> T:
    """Give what :func:`call` gave, where an error is none that the contract allows.

    Arguments:
        result: of the call.
        rule: what is broken by an error.
        doing: for the failure: with what input it was called.
    """
    __tracebackhide__ = True
    if isinstance(result, BaseException):
        raise _as_failure(rule, f"{doing}: {describe(result)}") from result
    return result


def _as_failure(rule: str, found: str) -> NonConformance:
    try:
        demand(condition=False, rule=rule, found=found)
    except NonConformance as failure:
        return failure
    raise AssertionError


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Drive a coroutine to its end without an event loop; whoever waits for one breaks ``loop-free``."""
    __tracebackhide__ = True
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    except RuntimeError as error:
        if "no running event loop" not in str(error):
            raise
        raise _as_failure("loop-free", describe(error)) from error
    work.close()
    demand(condition=False, rule="loop-free", found="a method waits for something that is no port")
    raise AssertionError

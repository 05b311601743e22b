"""Which functions a worker process may call: those that the host named when it started it, and no others.

A function that runs in a worker and calls another one by name, such as the parser of a message, gets it here::

    parsed = worker_functions.get(name)(payload)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Final

from gre_core.errors import Refused

Function = Callable[[bytes], bytes]

_allowed: Final[dict[str, Function | None]] = {}


def allow(names: Iterable[str]) -> None:
    """Allow functions, each as ``module:function``. Only who starts the process calls this."""
    for name in names:
        _allowed.setdefault(name, None)


def get(name: str) -> Function:
    """Give an allowed function; its module is imported at the first call.

    Raises:
        Refused: it was not allowed, or is not there.
    """
    found = _allowed.get(name)
    if found is not None:
        return found
    if name not in _allowed:
        raise Refused("A function was named that this process may not call")
    module, _, attribute = name.partition(":")
    try:
        function: Function = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise Refused(
            f"{name} cannot be loaded ({type(error).__name__}). Tell the authors of the plugin"
        ) from error
    _allowed[name] = function
    return function

"""Gives each command of ``gre keys`` the options that all of them have."""

from __future__ import annotations

from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Any, Final, get_type_hints

from gre_cli.options import Account, Config, Gateway, Host, Json, Plaintext, Port, State, run, settings_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gre_cli.exits import Exit
    from gre_cli.output import Output

_SHARED: Final[dict[str, tuple[Any, object]]] = {
    "account": (Account, None),
    "gateway": (Gateway, None),
    "config": (Config, None),
    "state": (State, None),
    "host": (Host, None),
    "port": (Port, None),
    "insecure_plaintext": (Plaintext, False),
}
_GIVEN: Final = ("output", "settings")
_HEAVY: Final = ("Output", "Settings")


def with_account(work: Callable[..., Awaitable[Exit]]) -> Callable[..., None]:
    """Make a command of a function ``(output, settings, ...)``: its other parameters, and those of the account."""
    # Their own modules are heavy, and `gre --help` does without them.
    hints = get_type_hints(work, localns=dict.fromkeys(_HEAVY, object), include_extras=True)
    own = [each for each in signature(work).parameters.values() if each.name not in _GIVEN]
    parameters = [each.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[each.name]) for each in own]
    parameters += [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in {**_SHARED, "json": (Json, False)}.items()
    ]

    def command(**values: Any) -> None:
        json = values.pop("json")
        options = {name: values.pop(name) for name in _SHARED}

        async def job(output: Output) -> Exit:
            return await work(output, settings_of(**options), **values)

        run(job, json=json)

    command.__name__ = work.__name__
    command.__doc__ = work.__doc__
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return command

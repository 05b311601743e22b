"""Which package serves what several provide: asked once at a terminal, and remembered beside the configuration."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gre_cli.safe import clean_line
from gre_core.errors import AmbiguousProvider, GreError, NoProvider

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gre_cli.output import Output
    from gre_cli.settings import Settings
    from gre_core.registry import LoadedPlugin, Plugins

FILE: Final = "providers.json"
"""Name of the file beside the configuration: an object with a distribution for each namespace."""


class ProviderUnclear(GreError):
    """Several packages provide the same, and nobody said which one to use."""

    code = "provider-unclear"


def remembered(config: Path) -> dict[str, str]:
    """Give the answers of the user; nothing when there are none.

    Arguments:
        config: the configuration file.
    """
    with suppress(OSError, ValueError):
        found = json.loads(config.with_name(FILE).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return {str(name): str(package) for name, package in found.items()}
    return {}


def remember(config: Path, namespace: str, distribution: str) -> Path:
    """Keep an answer; give the file.

    Raises:
        OSError: it cannot be written.
    """
    file = config.with_name(FILE)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_name(f".{FILE}.{os.getpid()}")
    answers = remembered(config) | {namespace: distribution}
    new.write_text(json.dumps(answers, indent=2) + "\n", encoding="utf-8")
    new.replace(file)
    return file


def settled(output: Output, settings: Settings) -> Plugins:
    """Load the plugins. When several provide the same, ask at a terminal, and remember the answer.

    Arguments:
        output: where to ask.
        settings: see there.

    Raises:
        ProviderUnclear: nobody can be asked, or the answer is none; the text says what to do.
    """
    plugins = settings.plugins()
    for namespace in (*plugins.formatters, *plugins.encrypters):
        try:
            plugins.provider(namespace)
        except AmbiguousProvider as error:
            offers = providing(plugins, str(namespace))
            if output.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
                raise ProviderUnclear(f"{problem(error)}. {how(settings, str(namespace), offers)}") from None
            chosen = _ask(output, str(namespace), offers)
            file = remember(settings.config, str(namespace), chosen)
            output.note(f"Remembered in {file}. Another choice: change it there.")
            settings.prefer[str(namespace)] = chosen
            return settled(output, settings)
        except NoProvider as error:
            raise ProviderUnclear(f"{error.text}. {how(settings, str(namespace), ())}") from None
    return plugins


def providing(plugins: Plugins, namespace: str) -> tuple[LoadedPlugin, ...]:
    """Give the plugins that provide a namespace, by name."""
    found = (
        plugin
        for plugin in plugins.loaded
        if namespace in {str(each) for each in (*plugin.formatters, *plugin.encrypters)}
    )
    return tuple(sorted(found, key=lambda plugin: (plugin.distribution, plugin.id)))


def problem(error: GreError) -> str:
    """Give the first sentence of an error of the registry: the rest speaks to programmers."""
    return error.text.partition(". ")[0]


def how(settings: Settings, namespace: str, offers: Sequence[LoadedPlugin]) -> str:
    """Say how to choose."""
    example = offers[0].distribution if offers else "the package that you want"
    answers = settings.config.with_name(FILE)
    changed = f", or remove your answer from {answers}" if namespace in remembered(settings.config) else ""
    return (
        f"None is taken before you say which: run a gre command that sends or reads at a terminal, which asks once, or "
        f'write prefer = {{"{namespace}" = "{example}"}} under [plugins] of {settings.config}{changed}'
    )


def _ask(output: Output, namespace: str, offers: Sequence[LoadedPlugin]) -> str:
    from rich.panel import Panel
    from rich.text import Text

    lines = [
        f"  {number}  {clean_line(plugin.distribution)} {clean_line(plugin.version)}"
        for number, plugin in enumerate(offers, 1)
    ]
    text = f"{namespace} is provided by several packages. They are not equally good: see their README.\n\n"
    output.errors.print(
        Panel(Text(text + "\n".join(lines)), title="Which one do you want?", border_style="yellow")
    )
    sys.stderr.write(f"Type 1 to {len(offers)}: ")
    sys.stderr.flush()
    answer = sys.stdin.readline().strip()
    if not answer.isdecimal() or not 1 <= int(answer) <= len(offers):
        raise ProviderUnclear("That is none of them, so nothing was done. Run the command again to choose")
    return offers[int(answer) - 1].distribution

"""The command ``gre doctor``, without its options: what is installed, what is broken, what to do."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from gre_cli.describe import short
from gre_cli.exits import Exit
from gre_cli.findings import Finding, about_one, about_plugins
from gre_cli.providers import FILE as ANSWERS
from gre_cli.providers import how, providing, remembered
from gre_cli.providers import problem as first_sentence
from gre_cli.safe import clean_line
from gre_core.errors import AmbiguousProvider, GreError, NoProvider, PluginError
from gre_core.namespaces import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gre_cli.output import Output
    from gre_cli.settings import Settings
    from gre_core.namespaces import Namespace
    from gre_core.registry import LoadedPlugin, Plugins

_PROGRAMS: Final = {
    "gpg": "the mail program of `gre demo`; without it PGPy plays that part",
    "prosody": "for `gre demo --server prosody` only",
}
_PROGRAM_SECONDS: Final = 10


async def doctor(output: Output, settings: Settings, wanted: str | None = None) -> Exit:
    """Look at plugins, stores and environment.

    Arguments:
        output: where to.
        settings: for the allow-list, preferences, and the account's store.
        wanted: a plugin or namespace that the user asks about: then nothing else is looked at.
    """
    plugins = settings.plugins()
    _make_all(plugins)
    if wanted is not None:
        return _answer(output, plugins, about_one(plugins, wanted, settings))
    findings = [
        *about_plugins(plugins),
        *_choices(plugins, settings),
        *_store(settings),
        await _worker(plugins),
        *_environment(),
    ]
    wrong = any(finding.wrong for finding in findings)
    if output.json:
        output.result(_report(plugins, findings), ok=not wrong)
    else:
        _show(output, plugins, findings)
    return Exit.FAILED if wrong else Exit.OK


def _answer(output: Output, plugins: Plugins, finding: Finding) -> Exit:
    if output.json:
        output.result(_report(plugins, [finding]), ok=not finding.wrong)
    else:
        _tell(output, finding)
        if finding.wrong:
            output.console.print("\nAll plugins, and what else is wrong: gre doctor", style="dim")
    return Exit.FAILED if finding.wrong else Exit.OK


def _make_all(plugins: Plugins) -> None:
    """Make every formatter and encrypter once, so that one that cannot be made shows up among the problems."""
    for namespaces, make in (
        (plugins.formatters, plugins.formatter),
        (plugins.encrypters, plugins.encrypter),
    ):
        for namespace in namespaces:
            try:
                make(namespace)
            except PluginError:
                continue  # it is in plugins.problems now


def _choices(plugins: Plugins, settings: Settings) -> Iterator[Finding]:
    """Tell what several packages provide, which one serves it, and whether the others are broken."""
    for namespace in (*plugins.formatters, *plugins.encrypters):
        offers = providing(plugins, str(namespace))
        try:
            source = plugins.source(namespace)
        except (AmbiguousProvider, NoProvider) as error:
            text = clean_line(first_sentence(error))
            yield Finding(short(namespace), text, wrong=True, hint=how(settings, str(namespace), offers))
            source = None
        if len(offers) > 1 and source is not None:
            answered = remembered(settings.config).get(str(namespace)) == settings.prefer.get(str(namespace))
            where = settings.config.with_name(ANSWERS) if answered else settings.config
            text = f"served by {source.distribution}, as you chose; others provide it too"
            yield Finding(short(namespace), text, hint=f"Another choice: {where}")
        for plugin in offers:
            if plugin is not source and (len(offers) > 1 or source is None):
                yield from _broken(plugin, namespace, settings)


def _broken(plugin: LoadedPlugin, namespace: Namespace, settings: Settings) -> Iterator[Finding]:
    alone = settings.plugins({str(namespace): plugin.id})
    try:
        (alone.formatter if namespace.kind is Kind.FORMATTER else alone.encrypter)(namespace)
    except PluginError as error:
        hint = f"Reinstall or update {plugin.distribution}, or uninstall it"
        yield Finding(
            clean_line(f"{plugin.id} {plugin.version}"), clean_line(error.text), wrong=True, hint=hint
        )


def _store(settings: Settings) -> Iterator[Finding]:
    yield Finding("configuration", str(settings.file) if settings.file else "no file; everything by options")
    if not settings.jid and settings.state is None:
        yield Finding("store", "no account named; add --account JID to look at its store")
        return
    try:
        folder = settings.directory()
    except GreError as error:
        yield Finding("store", error.text, wrong=True)
        return
    yield _folder(folder)


def _folder(folder: Path) -> Finding:
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return Finding("store", f"{folder}: not there yet; made with the first message")
    except OSError as error:
        return Finding("store", f"{folder}: {error.strerror}", wrong=True, hint="Check who owns the folder")
    if not stat.S_ISDIR(found.st_mode):
        return Finding("store", f"{folder} is no folder", wrong=True, hint="Move it away")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return Finding("store", f"{folder} cannot be written", wrong=True, hint="Check who owns the folder")
    if os.name == "posix" and stat.S_IMODE(found.st_mode) & 0o077:
        return Finding("store", f"{folder} can be read by others", wrong=True, hint=f"chmod 700 {folder}")
    return Finding("store", f"{folder}, {sum(1 for _ in folder.iterdir())} entries, only you can read it")


async def _worker(plugins: Plugins) -> Finding:
    """Start the process that opens messages, as the other commands do with the first one."""
    from gre_core.worker import WorkerProcess

    if not WorkerProcess.supported():
        return Finding(
            "worker process", "not on this system; messages are opened without limits of memory and time"
        )
    worker = WorkerProcess.for_plugins(plugins)
    try:
        info = await worker.info()
    except GreError as error:
        hint = "No message can be opened without it; try the Python that runs this command"
        return Finding("worker process", error.text, wrong=True, hint=hint)
    finally:
        await worker.close()
    memory = f"at most {info.memory >> 20} MiB of memory" if info.memory else "no limit of memory here"
    limits = [memory, f"{worker.timeout:g} seconds for a message", *info.protections]
    return Finding("worker process", f"runs; {', '.join(limits)}")


def _environment() -> Iterator[Finding]:
    yield Finding("Python", f"{sys.version.split()[0]}, {sys.executable}")
    yield Finding("gre-core", _version("gre-core") or "not installed as a package")
    slixmpp = _version("slixmpp")
    if slixmpp is None:
        yield Finding("slixmpp", "not installed", wrong=True, hint="Install gre-core[slixmpp]")
    else:
        yield Finding("slixmpp", slixmpp)
    for program, purpose in _PROGRAMS.items():
        yield Finding(program, _program(program) or f"not on PATH; {purpose}")


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _program(name: str) -> str | None:
    path = shutil.which(
        name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    )
    if path is None:
        return None
    if name != "gpg":
        return path
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, timeout=_PROGRAM_SECONDS, check=False, text=True
        )
    except (OSError, subprocess.SubprocessError):
        return path
    return f"{done.stdout.partition(chr(10))[0].rpartition(' ')[2]}, {path}"


def _provides(plugin: LoadedPlugin) -> list[str]:
    return [
        *(f"formatter {short(namespace)}" for namespace in plugin.formatters),
        *(f"encrypter {short(namespace)}" for namespace in plugin.encrypters),
        *(f"data fields of {':'.join(name.split(':')[-2:])}" for name in plugin.data_fields),
    ]


def _report(plugins: Plugins, findings: list[Finding]) -> dict[str, object]:
    return {
        "plugins": [
            {
                "id": plugin.id,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "formatters": [str(namespace) for namespace in plugin.formatters],
                "encrypters": [str(namespace) for namespace in plugin.encrypters],
                "data_fields": list(plugin.data_fields),
            }
            for plugin in plugins.loaded
        ],
        "findings": [
            {"what": one.what, "text": one.text, "wrong": one.wrong, "hint": one.hint} for one in findings
        ],
    }


def _show(output: Output, plugins: Plugins, findings: list[Finding]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for heading in ("plugin", "version", "provides"):
        table.add_column(heading, overflow="fold")
    for plugin in sorted(plugins.loaded, key=lambda each: each.id):
        table.add_row(plugin.id, plugin.version, "\n".join(_provides(plugin)) or "nothing")
    if plugins.loaded:
        output.console.print(table)
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for finding in findings:
        if not finding.wrong:
            text = Text(finding.text)
            if finding.hint:
                text.append(f"\n→ {finding.hint}", style="bold")
            grid.add_row(Text("·", style="dim"), finding.what, text)
    output.console.print(grid)
    output.console.print()
    wrong = [finding for finding in findings if finding.wrong]
    for finding in wrong:
        _tell(output, finding)
    if wrong:
        problems = f"{len(wrong)} problem{'s' if len(wrong) > 1 else ''} to mend."
        output.console.print(f"\n{problems}", style="bold red")
        output.console.print("More about one plugin, such as where it failed: gre doctor PLUGIN", style="dim")
    else:
        output.console.print("Everything is in order.", style="bold green")


def _tell(output: Output, finding: Finding) -> None:
    """Write a finding over the whole width; commands in it, and all of it in a pipe, stay whole lines."""
    from rich.padding import Padding
    from rich.text import Text

    mark = Text("✗ ", style="bold red") if finding.wrong else Text("✓ ", style="bold green")
    output.console.print(mark + Text(finding.what, style="bold"))
    if output.console.is_terminal:
        output.console.print(Padding(Text(finding.text), (0, 0, 0, 2), expand=False))
    else:
        output.console.print(f"  {finding.text}", soft_wrap=True)
    if finding.hint:
        output.console.print(f"  → {finding.hint}", style="bold", soft_wrap=True)

"""What ``gre new`` does: checks the names, and lets copier fill in the template."""

from __future__ import annotations

import json
import re
import shlex
import unicodedata
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import distribution, version
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gre_cli.exits import Exit
from gre_cli.settings import UsageError
from gre_core.errors import GreError
from gre_core.namespaces import MAX_NAME, Kind, Namespace, package_for

if TYPE_CHECKING:
    from gre_cli.output import Output

TEMPLATE: Final = Path(__file__).with_name("template")

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)
_TEXT: Final = re.compile(r"[^\W_][\w .,:+()/@'-]{0,99}")
"""Titles and names of people go into TOML, XML and Python: no quotes, brackets or backslashes."""
_EMAIL: Final = re.compile(r"[\w.+-]{1,64}@[\w-]+(\.[\w-]+)*", re.ASCII)


class CannotWrite(GreError):
    """The folder of the new package cannot be written."""

    code = "cannot-write"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is written.

    Arguments:
        kind: ``formatter`` or ``encrypter``.
        name: in the namespace.
        title: for people.
        author: who writes it.
        email: of the author.
        core: version of gre-core that it is written for, ``0.1``.
        core_end: the first version that it is not written for, ``0.2``.
        today: the date of its specification, ``2026-11-23``.
    """

    kind: str
    name: str
    title: str
    author: str
    email: str
    core: str
    core_end: str
    today: str

    @classmethod
    def checked(cls, kind: str, name: str, title: str | None, author: str, email: str) -> Plan:
        """Check what the user gave.

        Raises:
            UsageError: a name cannot be used; the text says why, and which one could.
        """
        _check_name(kind, name)
        spoken = title if title is not None else name.replace("-", " ").title()
        for what, text in (("title", spoken), ("author", author)):
            if not _TEXT.fullmatch(text):
                raise UsageError(
                    f"The {what} {text[:60]!r} cannot be used. Begin with a letter, and use letters, digits, spaces "
                    "and . , : + - ( ) / @ ' only, 100 characters at most."
                )
        if not _EMAIL.fullmatch(email):
            raise UsageError(f"{email[:80]!r} is no mail address. Write it as in name@example.org.")
        major, minor, *_ = version("gre-core").split(".")
        until = f"0.{int(minor) + 1}" if major == "0" else str(int(major) + 1)
        today = datetime.now(UTC).date().isoformat()
        return cls(kind, name, spoken, author, email, f"{major}.{minor}", until, today)

    @property
    def namespace(self) -> Namespace:
        """Its namespace, of version 0."""
        return Namespace(Kind(self.kind), self.name, 0)

    @property
    def distribution(self) -> str:
        """The name of the package, and of its folder."""
        return package_for(self.namespace)


def _check_name(kind: str, name: str) -> None:
    if _NAME.fullmatch(name) and len(name) <= MAX_NAME and not name.startswith("gre-"):
        return
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()  # ü is u
    bare = re.sub(r"^gre[-_. ]((formatter|encrypter)[-_. ])?", "", plain)
    better = re.sub(r"[^a-z0-9]+", "-", bare).strip("-")[:MAX_NAME].rstrip("-")
    if bare != plain:
        why = f"Leave out what comes before it: the package will be named gre-{kind}-{better}"
    elif len(name) > MAX_NAME:
        why = f"It may have {MAX_NAME} characters at most"
    else:
        why = "It may have small letters a-z, digits and single hyphens, and begins with a letter"
    advice = f" Try: gre new {kind} {better}" if _NAME.fullmatch(better) and better != name else ""
    raise UsageError(f"The name {name[:80]!r} cannot be used. {why}.{advice}")


def write(output: Output, plan: Plan, into: Path) -> Exit:
    """Write the package, and say what to do next.

    Arguments:
        output: where to tell.
        plan: what to write.
        into: the folder in which its folder is made.

    Raises:
        UsageError: its folder is there already.
        CannotWrite: it cannot be written.
    """
    folder = into / plan.distribution
    if folder.exists() or folder.is_symlink():
        raise UsageError(
            f"{folder} is there already, and nothing in it was changed. Choose another name or another place "
            "(--into DIR), or move it away."
        )
    try:
        into.mkdir(parents=True, exist_ok=True)
        _fill_in(plan, folder)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise CannotWrite(
            f"{folder} cannot be written: {why}. Choose a place where you may write: --into DIR."
        ) from None
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    if output.json:
        facts = {"package": plan.distribution, "namespace": str(plan.namespace)}
        output.result({**facts, "folder": str(folder), "files": files})
    else:
        output.console.print(_next_steps(plan, folder), soft_wrap=True)
    return Exit.OK


def _fill_in(plan: Plan, folder: Path) -> None:
    from copier import run_copy

    # Copier looks for a version control system of the template and says that there is none.
    with redirect_stderr(StringIO()):
        run_copy(str(TEMPLATE), folder, data=asdict(plan), defaults=True, quiet=True)


def _core_from_here() -> str:
    """Give what pip needs to know when gre-core was installed from a place of its own: no index has that one."""
    told = distribution("gre-core").read_text("direct_url.json")
    url = str(json.loads(told).get("url", "")) if told else ""
    return shlex.quote(f"gre-core[testing] @ {url}") + " " if url else ""


def _next_steps(plan: Plan, folder: Path) -> str:
    module = plan.distribution.replace("-", "_")
    warning = (
        ""
        if plan.kind == "formatter"
        else f"\nIts cryptography is a worked example that nobody reviewed. Replace {plan.kind}.py before use.\n"
    )
    return f"""\
Wrote {folder}, which provides {plan.namespace}.
{warning}
Next:
  cd {folder}
  python3 -m venv .venv && . .venv/bin/activate
  pip install {_core_from_here()}-e ".[test]"
  pytest                      # the conformance kit: it passes as it is

Then make it yours, and run pytest after each step:
  src/{module}/{plan.kind}.py
  {plan.distribution}.xml     # the specification, in the manner of the XSF

gre doctor shows whether it is found; gre explain JID whether a gateway takes it."""

"""What a command of the gateway is (XEP-0050): who runs it, what it asks, and how it ends.

A command begins with ``start`` and goes on with the function that its last :class:`Ask` names, until :class:`Done`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from gre_gateway_email.xmpp.forms import Form, Values

Severity = Literal["info", "warn", "error"]


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a command.

    Arguments:
        text: what happened, or None.
        form: results, or None.
        severity: of the text.
    """

    text: str | None = None
    form: Form | None = None
    severity: Severity = "info"


@dataclass(frozen=True, slots=True)
class Ask:
    """A form to fill in.

    Arguments:
        form: what is asked.
        then: is given what was submitted; raises :class:`~gre_gateway_email.xmpp.forms.BadForm` when the same form has
            to be filled in again.
        last: the command completes with it, as a rule.
        text: said beside the form, or None.
    """

    form: Form
    then: Callable[[Values], Awaitable[Step]]
    last: bool = True
    text: str | None = None


Step = Ask | Done


@dataclass(frozen=True, slots=True)
class Caller:
    """Who runs a command.

    Arguments:
        jid: canonical bare JID.
        full: JID of the client.
    """

    jid: str
    full: str


@dataclass(frozen=True, slots=True)
class Command:
    """What can be run.

    Arguments:
        node: its name for programs.
        name: its name for people.
        start: gives the first step.
        allowed: who sees and runs it.
    """

    node: str
    name: str
    start: Callable[[Caller], Awaitable[Step]]
    allowed: Callable[[str], Awaitable[bool]]

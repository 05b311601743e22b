"""Ad-hoc commands (XEP-0050): the protocol. Sessions are bounded in number and time; a command is a few functions.

What a command is and says stands in :mod:`gre_gateway_email.xmpp.steps`.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement

from gre_core.errors import GreError, Refused
from gre_core.log import get_logger
from gre_core.slixmpp.answers import ITEMS
from gre_core.stanza_ports import DISCO
from gre_core.wire import FORM
from gre_core.xml_text import clean
from gre_gateway_email.xmpp.forms import FORM_TAG, BadForm, read_form
from gre_gateway_email.xmpp.steps import Ask, Caller, Command, Done

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from gre_core.slixmpp.requests import Request
    from gre_gateway_email.xmpp.steps import Severity, Step

COMMANDS: Final = "http://jabber.org/protocol/commands"
COMMAND_TAG: Final = f"{{{COMMANDS}}}command"

LIFETIME: Final = 600.0
"""Seconds that a session lasts after each step."""

MOST_OF_ONE: Final = 4
"""Sessions of one client at the same time; one more ends the oldest."""

MOST: Final = 1000
"""Sessions in all; one more ends the oldest."""

_ENDED: Final = 4000
_DEEPEST: Final = 32
_ACTIONS: Final = frozenset({"execute", "next", "complete", "prev", "cancel"})
_LANG: Final = "{http://www.w3.org/XML/1998/namespace}lang"

_log = get_logger(__name__)


@dataclass(slots=True)
class _Session:
    id: str
    full: str
    command: Command
    until: float
    asked: list[Ask] = field(default_factory=list)
    busy: bool = False


class AdHoc:
    """Answers commands, and their discovery, at the gateway's domain.

    Arguments:
        commands: all there are.
        clock: that never goes back.
    """

    def __init__(self, commands: Iterable[Command], clock: Callable[[], float] = time.monotonic) -> None:
        self._commands = {command.node: command for command in commands}
        self._clock = clock
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._ended: OrderedDict[str, str] = OrderedDict()

    # -- discovery (section 2.2) ---------------------------------------------------------------------

    async def info(self, request: Request, node: str, /) -> Element | None:
        """Describe the list of commands, and each of them; see :class:`gre_core.slixmpp.answers.DiscoNodes`."""
        if request.contact is not None or node not in {COMMANDS, *self._commands}:
            return None
        kind, name = "command-list", "Commands"
        if node != COMMANDS:
            command = await self._allowed(self._commands[node], request.user)
            kind, name = "command-node", command.name
        query = Element(f"{{{DISCO}}}query")
        SubElement(query, f"{{{DISCO}}}identity", {"category": "automation", "type": kind, "name": name})
        for feature in (COMMANDS, FORM):
            SubElement(query, f"{{{DISCO}}}feature", {"var": feature})
        return query

    async def items(self, request: Request, node: str, /) -> Element | None:
        """List the commands that who asks may run."""
        if request.contact is not None or node not in {COMMANDS, *self._commands}:
            return None
        query = Element(f"{{{ITEMS}}}query")
        if node == COMMANDS:
            for command in self._commands.values():
                if await command.allowed(request.user):
                    SubElement(
                        query,
                        f"{{{ITEMS}}}item",
                        {"jid": request.to.partition("/")[0], "node": command.node, "name": command.name},
                    )
        return query

    async def _allowed(self, command: Command, user: str) -> Command:
        if not await command.allowed(user):
            raise Refused("You may not run this command.", condition="forbidden", error_type="cancel")
        return command

    # -- execution (section 2.4) ---------------------------------------------------------------------

    async def answer(self, request: Request) -> Element:
        """Answer a request; see :data:`gre_core.slixmpp.requests.Handler`."""
        element = request.payload
        node, action = element.get("node", ""), element.get("action", "execute")
        command = self._commands.get(node)
        if command is None:
            raise Refused("There is no such command.", condition="item-not-found", error_type="cancel")
        await self._allowed(command, request.user)
        if action not in _ACTIONS:
            raise _bad("malformed-action", "That action is unknown.")
        session_id = element.get("sessionid", "")
        if not session_id:
            if action != "execute":
                raise _bad("bad-action", "A command begins with the action 'execute'.")
            return await self._begin(command, request)
        session = self._session(session_id, request.user_full, command)
        if session.busy:
            raise _bad("bad-action", "The step before is still under way.")
        session.busy = True
        try:
            return await self._continue(session, action, element)
        finally:
            session.busy = False

    def _session(self, session_id: str, full: str, command: Command) -> _Session:
        self._expire()
        session = self._sessions.get(session_id)
        if session is None and self._ended.get(session_id) == full:
            raise Refused(
                "That session is over. Run the command again.",
                condition="not-allowed",
                error_type="cancel",
                detail=(COMMANDS, "session-expired"),
            )
        if session is None or session.full != full or session.command is not command:
            raise _bad("bad-sessionid", "There is no such session. Run the command again.")
        return session

    async def _begin(self, command: Command, request: Request) -> Element:
        step = await _guarded(command.start(Caller(request.user, request.user_full)))
        session = _Session(secrets.token_urlsafe(12), request.user_full, command, self._clock() + LIFETIME)
        if isinstance(step, Done):
            self._note_end(session)
            return _done(session, step)
        self._expire()
        mine = [each for each in self._sessions.values() if each.full == session.full]
        if len(mine) >= MOST_OF_ONE:
            self._end(mine[0])
        if len(self._sessions) >= MOST:
            self._end(next(iter(self._sessions.values())))
        self._sessions[session.id] = session
        session.asked.append(step)
        return _asked(session)

    async def _continue(self, session: _Session, action: str, element: Element) -> Element:
        now = session.asked[-1]
        if action == "cancel":
            self._end(session)
            return _command(session, "canceled")
        if action == "prev":
            if len(session.asked) == 1:
                raise _bad("bad-action", "There is no step before this one.")
            session.asked.pop()
            self._keep(session)
            return _asked(session)
        if action in {"next", "complete"} and action != ("complete" if now.last else "next"):
            raise _bad("bad-action", "That action is not one of those that are offered.")
        x = element.find(FORM_TAG)
        if x is None:
            raise _bad("bad-payload", "Send the form that you were asked to fill in.")
        try:
            step = await _guarded(now.then(read_form(x)))
        except BadForm as error:
            self._keep(session)
            raise _bad("bad-payload", error.text) from error
        if session.id not in self._sessions:
            raise _bad("bad-sessionid", "The session ended meanwhile. Run the command again.")
        if isinstance(step, Done):
            self._end(session)
            return _done(session, step)
        session.asked.append(step)
        del session.asked[:-_DEEPEST]
        self._keep(session)
        return _asked(session)

    # -- the life of sessions (section 3.3) ----------------------------------------------------------

    def _keep(self, session: _Session) -> None:
        session.until = self._clock() + LIFETIME
        self._sessions.move_to_end(session.id)

    def _expire(self) -> None:
        now = self._clock()
        while self._sessions and (oldest := next(iter(self._sessions.values()))).until < now:
            self._end(oldest)

    def _end(self, session: _Session) -> None:
        self._sessions.pop(session.id, None)
        self._note_end(session)

    def _note_end(self, session: _Session) -> None:
        self._ended[session.id] = session.full
        if len(self._ended) > _ENDED:
            self._ended.popitem(last=False)


async def _guarded(step: Awaitable[Step]) -> Step:
    """Give a step; what cannot be done ends the command with an error note (section 3.5), not with a stanza error."""
    try:
        return await step
    except BadForm:
        raise
    except GreError as error:
        return Done(error.text, severity="error")


def _bad(detail: str, text: str) -> Refused:
    return Refused(text, condition="bad-request", error_type="modify", detail=(COMMANDS, detail))


def _command(session: _Session, status: str) -> Element:
    return Element(
        COMMAND_TAG,
        {"node": session.command.node, "sessionid": session.id, "status": status, _LANG: "en"},
    )


def _note(command: Element, text: str | None, severity: Severity) -> None:
    if text is not None:
        SubElement(command, f"{{{COMMANDS}}}note", {"type": severity}).text = clean(text)


def _asked(session: _Session) -> Element:
    command, ask = _command(session, "executing"), session.asked[-1]
    forward = "complete" if ask.last else "next"
    actions = SubElement(command, f"{{{COMMANDS}}}actions", {"execute": forward})
    for name in (*(("prev",) if len(session.asked) > 1 else ()), forward):
        SubElement(actions, f"{{{COMMANDS}}}{name}")
    _note(command, ask.text, "info")
    command.append(ask.form.element())
    return command


def _done(session: _Session, done: Done) -> Element:
    command = _command(session, "completed")
    _note(command, done.text, done.severity)
    if done.form is not None:
        command.append(done.form.element())
    return command

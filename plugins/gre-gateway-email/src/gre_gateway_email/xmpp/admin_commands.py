"""The commands for admins: users, queue, dead letters, block, forget. Nobody else sees them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gre_core.jid_escape import canonical
from gre_gateway_email.mail.addresses import domain_of
from gre_gateway_email.store.records import InboundMessage
from gre_gateway_email.xmpp.forms import BadForm, Field, Form, choice_of, flag_of, text_of, yes_or_no
from gre_gateway_email.xmpp.steps import Ask, Command, Done

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gre_gateway_email.store.records import OutboundMail, QueueCount, User
    from gre_gateway_email.store.store import Store
    from gre_gateway_email.xmpp.accounts import Accounts
    from gre_gateway_email.xmpp.forms import Values
    from gre_gateway_email.xmpp.relations import Relations
    from gre_gateway_email.xmpp.steps import Caller, Step

PAGE: Final = 50
"""Rows of one page."""

_MOST_LETTERS: Final = 50
_COLUMNS: Final = (("jid", "JID"), ("addresses", "Mail addresses"), ("state", "State"))
_REPLAY: Final = "replay"
_DROP: Final = "drop"


class AdminCommands:
    """What admins can run.

    Arguments:
        accounts: the rules.
        store: queues and dead letters.
        relations: presence of users who come and go.
        replayed: told when a dead letter is to be tried again, so that it is at once.
        now: the clock, in seconds since 1970.
    """

    def __init__(
        self,
        accounts: Accounts,
        store: Store,
        relations: Relations,
        *,
        replayed: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._accounts = accounts
        self._store = store
        self._relations = relations
        self._replayed = replayed
        self._now = now

    def all(self) -> Iterable[Command]:
        """Give the commands."""
        return (
            Command("users", "Admin: users", self._users, self._is_admin),
            Command("add-user", "Admin: register a user", self._add, self._is_admin),
            Command("block", "Admin: block or unblock a user", self._block, self._is_admin),
            Command("forget", "Admin: erase a user", self._forget, self._is_admin),
            Command("queue", "Admin: queue", self._queue, self._is_admin),
            Command("dead-letters", "Admin: dead letters", self._dead, self._is_admin),
        )

    async def _is_admin(self, jid: str) -> bool:
        return self._accounts.is_admin(jid)

    # -- users ---------------------------------------------------------------------------------------

    async def _users(self, _caller: Caller) -> Step:
        return await self._page("", 0)

    async def _page(self, after: str, shown: int) -> Step:
        """Show users whose JIDs come behind one."""
        page: list[User] = []
        more = False
        async for user in self._store.users.all():
            if user.jid > after:
                more = len(page) == PAGE
                if more:
                    break
                page.append(user)
        count = await self._store.users.count()
        rows = [(user.jid, ", ".join(user.addresses), _state(user)) for user in page]
        title = f"Users {shown + 1} to {shown + len(page)} of {count}" if page else "There are no users"
        if not more:
            return Done(form=Form(title, columns=_COLUMNS, rows=rows, type="result"))
        listed = tuple(f"{jid}: {addresses} {state}".rstrip() for jid, addresses, state in rows)

        async def following(_values: Values) -> Step:
            return await self._page(page[-1].jid, shown + len(page))

        form = Form(title, "There are more.", (Field("users", "Users", "text-multi", listed),))
        return Ask(form, following, last=False)

    async def _add(self, _caller: Caller) -> Step:
        form = Form(
            "Register a user",
            "The address may be a reserved one.",
            (
                Field("jid", "JID of the user", "jid-single", required=True),
                Field("address", "Mail address", required=True),
            ),
        )

        async def add(values: Values) -> Step:
            address = text_of(values, "address")
            if address is None:
                raise BadForm("Fill in the mail address.")
            user = await self._accounts.add(_jid_of(values), address)
            await self._relations.welcome(user)
            return Done(f"{user.jid} is registered with {address}.")

        return Ask(form, add)

    async def _block(self, _caller: Caller) -> Step:
        form = Form(
            "Block or unblock a user",
            "Who is blocked sends and receives nothing.",
            (
                Field("jid", "JID of the user", "jid-single", required=True),
                yes_or_no("blocked", "Blocked", value=True),
            ),
        )

        async def block(values: Values) -> Step:
            blocked = flag_of(values, "blocked", default=True)
            user = await self._accounts.block(_jid_of(values), blocked=blocked)
            return Done(f"{user.jid} is {'blocked' if blocked else 'not blocked'}.")

        return Ask(form, block)

    async def _forget(self, _caller: Caller) -> Step:
        form = Form(
            "Erase a user",
            "Everything of the user is erased: registration, addresses, messages that wait, keys.",
            (
                Field("jid", "JID of the user", "jid-single", required=True),
                yes_or_no("sure", "Yes, erase it", value=False),
            ),
        )

        async def forget(values: Values) -> Step:
            jid = _jid_of(values)
            if not flag_of(values, "sure", default=False):
                raise BadForm("Tick the box to confirm.")
            user = await self._accounts.get(jid)
            if user is not None and user.from_config:
                return Done(
                    "That user stands in the configuration file. Remove the entry there first.",
                    severity="error",
                )
            contacts = await self._relations.contacts_of(jid)
            rows = await self._accounts.forget(jid)
            if user is not None:
                await self._relations.end(jid, contacts)
            return Done(f"Erased: {rows} entries.")

        return Ask(form, forget)

    # -- queues --------------------------------------------------------------------------------------

    async def _queue(self, _caller: Caller) -> Step:
        counts = await self._store.counts()
        rows = [self._row(name, count) for name, count in zip(("to mail", "to users"), counts, strict=True)]
        columns = (
            ("direction", "Direction"),
            ("waiting", "Waiting"),
            ("size", "Bytes"),
            ("oldest", "Oldest, in seconds"),
            ("held", "Too large for a stanza"),
            ("dead", "Dead"),
        )
        return Done(form=Form("Queue", columns=columns, rows=rows, type="result"))

    def _row(self, name: str, count: QueueCount) -> tuple[str, ...]:
        age = "" if count.oldest_at is None else str(max(0, int(self._now() - count.oldest_at)))
        return (name, str(count.waiting), str(count.size), age, str(count.held), str(count.dead))

    async def _dead(self, _caller: Caller) -> Step:
        letters = await self._store.dead.all(_MOST_LETTERS)
        if not letters:
            return Done("There are no dead letters.")
        options = tuple((_describe(letter), letter.id) for letter in letters)
        form = Form(
            "Dead letters",
            "What could not be delivered, the newest first.",
            (
                Field("letter", "Letter", "list-single", (), options, required=True),
                Field(
                    "action",
                    "What to do",
                    "list-single",
                    (_REPLAY,),
                    (("Try again", _REPLAY), ("Drop", _DROP)),
                    required=True,
                ),
            ),
        )

        async def chosen(values: Values) -> Step:
            letter_id = choice_of(values, "letter", [value for _, value in options])
            if choice_of(values, "action", (_REPLAY, _DROP)) == _DROP:
                return self._drop(letter_id)
            if not await self._store.dead.replay(letter_id):
                return Done("That letter is gone.", severity="error")
            self._replayed()
            return Done("It is tried again.")

        return Ask(form, chosen, last=False)

    def _drop(self, letter_id: str) -> Step:
        form = Form(
            "Drop a dead letter",
            "It is erased, and nobody is told.",
            (yes_or_no("sure", "Yes, erase it", value=False),),
        )

        async def drop(values: Values) -> Step:
            if not flag_of(values, "sure", default=False):
                raise BadForm("Tick the box to confirm.")
            if not await self._store.dead.drop(letter_id):
                return Done("That letter is gone.", severity="error")
            return Done("It is erased.")

        return Ask(form, drop)


def _state(user: User) -> str:
    words = (
        "blocked" * user.blocked,
        "from the file" * user.from_config,
        "encrypted only" * user.encrypted_only,
    )
    return ", ".join(filter(None, words))


def _describe(letter: OutboundMail | InboundMessage) -> str:
    """Say what a letter is, without the correspondent's name."""
    if isinstance(letter, InboundMessage):
        return f"to {letter.user}, from {domain_of(letter.sender)}: {letter.reason}"[:200]
    domains = ", ".join(sorted(set(map(domain_of, letter.recipients))))
    return f"from {letter.user}, to {domains}: {letter.reason}"[:200]


def _jid_of(values: Values) -> str:
    """Give the bare JID of a user that was filled in.

    Raises:
        BadForm: it is none.
    """
    text = text_of(values, "jid")
    jid = canonical(text or "")
    local, at, domain = jid.partition("@")
    if not (local and at and domain) or "@" in domain or any(char.isspace() for char in jid):
        raise BadForm("Fill in the bare JID of a user, such as juliet@example.org.")
    return jid

"""Everything that users can ask of the gateway itself, tied to the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_core.slixmpp.answers import ITEMS
from gre_gateway_email.xmpp import cards
from gre_gateway_email.xmpp.accounts import Accounts
from gre_gateway_email.xmpp.adhoc import COMMAND_TAG, COMMANDS, AdHoc
from gre_gateway_email.xmpp.admin_commands import AdminCommands
from gre_gateway_email.xmpp.membership import MembershipCommands
from gre_gateway_email.xmpp.prompt import GATEWAY, Prompt
from gre_gateway_email.xmpp.prompt import QUERY as GATEWAY_QUERY
from gre_gateway_email.xmpp.registration import QUERY as REGISTER_QUERY
from gre_gateway_email.xmpp.registration import REGISTER, Registration
from gre_gateway_email.xmpp.relations import Relations
from gre_gateway_email.xmpp.roster import ROSTERX, Roster
from gre_gateway_email.xmpp.tries import Tries
from gre_gateway_email.xmpp.user_commands import UserCommands

if TYPE_CHECKING:
    from collections.abc import Callable

    from gre_core.slixmpp.gateway import Gateway
    from gre_core.slixmpp.requests import Type, Where
    from gre_gateway_email.config import Config
    from gre_gateway_email.store.store import Store
    from gre_gateway_email.xmpp.user_commands import OwnKeySeen, SendTest

_TESTS_PER_HOUR: Final = 5
_BOTH: tuple[Type, ...] = ("get", "set")
_ANYWHERE: tuple[Where, ...] = ("gateway", "contact")


class Services:
    """Registration, prompt, commands, vCards, presence of the gateway, and suggestions for rosters.

    Arguments:
        gateway: attached, not connected yet.
        config: what is allowed.
        store: users and queues.
        own_key_seen: tells whether the gateway sees a public key of a user.
        send_test: sends a test mail to a user's own address; gives a sentence that says what became of it.
        replayed: called when an admin wants a dead letter to be tried again.

    Attributes:
        roster: suggests contacts; call :meth:`~gre_gateway_email.xmpp.roster.Roster.wrote` at mail from somebody.
        relations: greets all users when a session begins, and says goodbye when the program stops.
    """

    def __init__(
        self,
        gateway: Gateway,
        config: Config,
        store: Store,
        *,
        own_key_seen: OwnKeySeen,
        send_test: SendTest,
        replayed: Callable[[], None] = lambda: None,
    ) -> None:
        accounts = Accounts(store, config)
        self.roster = Roster(gateway)
        self.relations = Relations(gateway, store.users, self.roster)
        users = UserCommands(
            accounts,
            config,
            gateway.engine,
            store.inbox,
            self.roster,
            self.relations,
            own_key_seen=own_key_seen,
            send_test=send_test,
            tests=Tries(limit=_TESTS_PER_HOUR, seconds=3600.0),
        )
        admins = AdminCommands(accounts, store, self.relations, replayed=replayed)
        registration = Registration(accounts, config, self.relations)
        members = MembershipCommands(accounts, registration, self.relations)
        commands = AdHoc((*members.all(), *users.all(), *admins.all()))
        requests = gateway.requests
        requests.on(REGISTER_QUERY, registration.answer, types=_BOTH)
        requests.on(GATEWAY_QUERY, Prompt(gateway.engine).answer, types=_BOTH)
        requests.on(COMMAND_TAG, commands.answer, types=("set",))
        requests.on(cards.VCARD_TAG, cards.vcard, where=_ANYWHERE)
        requests.on(cards.VCARD4_TAG, cards.vcard4, where=_ANYWHERE)
        requests.on(cards.VERSION_TAG, cards.software)
        requests.on(cards.AGENTS_TAG, cards.agents)
        gateway.answers.add_nodes(commands)
        gateway.announced.add((ITEMS, REGISTER, GATEWAY, COMMANDS, ROSTERX, cards.VERSION))
        gateway.announced.add((cards.VCARD, cards.VCARD4), contacts=True)

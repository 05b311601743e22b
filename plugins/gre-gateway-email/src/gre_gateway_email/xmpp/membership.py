"""The commands to register and to unregister, for programs that show commands and no registration (XEP-0077)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_core.errors import Refused
from gre_gateway_email.xmpp.forms import BadForm, Form, flag_of, yes_or_no
from gre_gateway_email.xmpp.steps import Ask, Command, Done

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gre_gateway_email.xmpp.accounts import Accounts
    from gre_gateway_email.xmpp.forms import Values
    from gre_gateway_email.xmpp.registration import Registration
    from gre_gateway_email.xmpp.relations import Relations
    from gre_gateway_email.xmpp.steps import Caller, Step


class MembershipCommands:
    """How people come and go.

    Arguments:
        accounts: the rules.
        registration: the form.
        relations: presence.
    """

    def __init__(self, accounts: Accounts, registration: Registration, relations: Relations) -> None:
        self._accounts = accounts
        self._registration = registration
        self._relations = relations

    def all(self) -> Iterable[Command]:
        """Give the commands."""
        return (
            Command("register", "Register and get a mail address", self._register, self._may_come),
            Command("unregister", "Unregister and erase everything", self._unregister, self._may_go),
        )

    async def _may_come(self, jid: str) -> bool:
        try:
            self._accounts.check_may_register(jid)
        except Refused:
            return False
        return await self._accounts.get(jid) is None

    async def _may_go(self, jid: str) -> bool:
        user = await self._accounts.get(jid)
        return user is not None and not user.blocked and not user.from_config

    async def _register(self, caller: Caller) -> Step:
        form = Form(
            "Register", "Fill in the form to get a mail address.", self._registration.fields(caller.jid, None)
        )

        async def enter(values: Values) -> Step:
            if await self._accounts.get(caller.jid) is not None:
                return Done("You are registered already.", severity="error")
            try:
                user = await self._registration.enter(caller.jid, values)
            except Refused as error:
                raise BadForm(error.text) from error  # another name may do
            await self._relations.welcome(user)
            return Done(f"You are registered. Your mail address is {user.addresses[0]}.")

        return Ask(form, enter)

    async def _unregister(self, caller: Caller) -> Step:
        user = await self._accounts.require(caller.jid)
        form = Form(
            "Unregister",
            f"Your address {user.addresses[0]}, your settings, and messages that wait for you are erased. "
            "Somebody else may take the address, and then gets the mail to it.",
            (yes_or_no("sure", "Yes, erase it", value=False),),
        )

        async def leave(values: Values) -> Step:
            if not flag_of(values, "sure", default=False):
                raise BadForm("Tick the box to confirm.")
            contacts = await self._relations.contacts_of(caller.jid)
            await self._accounts.unregister(caller.jid)
            await self._relations.end(caller.jid, contacts)
            return Done("You are not registered any more.")

        return Ask(form, leave)

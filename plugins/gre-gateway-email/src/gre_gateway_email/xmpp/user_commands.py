"""The commands for users: status, addresses, policy, a test message, a new contact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_gateway_email.xmpp.forms import (
    BadForm,
    Field,
    Form,
    choice_of,
    flag_of,
    note,
    text_of,
    yes_or_no,
)
from gre_gateway_email.xmpp.prompt import jid_of
from gre_gateway_email.xmpp.registration import ENCRYPTED_ONLY_LABEL, PUBLISH_KEY_LABEL, STRICT_GATEWAY
from gre_gateway_email.xmpp.steps import Ask, Command, Done

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from gre_core.gateway import GatewayEngine
    from gre_gateway_email.config import Config
    from gre_gateway_email.store.records import User
    from gre_gateway_email.store.store import Inbox
    from gre_gateway_email.xmpp.accounts import Accounts
    from gre_gateway_email.xmpp.forms import Values
    from gre_gateway_email.xmpp.relations import Relations
    from gre_gateway_email.xmpp.roster import Roster
    from gre_gateway_email.xmpp.steps import Caller, Step
    from gre_gateway_email.xmpp.tries import Tries

    OwnKeySeen = Callable[[User], Awaitable[bool]]
    SendTest = Callable[[User], Awaitable[str]]

_ADD: Final = "add"
_REMOVE: Final = "remove"
_FIRST: Final = "first"


class UserCommands:
    """What users can run.

    Arguments:
        accounts: the rules.
        config: what can be chosen.
        engine: writes JIDs.
        inbox: what waits for a user.
        roster: suggestions.
        relations: presence.
        own_key_seen: tells whether the gateway sees a public key of a user.
        send_test: sends a test mail to a user's own address; gives a sentence that says what became of it.
        tests: how often somebody may do that.
    """

    def __init__(  # noqa: PLR0913 - what the commands show comes from as many places
        self,
        accounts: Accounts,
        config: Config,
        engine: GatewayEngine,
        inbox: Inbox,
        roster: Roster,
        relations: Relations,
        *,
        own_key_seen: OwnKeySeen,
        send_test: SendTest,
        tests: Tries,
    ) -> None:
        self._accounts = accounts
        self._config = config
        self._engine = engine
        self._inbox = inbox
        self._roster = roster
        self._relations = relations
        self._own_key_seen = own_key_seen
        self._send_test = send_test
        self._tests = tests

    def all(self) -> Iterable[Command]:
        """Give the commands."""
        return (
            Command("status", "Show my registration", self._status, self._is_user),
            Command("addresses", "My mail addresses", self._addresses, self._is_user),
            Command("policy", "Encryption and key", self._policy, self._is_user),
            Command("test", "Send me a test mail", self._test, self._is_user),
            Command("add-contact", "Add a contact", self._contact, self._is_user),
        )

    async def _is_user(self, jid: str) -> bool:
        user = await self._accounts.get(jid)
        return user is not None and not user.blocked

    # -- status --------------------------------------------------------------------------------------

    async def _status(self, caller: Caller) -> Step:
        user = await self._accounts.require(caller.jid)
        waiting, size = await self._inbox.waiting_of(user.jid)
        seen = await self._own_key_seen(user)
        strict = self._config.encrypted_only or user.encrypted_only
        fields = (
            Field("address", "Mail address", values=user.addresses[:1]),
            Field("aliases", "Further addresses", "text-multi", user.addresses[1:]),
            yes_or_no("encrypted_only", "Only encrypted messages", value=strict),
            yes_or_no("publish_key", "Key in the Web Key Directory", value=user.publish_key),
            yes_or_no("own_key", "The gateway sees your public key", value=seen),
            Field("waiting", "Messages that wait for you", values=(str(waiting),)),
            Field("waiting_size", "Their size in bytes", values=(str(size),)),
        )
        return Done(form=Form("Your registration", fields=fields, type="result"))

    # -- addresses -----------------------------------------------------------------------------------

    async def _addresses(self, caller: Caller) -> Step:
        user = await self._accounts.require(caller.jid)
        if not self._accounts.may_choose(user):
            listed = Field("addresses", "Mail addresses", "text-multi", user.addresses)
            return Done(
                "The operator of this gateway decides about your addresses.",
                Form("Your mail addresses", fields=(listed,), type="result"),
            )
        actions = [("Add an address", _ADD)]
        if len(user.addresses) > 1:
            actions += [
                ("Choose the address that my mails come from", _FIRST),
                ("Remove an address", _REMOVE),
            ]
        form = Form(
            "Your mail addresses",
            "Your mails come from the first one. Mail to any of them reaches you.",
            (
                note(", ".join(user.addresses)),
                Field("action", "What to do", "list-single", (_ADD,), tuple(actions), required=True),
            ),
        )

        async def chosen(values: Values) -> Step:
            action = choice_of(values, "action", [value for _, value in actions])
            return self._new_address(user) if action == _ADD else self._one_of(user, action)

        return Ask(form, chosen, last=False)

    def _new_address(self, user: User) -> Step:
        domains = self._config.mail.domains
        form = Form(
            "A new mail address",
            fields=(
                Field("name", "The part before the @", required=True),
                Field(
                    "domain",
                    "Domain",
                    "list-single",
                    domains[:1],
                    tuple((f"@{each}", each) for each in domains),
                ),
            ),
        )

        async def add(values: Values) -> Step:
            name = text_of(values, "name")
            if name is None:
                raise BadForm("Fill in the part before the @.")
            address = self._accounts.chosen_address(name, choice_of(values, "domain", domains))
            changed = await self._accounts.add_address(user.jid, address)
            return Done(f"Your addresses: {', '.join(changed.addresses)}.")

        return Ask(form, add)

    def _one_of(self, user: User, action: str) -> Step:
        options = tuple((each, each) for each in user.addresses)
        title = "Remove an address" if action == _REMOVE else "The address that your mails come from"
        warning = "Somebody else may take a removed address, and then gets the mail to it." * (
            action == _REMOVE
        )
        form = Form(title, warning, (Field("address", "Address", "list-single", (), options, required=True),))

        async def use(values: Values) -> Step:
            address = choice_of(values, "address", user.addresses)
            change = self._accounts.remove_address if action == _REMOVE else self._accounts.prefer
            changed = await change(user.jid, address)
            return Done(f"Your addresses: {', '.join(changed.addresses)}.")

        return Ask(form, use)

    # -- policy --------------------------------------------------------------------------------------

    async def _policy(self, caller: Caller) -> Step:
        user = await self._accounts.require(caller.jid)
        first = (
            note(STRICT_GATEWAY)
            if self._config.encrypted_only
            else yes_or_no("encrypted_only", ENCRYPTED_ONLY_LABEL, value=user.encrypted_only)
        )
        form = Form(
            "Encryption and key",
            fields=(first, yes_or_no("publish_key", PUBLISH_KEY_LABEL, value=user.publish_key)),
        )

        async def change(values: Values) -> Step:
            now = await self._accounts.require(caller.jid)
            await self._accounts.set_policy(
                caller.jid,
                encrypted_only=flag_of(values, "encrypted_only", default=now.encrypted_only),
                publish_key=flag_of(values, "publish_key", default=now.publish_key),
            )
            await self._relations.refresh(caller.jid)
            return Done("Your policy is stored.")

        return Ask(form, change)

    # -- test and contact ----------------------------------------------------------------------------

    async def _test(self, caller: Caller) -> Step:
        user = await self._accounts.require(caller.jid)
        if self._config.encrypted_only or user.encrypted_only:
            return Done(
                "A test mail is not encrypted, and your policy refuses such mails. Nothing was sent.",
                severity="warn",
            )
        self._tests.take(caller.jid)
        return Done(await self._send_test(user))

    async def _contact(self, caller: Caller) -> Step:
        await self._accounts.require(caller.jid)
        form = Form("Add a contact", fields=(Field("address", "Mail address", required=True),))

        async def found(values: Values) -> Step:
            address = text_of(values, "address")
            if address is None:
                raise BadForm("Fill in the mail address.")
            jid = jid_of(self._engine, address)
            asked = await self._roster.add(caller.full, self._engine.check_contact(jid).legacy_id)
            return Done(
                "Your program was asked to add the contact." if asked else "Add this JID to your contacts.",
                Form(
                    "The contact",
                    fields=(Field("jid", "JID", "jid-single", (jid,)),),
                    type="result",
                ),
            )

        return Ask(form, found)

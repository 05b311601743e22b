"""Registration by data form (XEP-0077), as gateways do it (XEP-0100, sections 4.1 to 4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement

from gre_core.errors import Refused
from gre_core.wire import FORM
from gre_gateway_email.xmpp.forms import FORM_TAG, Field, Form, flag_of, note, read_form, text_of, yes_or_no

if TYPE_CHECKING:
    from gre_core.slixmpp.requests import Request
    from gre_gateway_email.config import Config
    from gre_gateway_email.store.records import User
    from gre_gateway_email.xmpp.accounts import Accounts
    from gre_gateway_email.xmpp.forms import Values
    from gre_gateway_email.xmpp.relations import Relations

REGISTER: Final = "jabber:iq:register"
QUERY: Final = f"{{{REGISTER}}}query"

USERNAME: Final = "username"
DOMAIN: Final = "x-domain"
ENCRYPTED_ONLY: Final = "x-encrypted_only"
PUBLISH_KEY: Final = "x-publish_key"
"""Fields that the form type does not define begin with ``x-`` (XEP-0068, section 3.2)."""

ENCRYPTED_ONLY_LABEL: Final = "Refuse whatever is not encrypted, what I send and what I get"
PUBLISH_KEY_LABEL: Final = "Publish my OpenPGP key for my mail address (Web Key Directory)"
STRICT_GATEWAY: Final = "This gateway takes only encrypted messages, from everybody."


class Registration:
    """Answers ``jabber:iq:register`` at the gateway's domain.

    Arguments:
        accounts: the rules.
        config: what can be chosen.
        relations: presence and roster of users.
    """

    def __init__(self, accounts: Accounts, config: Config, relations: Relations) -> None:
        self._accounts = accounts
        self._config = config
        self._relations = relations

    async def answer(self, request: Request) -> Element | None:
        """Answer a request; see :data:`gre_core.slixmpp.requests.Handler`."""
        user = await self._accounts.get(request.user)
        if user is None:
            self._accounts.check_may_register(request.user)
        if request.type == "get":
            return self._form(request.user, user)
        query = request.payload
        if query.find(f"{{{REGISTER}}}remove") is not None:
            await self._remove(request)
        else:
            await self._set(request, _form_of(query), user)
        return None

    # -- the form ------------------------------------------------------------------------------------

    def _form(self, jid: str, user: User | None) -> Element:
        query = Element(QUERY)
        if user is not None:
            SubElement(query, f"{{{REGISTER}}}registered")
        instructions = (
            "Fill in the form to get a mail address. If your program shows no form, use another one to register."
            if user is None
            else f"You are registered with the address {user.addresses[0]}. The form changes your registration."
        )
        SubElement(query, f"{{{REGISTER}}}instructions").text = instructions
        query.append(Form("Email", instructions, self.fields(jid, user), REGISTER).element())
        return query

    def fields(self, jid: str, user: User | None) -> tuple[Field, ...]:
        """Give what a user can fill in.

        Raises:
            Refused: the JID's local part cannot be an address, where nobody may choose.
        """
        return (*self._address_fields(jid, user), *self._policy_fields(user))

    def _address_fields(self, jid: str, user: User | None) -> tuple[Field, ...]:
        if user is not None and not self._accounts.may_choose(user):
            return (note(f"Your mail address: {', '.join(user.addresses)}"),)
        if user is None and self._config.registration.address == "same":
            return (note(f"Your mail address will be {self._accounts.own_address(jid)}."),)
        name, domain = "", self._config.mail.domains[0]
        if user is not None:
            name, _, domain = user.addresses[0].rpartition("@")
        return (
            Field(
                USERNAME, "Mail address, the part before the @", values=(name,) * bool(name), required=True
            ),
            Field(
                DOMAIN,
                "Domain of the mail address",
                "list-single",
                (domain,),
                tuple((f"@{each}", each) for each in self._config.mail.domains),
            ),
        )

    def _policy_fields(self, user: User | None) -> tuple[Field, ...]:
        strict = user is not None and user.encrypted_only
        first = (
            note(STRICT_GATEWAY)
            if self._config.encrypted_only
            else yes_or_no(ENCRYPTED_ONLY, ENCRYPTED_ONLY_LABEL, value=strict)
        )
        publish = user is not None and user.publish_key
        return (first, yes_or_no(PUBLISH_KEY, PUBLISH_KEY_LABEL, value=publish))

    # -- changes -------------------------------------------------------------------------------------

    async def _set(self, request: Request, x: Element, user: User | None) -> None:
        values = read_form(x, REGISTER)
        if x.get("type") == "cancel":
            return
        if user is None:
            new = await self.enter(request.user, values)
            request.after(lambda: self._relations.welcome(new))
            return
        encrypted_only = flag_of(values, ENCRYPTED_ONLY, default=user.encrypted_only)
        publish_key = flag_of(values, PUBLISH_KEY, default=user.publish_key)
        name, domain = text_of(values, USERNAME), text_of(values, DOMAIN)
        if (name is not None or domain is not None) and self._accounts.may_choose(user):
            now_name, _, now_domain = user.addresses[0].rpartition("@")
            if (name or now_name, domain or now_domain) != (now_name, now_domain):
                address = self._accounts.chosen_address(name or now_name, domain or now_domain)
                await self._accounts.set_first(user.jid, address)
        await self._accounts.set_policy(user.jid, encrypted_only=encrypted_only, publish_key=publish_key)
        request.after(lambda: self._relations.refresh(user.jid))

    async def enter(self, jid: str, values: Values) -> User:
        """Register who filled in :meth:`fields`.

        Raises:
            Refused: what was filled in cannot be used, or the address is taken.
        """
        address = self._new_address(jid, text_of(values, USERNAME), text_of(values, DOMAIN))
        encrypted_only = flag_of(values, ENCRYPTED_ONLY, default=False)
        publish_key = flag_of(values, PUBLISH_KEY, default=False)
        return await self._accounts.register(
            jid, address, encrypted_only=encrypted_only, publish_key=publish_key
        )

    def _new_address(self, jid: str, name: str | None, domain: str | None) -> str:
        if self._config.registration.address == "same":
            return self._accounts.own_address(jid)
        if name is None:
            raise Refused(
                "Fill in the part of the mail address before the @.",
                condition="not-acceptable",
                error_type="modify",
            )
        return self._accounts.chosen_address(name, domain or self._config.mail.domains[0])

    async def _remove(self, request: Request) -> None:
        if len(request.payload) != 1:
            raise Refused(
                "<remove/> stands alone in the request.", condition="bad-request", error_type="modify"
            )
        contacts = await self._relations.contacts_of(request.user)
        await self._accounts.unregister(request.user)
        request.after(lambda: self._relations.end(request.user, contacts))


def _form_of(query: Element) -> Element:
    """Give the form of a request. With a form, plain fields beside it do not count (XEP-0077, section 4)."""
    x = query.find(FORM_TAG)
    if x is not None:
        return x
    plain = [node for node in query if node.tag.startswith(f"{{{REGISTER}}}")]
    if plain:
        text = "This gateway wants its form. Use a program that shows data forms (XEP-0004) to register."
        raise Refused(text, condition="not-acceptable", error_type="modify")
    raise Refused(
        f"A registration has a form in the namespace {FORM}, or <remove/>.",
        condition="bad-request",
        error_type="modify",
    )

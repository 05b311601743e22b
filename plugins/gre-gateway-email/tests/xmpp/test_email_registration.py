"""Registration: each MUST and SHOULD of XEP-0077 and XEP-0100 that is a gateway's, by section."""

from __future__ import annotations

import pytest

QUERY = "<query xmlns='jabber:iq:register'/>"
REMOVE = "<query xmlns='jabber:iq:register'><remove/></query>"
REGISTER = "{jabber:iq:register}"


async def registered(desk, kit, name="juliet", **more):
    answer = await desk.register(username=name, **more)
    assert answer.get("type") == "result", kit.text(answer)
    await desk.until(lambda: (kit.DOMAIN, "subscribe") in desk.presences(kit.JULIET))
    await desk.until(lambda: bool(desk.messages(kit.JULIET)))


# -- 3.1: who is not registered --------------------------------------------------------------------


async def test_077_3_1_the_required_fields_come_as_a_form_and_instructions(desk, kit):
    """MUST inform of the fields; never a form and plain fields together (section 5)."""
    answer = await desk.iq(QUERY)
    assert {e.tag for e in answer[0]} == {f"{REGISTER}instructions", f"{kit.X}x"}
    asked = kit.fields(answer[0])
    assert (asked["FORM_TYPE"].type, asked["FORM_TYPE"].values) == ("hidden", ["jabber:iq:register"])
    assert asked["username"].type == "text-single"
    assert asked["username"].required
    assert (asked["x-domain"].type, asked["x-domain"].options) == (
        "list-single",
        ["example.org", "example.com"],
    )
    assert asked["x-encrypted_only"].type == asked["x-publish_key"].type == "boolean"
    assert asked["x-encrypted_only"].values == asked["x-publish_key"].values == ["false"]


async def test_077_3_1_a_form_registers(desk, kit):
    answer = await desk.register(**{"username": "Juliet", "x-domain": "example.com", "x-encrypted_only": "1"})
    assert (answer.get("type"), len(answer)) == ("result", 0)
    user = await desk.store.users.get(kit.JULIET)
    assert (user.addresses, user.encrypted_only, user.publish_key) == (("juliet@example.com",), True, False)
    assert not user.from_config
    assert user.registered_at > 1_700_000_000


async def test_077_3_1_missing_information_is_not_acceptable(desk, kit):
    for values in ({}, {"username": ""}, {"username": "  "}, {"username": []}):
        assert kit.error(await desk.register(**values)) == ("modify", "not-acceptable")
    assert await desk.store.users.count() == 0


async def test_077_3_1_a_taken_address_is_a_conflict(desk, kit):
    await desk.store.users.put(kit.User("romeo@localhost", ("Romeo@example.org",)))
    assert kit.error(await desk.register(username="ROMEO")) == ("cancel", "conflict")
    assert await desk.store.users.get(kit.JULIET) is None


@pytest.mark.parametrize(
    "name",
    [
        "postmaster", "abuse", "WebMaster", "boss", "mailer-daemon", "a b", "a@b", ".a", "a.", "a..b", "a+b", "ä",
        "x" * 65, '"a"', "a,b", "a\\40b", "-", "a\u202eb", "a\u200bb", "ﬀ", "<a>", "a\tb",
    ],
)  # fmt: skip
async def test_077_3_1_bad_and_reserved_names_are_not_acceptable(desk, kit, name):
    assert kit.error(await desk.register(username=name)) == ("modify", "not-acceptable")
    assert await desk.store.users.count() == 0


async def test_a_domain_that_is_not_ours_is_not_acceptable(desk, kit):
    answer = await desk.register(**{"username": "juliet", "x-domain": "bank.example"})
    assert kit.error(answer) == ("modify", "not-acceptable")


async def test_077_3_1_who_is_registered_is_told_what_is_on_file(desk, kit):
    """MUST contain <registered/>, SHOULD contain the present values and instructions."""
    await registered(desk, kit, **{"x-publish_key": "true"})
    answer = await desk.iq(QUERY, by=f"{kit.JULIET}/other")
    assert answer[0].find(f"{REGISTER}registered") is not None
    assert "juliet@example.org" in answer[0].findtext(f"{REGISTER}instructions")
    now = kit.fields(answer[0])
    assert now["username"].values == ["juliet"]
    assert now["x-domain"].values == ["example.org"]
    assert (now["x-encrypted_only"].values, now["x-publish_key"].values) == (["false"], ["true"])


async def test_077_5_plain_fields_of_old_programs_are_told_about_the_form(desk, kit):
    answer = await desk.iq(
        "<query xmlns='jabber:iq:register'><username>juliet</username><password>x</password></query>",
        type_="set",
    )
    assert kit.error(answer) == ("modify", "not-acceptable")
    assert "form" in kit.text(answer)


async def test_077_4_a_form_takes_precedence_over_plain_fields(desk, kit):
    form = kit.form({"username": "capulet"}, form_type="jabber:iq:register")
    answer = await desk.iq(
        f"<query xmlns='jabber:iq:register'><username>montague</username>{form}</query>", type_="set"
    )
    assert answer.get("type") == "result"
    assert (await desk.store.users.get(kit.JULIET)).addresses == ("capulet@example.org",)


async def test_077_6_1_registration_is_announced_on_the_domain_only(desk, kit):
    info = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
    domain = {e.get("var") for e in (await desk.iq(info))[0]}
    assert {"jabber:iq:register", "jabber:iq:gateway", "http://jabber.org/protocol/commands"} <= domain
    contact = {e.get("var") for e in (await desk.iq(info, to=rf"bob\40x.org@{kit.DOMAIN}"))[0]}
    assert not {"jabber:iq:register", "jabber:iq:gateway", "http://jabber.org/protocol/commands"} & contact
    answer = await desk.iq(QUERY, to=rf"bob\40x.org@{kit.DOMAIN}")
    assert kit.error(answer) == ("cancel", "service-unavailable")


@pytest.mark.parametrize("payload", ["", "<other xmlns='urn:x'/>"])
async def test_a_set_without_form_and_remove_is_a_bad_request(desk, kit, payload):
    answer = await desk.iq(f"<query xmlns='jabber:iq:register'>{payload}</query>", type_="set")
    assert kit.error(answer) == ("modify", "bad-request")


async def test_a_cancelled_form_changes_nothing(desk, kit):
    assert (await desk.register(type_="cancel")).get("type") == "result"
    assert await desk.store.users.count() == 0


# -- changes (XEP-0100, 4.2) -------------------------------------------------------------------------


async def test_100_4_2_a_form_changes_the_registration(desk, kit):
    await registered(desk, kit)
    answer = await desk.register(
        **{"username": "capulet", "x-domain": "example.com", "x-encrypted_only": "true"}
    )
    assert answer.get("type") == "result"
    user = await desk.store.users.get(kit.JULIET)
    assert (user.addresses, user.encrypted_only) == (("capulet@example.com",), True)
    assert await desk.store.users.by_address("juliet@example.org") is None


async def test_100_4_2_a_change_that_is_not_valid_changes_nothing(desk, kit):
    await registered(desk, kit)
    answer = await desk.register(**{"username": "postmaster", "x-encrypted_only": "true"})
    assert kit.error(answer) == ("modify", "not-acceptable")
    user = await desk.store.users.get(kit.JULIET)
    assert (user.addresses, user.encrypted_only) == (("juliet@example.org",), False)


@pytest.mark.parametrize(
    "values", [{}, {"username": ""}, {"x-encrypted_only": ""}, {"username": [], "x-encrypted_only": []}]
)
async def test_077_3_3_what_is_missing_or_empty_never_overwrites(desk, kit, values):
    """As with an empty password: the present value stays."""
    await registered(desk, kit, **{"x-encrypted_only": "true", "x-publish_key": "true"})
    assert (await desk.register(**values)).get("type") == "result"
    user = await desk.store.users.get(kit.JULIET)
    assert (user.addresses, user.encrypted_only, user.publish_key) == (("juliet@example.org",), True, True)


async def test_the_other_addresses_stay_when_the_first_changes(desk, kit):
    await desk.store.users.put(kit.User(kit.JULIET, ("a@example.org", "b@example.org", "c@example.org")))
    await desk.register(username="b")
    assert (await desk.store.users.get(kit.JULIET)).addresses == ("b@example.org", "c@example.org")


async def test_after_a_change_of_policy_the_capabilities_come_anew(desk, kit):
    await registered(desk, kit)
    desk.sent.clear()
    await desk.register(**{"x-encrypted_only": "true"})
    await desk.until(lambda: (kit.DOMAIN, None) in desk.presences(kit.JULIET))
    (presence,) = [e for e in desk.sent if e.tag.endswith("}presence")]
    strict = desk.gateway.announced.version(contact=False, encrypted_only=True)
    assert presence.find("{http://jabber.org/protocol/caps}c").get("ver") == strict


# -- who may register --------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [(QUERY, "get"), (REMOVE, "set")])
async def test_users_of_other_servers_are_forbidden_to_register(desk, kit, payload):
    answer = await desk.iq(payload[0], type_=payload[1], by="eve@elsewhere.example/x")
    assert kit.error(answer) == ("auth", "forbidden")


@pytest.mark.parametrize("jid", ["localhost", "localhost/x", "sub.localhost", "eve@sub.localhost/a"])
async def test_servers_and_users_of_subdomains_are_no_users_of_the_server(desk, kit, jid):
    assert kit.error(await desk.iq(QUERY, by=jid)) == ("auth", "forbidden")


async def test_without_servers_nobody_may_register(make_desk, kit):
    desk = await make_desk('servers = ["localhost"]', "servers = []")
    assert kit.error(await desk.iq(QUERY)) == ("cancel", "not-allowed")
    assert kit.error(await desk.register(username="juliet")) == ("cancel", "not-allowed")


async def test_strangers_get_the_same_answer_for_taken_and_free_addresses(desk, kit):
    await desk.store.users.put(kit.User("romeo@localhost", ("romeo@example.org",)))
    texts = set()
    for name in ("romeo", "nobody", "postmaster", ""):
        answer = await desk.register(username=name, by="eve@elsewhere.example/x")
        texts.add((kit.error(answer), kit.text(answer)))
    assert len(texts) == 1


async def test_who_tries_many_addresses_is_slowed_down(desk, kit):
    await desk.store.users.put(kit.User("romeo@localhost", ("romeo@example.org",)))
    answers = [kit.error(await desk.register(username="romeo")) for _ in range(21)]
    assert answers[-1] == ("wait", "resource-constraint")
    assert set(answers[:20]) == {("cancel", "conflict")}
    other = await desk.register(username="romeo", by="nurse@localhost/a")
    assert kit.error(other) == ("cancel", "conflict"), "others go on"


async def test_with_same_everybody_has_the_name_of_the_jid(make_desk, kit):
    desk = await make_desk('address = "choose"', 'address = "same"')
    asked = kit.fields((await desk.iq(QUERY))[0])
    assert "username" not in asked
    assert any("juliet@example.org" in value for value in asked[""].values)
    await desk.register(username="romeo")
    assert (await desk.store.users.get(kit.JULIET)).addresses == ("juliet@example.org",)
    await desk.register(username="romeo")
    assert (await desk.store.users.get(kit.JULIET)).addresses == ("juliet@example.org",), "also afterwards"


@pytest.mark.parametrize("name", ["postmaster", r"a\40b", "ä", r"x\20y"])
async def test_with_same_a_jid_that_can_be_no_address_is_told_so(make_desk, kit, name):
    desk = await make_desk('address = "choose"', 'address = "same"')
    for answer in (
        await desk.iq(QUERY, by=f"{name}@localhost/a"),
        await desk.register(by=f"{name}@localhost/a"),
    ):
        assert kit.error(answer) == ("modify", "not-acceptable")


async def test_one_user_is_one_whatever_the_case_of_the_jid(desk, kit):
    await registered(desk, kit)
    answer = await desk.iq(QUERY, by="Juliet@LocalHost/B")
    assert answer[0].find(f"{REGISTER}registered") is not None
    assert await desk.store.users.count() == 1


# -- the operator's users ----------------------------------------------------------------------------


async def test_users_of_the_file_cannot_leave_or_change_the_address_but_choose_their_policy(desk, kit):
    await desk.store.users.sync_config([("juliet@example.org", kit.JULIET)])
    asked = kit.fields((await desk.iq(QUERY))[0])
    assert "username" not in asked
    answer = await desk.register(**{"username": "other", "x-encrypted_only": "true", "x-publish_key": "true"})
    assert answer.get("type") == "result"
    user = await desk.store.users.get(kit.JULIET)
    assert (user.addresses, user.encrypted_only, user.publish_key) == (("juliet@example.org",), True, True)
    assert user.from_config
    assert kit.error(await desk.iq(REMOVE, type_="set")) == ("cancel", "forbidden")
    assert await desk.store.users.get(kit.JULIET) == user


async def test_a_strict_gateway_offers_no_laxer_policy(make_desk, kit):
    desk = await make_desk("[smtp]", "[policy]\nencrypted_only = true\n[smtp]")
    asked = kit.fields((await desk.iq(QUERY))[0])
    assert "x-encrypted_only" not in asked
    await desk.register(**{"username": "juliet", "x-encrypted_only": "false"})
    desk.feed(
        f"<message from='{kit.JULIET}/a' to='bob\\40x.org@{kit.DOMAIN}' id='m1' type='chat'><body>hi</body></message>"
    )
    answer = await desk.until(lambda: next((e for e in desk.sent if e.get("id") == "m1"), None))
    assert kit.error(answer) == ("modify", "policy-violation")


async def test_who_is_blocked_cannot_change_or_begin_anew(desk, kit):
    await desk.store.users.put(kit.User(kit.JULIET, ("juliet@example.org",), blocked=True))
    assert kit.error(await desk.register(username="other")) == ("auth", "forbidden")
    assert kit.error(await desk.iq(REMOVE, type_="set")) == ("auth", "forbidden")
    assert (await desk.store.users.get(kit.JULIET)).blocked


# -- 3.2: the end ------------------------------------------------------------------------------------


async def test_077_3_2_remove_erases_what_is_stored(desk, kit):
    await registered(desk, kit)
    answer = await desk.iq(REMOVE, type_="set")
    assert (answer.get("type"), len(answer)) == ("result", 0)
    assert await desk.store.users.get(kit.JULIET) is None
    assert await desk.store.users.by_address("juliet@example.org") is None
    again = await desk.iq(REMOVE, type_="set")
    assert kit.error(again) == ("auth", "registration-required")


async def test_077_3_2_remove_beside_anything_else_is_a_bad_request(desk, kit):
    await registered(desk, kit)
    for beside in ("<username>x</username>", kit.form({"username": "x"}), "<remove/>"):
        answer = await desk.iq(f"<query xmlns='jabber:iq:register'><remove/>{beside}</query>", type_="set")
        assert kit.error(answer) == ("modify", "bad-request")
    assert await desk.store.users.get(kit.JULIET) is not None


async def test_077_3_2_one_cannot_remove_somebody_else(desk, kit):
    """MUST go by the bare JID in ``from``."""
    await registered(desk, kit)
    answer = await desk.iq(
        f"<query xmlns='jabber:iq:register'><remove jid='{kit.JULIET}'/></query>",
        type_="set",
        by="romeo@localhost/a",
    )
    assert kit.error(answer) == ("auth", "registration-required")
    assert await desk.store.users.get(kit.JULIET) is not None


async def test_100_4_3_the_result_then_the_subscriptions_then_unavailable(desk, kit):
    await registered(desk, kit)
    bob = rf"bob\40example.net@{kit.DOMAIN}"
    desk.feed(f"<presence type='subscribe' from='{kit.JULIET}' to='{bob}'/>")
    await desk.until(lambda: (bob, "subscribe") in desk.presences(kit.JULIET))
    desk.sent.clear()
    await desk.iq(REMOVE, type_="set")
    expected = [
        (jid, kind) for jid in (bob, kit.DOMAIN) for kind in ("unsubscribe", "unsubscribed", "unavailable")
    ]
    await desk.until(lambda: len(desk.presences(kit.JULIET)) >= len(expected))
    assert desk.presences(kit.JULIET) == expected
    assert desk.sent[0].tag.endswith("}iq"), "the result comes first"


# -- XEP-0100, 4.1 -----------------------------------------------------------------------------------


async def test_100_4_1_after_registering_the_gateway_shows_itself_and_asks_to_subscribe(desk, kit):
    await registered(desk, kit)
    await desk.until(lambda: (kit.DOMAIN, "subscribe") in desk.presences(kit.JULIET))
    assert desk.presences(kit.JULIET)[0] == (kit.DOMAIN, None)
    assert desk.sent[0].tag.endswith("}iq"), "the result comes first"
    (welcome,) = desk.messages(kit.JULIET)
    assert "juliet@example.org" in kit.text(welcome)
    await desk.register(**{"x-publish_key": "true"})
    await desk.iq(QUERY)
    assert len(desk.messages(kit.JULIET)) == 1, "one message, and no more"


async def test_100_4_1_the_user_may_subscribe_then(desk, kit):
    await registered(desk, kit)
    desk.sent.clear()
    desk.feed(f"<presence type='subscribe' from='{kit.JULIET}' to='{kit.DOMAIN}'/>")
    await desk.until(lambda: len(desk.presences(kit.JULIET)) >= 2)
    assert desk.presences(kit.JULIET) == [(kit.DOMAIN, "subscribed"), (kit.DOMAIN, None)]


# -- hostile forms -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {f"f{n}": "v" for n in range(5000)},
        {"username": [f"v{n}" for n in range(5000)]},
        {"username": "x" * 200_000},
        {"username": "juliet\r\nBcc: eve@x.org"},
        {"username": "juliet\u202e"},
        {"x-encrypted_only": "maybe", "username": "juliet"},
        {"username": ["juliet", "romeo"]},
        {"x" * 100_000: "v", "username": "\u0085"},
    ],
)
async def test_a_hostile_form_is_refused(desk, kit, values):
    assert kit.error(await desk.register(**values)) == ("modify", "not-acceptable")
    assert await desk.store.users.count() == 0


async def test_a_field_twice_and_another_form_type_are_refused(desk, kit):
    twice = "<field var='username'><value>a</value></field>" * 2
    answer = await desk.iq(
        f"<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'>{twice}</x></query>",
        type_="set",
    )
    assert kit.error(answer) == ("modify", "not-acceptable")
    for values in ({"form_type": "jabber:iq:search"}, {"type_": "result"}, {"type_": "form"}):
        assert kit.error(await desk.register(username="juliet", **values)) == ("modify", "not-acceptable")


async def test_a_store_that_fails_is_an_error_and_not_silence(desk, kit, monkeypatch):
    async def broken(_user):
        raise OSError("disk")

    monkeypatch.setattr(desk.store.users, "put", broken)
    answer = await desk.register(username="juliet")
    assert kit.error(answer) == ("wait", "internal-server-error")
    assert "disk" not in kit.text(answer)

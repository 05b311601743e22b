"""Ad-hoc commands: each MUST and SHOULD of XEP-0050 that is a responder's, by section, and each command."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from gre_gateway_email.store.records import InboundMessage, OutboundMail
from gre_gateway_email.xmpp import adhoc

COMMANDS = "http://jabber.org/protocol/commands"
C = f"{{{COMMANDS}}}"
INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
LIST = f"<query xmlns='{ITEMS}' node='{COMMANDS}'/>"
LANG = "{http://www.w3.org/XML/1998/namespace}lang"
ADMIN = "admin@localhost/a"
USER_NODES = ["status", "addresses", "policy", "test", "add-contact"]
ADMIN_NODES = ["users", "add-user", "block", "forget", "queue", "dead-letters"]


@pytest.fixture
async def home(desk, kit):
    """A desk with juliet, who is registered."""
    await desk.store.users.put(kit.User(kit.JULIET, ("juliet@example.org",)))
    return desk


def note(command):
    (found,) = command.findall(f"{C}note")
    return found.get("type"), found.text


def actions(command):
    found = command.find(f"{C}actions")
    return found.get("execute"), [each.tag.removeprefix(C) for each in found]


# -- 2.1 and 2.2: discovery --------------------------------------------------------------------------


async def test_050_2_1_support_is_announced(home):
    info = await home.iq(f"<query xmlns='{INFO}'/>")
    assert COMMANDS in {each.get("var") for each in info[0]}


@pytest.mark.parametrize(
    ("by", "nodes"),
    [
        ("juliet@localhost/a", ["unregister", *USER_NODES]),
        (ADMIN, ["register", *ADMIN_NODES]),
        ("stranger@localhost/a", ["register"]),
        ("localhost", []),
    ],
)
async def test_050_2_2_everybody_gets_the_list_of_their_commands(home, kit, by, nodes):
    answer = await home.iq(LIST, by=by)
    assert answer[0].get("node") == COMMANDS
    assert [each.get("node") for each in answer[0]] == nodes
    assert {each.get("jid") for each in answer[0]} <= {kit.DOMAIN}, "MUST report one's own nodes only (6)"
    assert all(each.get("name") for each in answer[0])


async def test_050_2_2_a_command_describes_itself(home):
    """MUST at least have the identity and the feature, SHOULD have jabber:x:data."""
    answer = await home.iq(f"<query xmlns='{INFO}' node='status'/>")
    assert answer[0].get("node") == "status"
    identity = answer[0].find(f"{{{INFO}}}identity")
    assert (identity.get("category"), identity.get("type")) == ("automation", "command-node")
    assert {COMMANDS, "jabber:x:data"} <= {each.get("var") for each in answer[0]}
    answer = await home.iq(f"<query xmlns='{INFO}' node='{COMMANDS}'/>")
    assert answer[0].find(f"{{{INFO}}}identity").get("type") == "command-list"


@pytest.mark.parametrize("node", ["status", "users"])
async def test_050_2_2_what_one_may_not_run_is_forbidden(home, kit, node):
    answer = await home.iq(f"<query xmlns='{INFO}' node='{node}'/>", by="stranger@localhost/a")
    assert kit.error(answer) == ("cancel", "forbidden")


@pytest.mark.parametrize("kind", [INFO, ITEMS])
async def test_nodes_that_do_not_exist_and_nodes_of_contacts_are_not_found(home, kit, kind):
    assert kit.error(await home.iq(f"<query xmlns='{kind}' node='x'/>")) == ("cancel", "item-not-found")
    bob = rf"bob\40x.org@{kit.DOMAIN}"
    answer = await home.iq(f"<query xmlns='{kind}' node='status'/>", to=bob)
    assert kit.error(answer) == ("cancel", "item-not-found")


# -- 2.4: execution ----------------------------------------------------------------------------------


async def test_050_2_4_1_a_command_without_questions_completes_at_once(home):
    command = (await home.command("status"))[0]
    assert (command.get("node"), command.get("status")) == ("status", "completed")
    assert command.get("sessionid"), "SHOULD initialise the sessionid (4.1)"
    assert command.find("{jabber:x:data}x").get("type") == "result"
    assert command.get(LANG) == "en", "SHOULD name the language (3.6)"


async def test_050_2_4_2_stages_forwards_backwards_and_to_the_end(home, kit):
    first = (await home.command("addresses"))[0]
    session = first.get("sessionid")
    assert (first.get("status"), actions(first)) == ("executing", ("next", ["next"]))
    second = await home.command("addresses", session, action="add")  # not the XEP's action: a field
    assert kit.error(second) == ("modify", "bad-request", "malformed-action")
    x = kit.form({"action": "add"})
    second = (await home.command("addresses", session, "next", x=x))[0]
    assert (second.get("sessionid"), actions(second)) == (session, ("complete", ["prev", "complete"]))
    again = (await home.command("addresses", session, "prev"))[0]
    assert ET.tostring(again) == ET.tostring(first)
    await home.command("addresses", session, "execute", x=x)
    done = (await home.command("addresses", session, "complete", name="capulet", domain="example.com"))[0]
    assert done.get("status") == "completed"
    assert (await home.store.users.get(kit.JULIET)).addresses == ("juliet@example.org", "capulet@example.com")


async def test_050_2_4_3_cancel_is_confirmed_and_changes_nothing(home, kit):
    """MUST reply with the success of the command."""
    session = (await home.command("policy"))[0].get("sessionid")
    answer = (await home.command("policy", session, "cancel", encrypted_only="true"))[0]
    assert (answer.get("status"), answer.get("sessionid"), len(answer)) == ("canceled", session, 0)
    assert not (await home.store.users.get(kit.JULIET)).encrypted_only
    over = await home.command("policy", session, encrypted_only="true")
    assert kit.error(over) == ("cancel", "not-allowed", "session-expired")


async def test_050_3_3_a_session_is_valid_between_one_pair_only(home, kit):
    session = (await home.command("policy"))[0].get("sessionid")
    for by, node in (("juliet@localhost/other", "policy"), (f"{kit.JULIET}/a", "addresses")):
        answer = await home.command(node, session, by=by, encrypted_only="true")
        assert kit.error(answer) == ("modify", "bad-request", "bad-sessionid")
    assert not (await home.store.users.get(kit.JULIET)).encrypted_only


async def test_050_3_3_session_ids_are_unique_and_not_used_again(home):
    ids = {(await home.command("status"))[0].get("sessionid") for _ in range(20)}
    assert len(ids) == 20


async def test_050_3_3_a_session_that_completed_is_over(home, kit):
    session = (await home.command("status"))[0].get("sessionid")
    assert kit.error(await home.command("status", session)) == ("cancel", "not-allowed", "session-expired")


async def test_050_3_3_sessions_end_after_a_while(home, kit, monkeypatch):
    monkeypatch.setattr(adhoc, "LIFETIME", -1)
    session = (await home.command("policy"))[0].get("sessionid")
    answer = await home.command("policy", session, encrypted_only="true")
    assert kit.error(answer) == ("cancel", "not-allowed", "session-expired")


async def test_a_flood_of_sessions_is_bounded_for_one_and_for_all(home, kit, monkeypatch):
    ids = [(await home.command("policy"))[0].get("sessionid") for _ in range(10)]
    first = await home.command("policy", ids[0], encrypted_only="true")
    assert kit.error(first) == ("cancel", "not-allowed", "session-expired")
    last = await home.command("policy", ids[-1], encrypted_only="false")
    assert last[0].get("status") == "completed"
    monkeypatch.setattr(adhoc, "MOST", 20)
    for number in range(40):
        await home.command("policy", by=f"{kit.JULIET}/{number}")
    handler = next(nodes for nodes in home.gateway.answers._disco if isinstance(nodes, adhoc.AdHoc))
    assert len(handler._sessions) <= 20


@pytest.mark.parametrize(
    ("node", "action", "expected"),
    [
        ("nothing", None, ("cancel", "item-not-found")),
        ("", None, ("cancel", "item-not-found")),
        ("users", None, ("cancel", "forbidden")),
        ("policy", "explode", ("modify", "bad-request", "malformed-action")),
        ("policy", "prev", ("modify", "bad-request", "bad-action")),
        ("policy", "cancel", ("modify", "bad-request", "bad-action")),
    ],
)
async def test_050_4_4_errors_of_the_first_request(home, kit, node, action, expected):
    assert kit.error(await home.command(node, action=action)) == expected


@pytest.mark.parametrize(
    ("action", "values", "expected"),
    [
        ("next", {"encrypted_only": "1"}, "bad-action"),
        ("prev", {}, "bad-action"),
        ("complete", {}, "bad-payload"),
        (None, {"encrypted_only": "perhaps"}, "bad-payload"),
        (None, {f"f{n}": "" for n in range(1000)}, "bad-payload"),
    ],
)
async def test_050_4_4_errors_of_a_step_leave_the_session_as_it_is(home, kit, action, values, expected):
    session = (await home.command("policy"))[0].get("sessionid")
    answer = await home.command("policy", session, action, **values)
    assert kit.error(answer) == ("modify", "bad-request", expected)
    good = await home.command("policy", session, encrypted_only="true")
    assert good[0].get("status") == "completed"


async def test_050_3_4_a_form_of_type_cancel_counts_as_submitted(home, kit):
    session = (await home.command("policy"))[0].get("sessionid")
    x = kit.form({"encrypted_only": "true"}, type_="cancel")
    assert (await home.command("policy", session, x=x))[0].get("status") == "completed"
    assert (await home.store.users.get(kit.JULIET)).encrypted_only


async def test_050_3_5_what_fails_completes_with_an_error_note(home, kit):
    await home.store.users.put(kit.User("romeo@localhost", ("romeo@example.org",)))
    done = await home.run("addresses", {"action": "add"}, {"name": "romeo", "domain": "example.org"})
    assert done.get("status") == "completed"
    severity, text = note(done)
    assert severity == "error"
    assert "somebody else" in text


async def test_050_commands_can_only_be_set(home, kit):
    answer = await home.iq(f"<command xmlns='{COMMANDS}' node='status'/>")
    assert kit.error(answer) == ("cancel", "not-allowed")


async def test_who_unregisters_meanwhile_cannot_go_on(home, kit):
    session = (await home.command("policy"))[0].get("sessionid")
    await home.store.forget(kit.JULIET)
    answer = await home.command("policy", session, encrypted_only="true")
    assert kit.error(answer) == ("cancel", "forbidden")


# -- the commands of users ---------------------------------------------------------------------------


async def test_status(home, kit):
    shown = kit.fields(await home.run("status"))
    assert shown["address"].values == ["juliet@example.org"]
    assert shown["encrypted_only"].values == shown["own_key"].values == ["false"]
    assert shown["waiting"].values == ["0"]
    home.own_keys.add(kit.JULIET)
    message = InboundMessage("m1", kit.JULIET, "juliet@example.org", "bob@example.net", "plain", size=7)
    await home.store.inbox.add([(message, b"content")])
    shown = kit.fields(await home.run("status"))
    assert (shown["waiting"].values, shown["own_key"].values) == (["1"], ["true"])


async def test_addresses_are_added_chosen_and_removed(home, kit):
    done = await home.run("addresses", {"action": "add"}, {"name": "Capulet", "domain": "example.com"})
    assert "capulet@example.com" in note(done)[1]
    await home.run("addresses", {"action": "first"}, {"address": "capulet@example.com"})
    assert (await home.store.users.get(kit.JULIET)).addresses == ("capulet@example.com", "juliet@example.org")
    await home.run("addresses", {"action": "remove"}, {"address": "juliet@example.org"})
    assert (await home.store.users.get(kit.JULIET)).addresses == ("capulet@example.com",)
    answer = await home.run("addresses", {"action": "remove"}, {"address": "capulet@example.com"})
    assert kit.error(answer)[-1] == "bad-payload", "the last one is not offered for that"


async def test_more_addresses_than_allowed_and_reserved_ones_are_refused(home, kit):
    for name in ("one", "two"):
        await home.run("addresses", {"action": "add"}, {"name": name, "domain": "example.org"})
    done = await home.run("addresses", {"action": "add"}, {"name": "three", "domain": "example.org"})
    assert note(done)[0] == "error"
    done = await home.run("addresses", {"action": "add"}, {"name": "postmaster", "domain": "example.org"})
    assert note(done)[0] == "error"
    assert len((await home.store.users.get(kit.JULIET)).addresses) == 3


async def test_users_of_the_file_see_their_addresses_only(home, kit):
    await home.store.users.sync_config([("nurse@example.org", "nurse@localhost")])
    done = await home.run("addresses", by="nurse@localhost/a")
    assert kit.fields(done)["addresses"].values == ["nurse@example.org"]


async def test_policy_is_changed_and_announced(home, kit):
    info = f"<query xmlns='{INFO}'/>"
    bob = rf"bob\40x.org@{kit.DOMAIN}"
    for jid in (kit.DOMAIN, bob):
        assert "urn:xmpp:gre:encrypted_only:0" not in {e.get("var") for e in (await home.iq(info, to=jid))[0]}
    await home.run("policy", {"encrypted_only": "true", "publish_key": "true"})
    user = await home.store.users.get(kit.JULIET)
    assert (user.encrypted_only, user.publish_key) == (True, True)
    for jid in (kit.DOMAIN, bob):
        answer = await home.iq(info, to=jid)
        assert "urn:xmpp:gre:encrypted_only:0" in {e.get("var") for e in answer[0]}
        shown = kit.fields(answer)
        assert shown["FORM_TYPE"].values == ["urn:xmpp:data-policy:0"]
        assert shown["data_transmission"].values == ["gre"]
        other = await home.iq(info, to=jid, by="romeo@localhost/a")
        assert "urn:xmpp:gre:encrypted_only:0" not in {e.get("var") for e in other[0]}, "others see theirs"
    await home.until(lambda: (kit.DOMAIN, None) in home.presences(kit.JULIET))


async def test_plain_messages_of_who_wants_none_are_refused(home, kit):
    bob = rf"bob\40x.org@{kit.DOMAIN}"
    say = "<message from='{}/a' to='{}' id='{}' type='chat'><body>hi</body></message>"
    home.feed(say.format(kit.JULIET, bob, "m1"))
    await home.until(lambda: bool(home.relayed))
    await home.run("policy", {"encrypted_only": "true"})
    home.feed(say.format(kit.JULIET, bob, "m2"))
    answer = await home.until(lambda: next((e for e in home.sent if e.get("id") == "m2"), None))
    assert kit.error(answer) == ("modify", "policy-violation")
    assert len(home.relayed) == 1


async def test_the_test_mail_is_sent_a_few_times_and_not_against_the_policy(home, kit):
    done = await home.run("test")
    assert note(done) == ("info", "The relay took it.")
    for _ in range(10):
        done = await home.run("test")
    assert note(done)[0] == "error"
    assert len(home.tests) == 5
    await home.store.users.put(kit.User("nurse@localhost", ("nurse@example.org",), encrypted_only=True))
    done = await home.run("test", by="nurse@localhost/a")
    assert note(done)[0] == "warn"
    assert "nurse@localhost" not in home.tests


async def test_a_contact_is_found_by_address(home, kit):
    done = await home.run("add-contact", {"address": " Bob@Example.net "})
    assert kit.fields(done)["jid"].values == [rf"bob\40example.net@{kit.DOMAIN}"]
    for wrong in ("bob", "a@b@c.org", "x" * 1000, ""):
        answer = await home.command("add-contact")
        session = answer[0].get("sessionid")
        answer = await home.command("add-contact", session, address=wrong)
        failed = answer.get("type") == "error" or note(answer[0])[0] == "error"
        assert failed, wrong


# -- the commands of admins --------------------------------------------------------------------------


@pytest.mark.parametrize("node", ADMIN_NODES)
async def test_commands_of_admins_are_forbidden_to_everybody_else(home, kit, node):
    for by in (f"{kit.JULIET}/a", "admin@elsewhere.example/a", "admin@localhost.evil.example/a", "localhost"):
        assert kit.error(await home.command(node, by=by)) == ("cancel", "forbidden")


async def test_admins_see_all_users_page_by_page(home, kit):
    for number in range(119):
        await home.store.users.put(kit.User(f"u{number:03}@localhost", (f"u{number:03}@example.org",)))
    first = (await home.command("users", by=ADMIN))[0]
    session = first.get("sessionid")
    assert "1 to 50 of 120" in kit.text(first)
    second = (await home.command("users", session, "next", by=ADMIN, x=kit.form({})))[0]
    assert "51 to 100 of 120" in kit.text(second)
    third = (await home.command("users", session, "next", by=ADMIN, x=kit.form({})))[0]
    assert third.get("status") == "completed"
    assert "101 to 120 of 120" in kit.text(third)
    assert len(third.findall(f".//{kit.X}item")) == 20
    together = "".join(kit.text(each) for each in (first, second, third))
    assert all(f"u{number:03}@localhost" in together for number in range(119))


async def test_admins_add_block_unblock_and_erase_users(home, kit):
    done = await home.run(
        "add-user", {"jid": "Nurse@localhost", "address": "postmaster@example.org"}, by=ADMIN
    )
    assert note(done)[0] == "info", note(done)
    assert (await home.store.users.get("nurse@localhost")).addresses == ("postmaster@example.org",)
    for values in (
        {"jid": "nurse@localhost", "address": "x@example.org"},
        {"jid": "other@localhost", "address": "postmaster@example.org"},
        {"jid": "other@localhost", "address": "x@bank.example"},
        {"jid": "other@localhost", "address": "nonsense"},
    ):
        assert note(await home.run("add-user", values, by=ADMIN))[0] == "error"
    await home.run("block", {"jid": "nurse@localhost", "blocked": "true"}, by=ADMIN)
    assert (await home.store.users.get("nurse@localhost")).blocked
    assert kit.error(await home.command("status", by="nurse@localhost/a")) == ("cancel", "forbidden")
    await home.run("block", {"jid": "nurse@localhost", "blocked": "false"}, by=ADMIN)
    assert (await home.command("status", by="nurse@localhost/a"))[0].get("status") == "completed"
    unsure = await home.run("forget", {"jid": "nurse@localhost", "sure": "false"}, by=ADMIN)
    assert kit.error(unsure)[-1] == "bad-payload", "nothing is erased without the word"
    assert await home.store.users.get("nurse@localhost") is not None
    await home.run("forget", {"jid": "nurse@localhost", "sure": "true"}, by=ADMIN)
    assert await home.store.users.get("nurse@localhost") is None
    await home.until(lambda: (kit.DOMAIN, "unsubscribed") in home.presences("nurse@localhost"))
    for wrong in ("nurse", "@localhost", "a b@localhost", "a@b@c", ""):
        answer = await home.run("block", {"jid": wrong}, by=ADMIN)
        assert kit.error(answer)[-1] == "bad-payload"


async def test_users_of_the_file_are_not_erased_by_command(home):
    await home.store.users.sync_config([("nurse@example.org", "nurse@localhost")])
    done = await home.run("forget", {"jid": "nurse@localhost", "sure": "1"}, by=ADMIN)
    assert note(done)[0] == "error"
    assert await home.store.users.get("nurse@localhost") is not None


def letter(number):
    return OutboundMail(
        f"o{number}", bytes([number]) * 32, "juliet@localhost", "juliet@localhost/a", f"s{number}",
        r"bob\40example.net@mail.localhost", "chat", True, "juliet@example.org", ("bob@example.net",),
        f"s{number}@example.org", b"Subject: secret\r\n\r\n", created_at=1.8e9,
    )  # fmt: skip


async def test_admins_see_the_queue_and_replay_and_drop_dead_letters(home, kit):
    for number in (1, 2):
        await home.store.outbox.add(letter(number))
        await home.store.outbox.bury(letter(number), "the relay refused it")
    queue = await home.run("queue", by=ADMIN)
    rows = [[v.text or "" for v in row.iter(f"{kit.X}value")] for row in queue.findall(f".//{kit.X}item")]
    assert rows[0][0] == "to mail"
    assert rows[0][-1] == "2"
    first = (await home.command("dead-letters", by=ADMIN))[0]
    assert sorted(kit.fields(first)["letter"].options) == ["o1", "o2"]
    shown = ET.tostring(first, encoding="unicode")
    assert "the relay refused it" in shown
    assert "bob@" not in shown, "the correspondent's name is nobody's business"
    assert "secret" not in shown
    done = await home.run("dead-letters", {"letter": "o1", "action": "replay"}, by=ADMIN)
    assert (note(done)[0], home.replayed) == ("info", [1])
    unsure = await home.run("dead-letters", {"letter": "o2", "action": "drop"}, {"sure": "0"}, by=ADMIN)
    assert kit.error(unsure)[-1] == "bad-payload"
    assert [each.id for each in await home.store.dead.all()] == ["o2"]
    await home.run("dead-letters", {"letter": "o2", "action": "drop"}, {"sure": "1"}, by=ADMIN)
    assert "no dead letters" in note(await home.run("dead-letters", by=ADMIN))[1]

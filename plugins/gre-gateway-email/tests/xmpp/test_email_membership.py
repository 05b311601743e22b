"""Registering and unregistering by command, for programs that know commands and no registration."""

from __future__ import annotations

import pytest


def listed(answer):
    return [item.get("node") for item in answer[0]]


async def nodes(desk, kit, by):
    query = f"<query xmlns='http://jabber.org/protocol/disco#items' node='{kit.COMMANDS}'/>"
    return listed(await desk.iq(query, by=by))


async def test_who_may_register_does_it_by_command_and_then_leaves(desk, kit):
    full = f"{kit.JULIET}/a"
    assert await nodes(desk, kit, full) == ["register"]
    asked = (await desk.command("register"))[0]
    assert {"username", "x-domain", "x-encrypted_only", "x-publish_key"} <= set(kit.fields(asked))
    done = await desk.run("register", {"username": "Capulet", "x-publish_key": "true"})
    assert "capulet@example.org" in kit.text(done)
    user = await desk.store.users.get(kit.JULIET)
    assert (user.addresses, user.publish_key) == (("capulet@example.org",), True)
    await desk.until(lambda: (kit.DOMAIN, "subscribe") in desk.presences(kit.JULIET))
    shown = await nodes(desk, kit, full)
    assert "unregister" in shown
    assert "register" not in shown
    answer = await desk.run("unregister", {"sure": "false"})
    assert kit.error(answer)[:2] == ("modify", "bad-request")
    assert await desk.store.users.get(kit.JULIET) is not None
    await desk.run("unregister", {"sure": "true"})
    assert await desk.store.users.get(kit.JULIET) is None
    await desk.until(lambda: (kit.DOMAIN, "unavailable") in desk.presences(kit.JULIET))


@pytest.mark.parametrize("name", ["", "a b", "boss", "taken"])
async def test_a_name_that_cannot_be_had_is_said_and_another_one_may_be_tried(desk, kit, name):
    await desk.store.users.put(kit.User("romeo@localhost", ("taken@example.org",)))
    session = (await desk.command("register"))[0].get("sessionid")
    answer = await desk.command("register", session, username=name)
    assert kit.error(answer) == ("modify", "bad-request", "bad-payload")
    done = await desk.command("register", session, username="juliet")
    assert done[0].get("status") == "completed"
    again = await desk.command("register", by=f"{kit.JULIET}/b")
    assert kit.error(again) == ("cancel", "forbidden")


async def test_who_registers_twice_at_once_is_registered_once(desk, kit):
    sessions = [(await desk.command("register", by=f"{kit.JULIET}/{n}"))[0].get("sessionid") for n in "ab"]
    await desk.command("register", sessions[0], by=f"{kit.JULIET}/a", username="first")
    answer = await desk.command("register", sessions[1], by=f"{kit.JULIET}/b", username="second")
    assert kit.error(answer) == ("cancel", "forbidden")
    assert (await desk.store.users.get(kit.JULIET)).addresses == ("first@example.org",)


async def test_others_are_offered_neither(desk, kit):
    await desk.store.users.put(kit.User("file@localhost", ("f@example.org",), from_config=True))
    assert await nodes(desk, kit, "eve@elsewhere.example/a") == []
    assert not {"register", "unregister"} & set(await nodes(desk, kit, "file@localhost/a"))
    for node, by in (("register", "eve@elsewhere.example/a"), ("unregister", f"{kit.JULIET}/a")):
        assert kit.error(await desk.command(node, by=by)) == ("cancel", "forbidden")

"""The core awaits its ports only: no event loop is needed, and none is loaded."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from gre_core.testing.fakes import run

if TYPE_CHECKING:
    from collections.abc import Generator

WITHOUT = ("asyncio", "selectors", "socket", "ssl", "slixmpp", "structlog", "trio", "anyio")
PROGRAM = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {WITHOUT!r}:
            raise ImportError(f"{{name}} is blocked")

sys.meta_path.insert(0, Blocked())

from gre_core import Message, Unopened
from gre_core.errors import PolicyChanged
from gre_core.testing.fakes import run
from gre_core.testing.scene import CONTACT, Scene
from gre_core.ports import refuse

scene = Scene(decide=refuse, encrypted_only=True)
try:
    scene.send("Hello")
except PolicyChanged as error:
    run(scene.client.approve(error.question))
scene.send("Hello")
assert scene.relay().recipients[0].legacy_id == "bob@example.com"
scene.confirm()
assert scene.deliver(scene.from_legacy("Hi")).message.text == "Hi"
assert scene.deliver(scene.carbon(scene.last)).message.text == "Hello"
run(scene.client.start_session())
assert run(scene.client.explain(CONTACT)).error is None
print("well", *sorted({{name.partition(".")[0] for name in sys.modules}} & set({WITHOUT!r})))
"""


def test_both_engines_run_where_no_event_loop_can_be_imported() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.split() == ["well"]


class Suspending:
    """Waits for something, as a future of an event loop does."""

    def __await__(self) -> Generator[object, None, None]:
        yield SimpleNamespace()


def test_the_runner_itself_notices_who_waits_for_a_loop() -> None:
    async def waiting() -> None:
        await Suspending()

    async def failing() -> None:
        raise KeyError

    async def well() -> int:
        return 5

    with pytest.raises(RuntimeError, match="event loop"):
        run(waiting())
    with pytest.raises(KeyError):
        run(failing())
    assert run(well()) == 5

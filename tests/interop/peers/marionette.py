"""The remote control of Mozilla's programs: JSON over a socket, each message with its length in front."""

from __future__ import annotations

import json
import socket
from typing import Any

_SCRIPT = """\
const done = arguments[arguments.length - 1];
const {{ name, order }} = arguments[0];
{script}
steps[name](order).then(value => done({{ value }}), error => done({{ error: `${{error}}\\n${{error.stack}}` }}));
"""


class Marionette:
    """A session with the rights of the program itself.

    Arguments:
        port: where the program listens.
        script: JavaScript that defines ``steps``, an object with asynchronous functions.
        seconds: for each step.
    """

    def __init__(self, port: int, script: str, seconds: float) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), seconds)
        self._file = self._socket.makefile("rb")
        self._script = _SCRIPT.format(script=script)
        self._seconds = seconds
        self._count = 0
        self._read()
        self.command("WebDriver:NewSession")
        self.command("Marionette:SetContext", value="chrome")

    def step(self, name: str, **order: object) -> Any:
        """Run one of the functions; give its result."""
        arguments = [{"name": name, "order": order}]
        milliseconds = int(self._seconds * 1000)
        answer = self.command(
            "WebDriver:ExecuteAsyncScript", script=self._script, args=arguments, scriptTimeout=milliseconds
        )["value"]
        assert "error" not in answer, answer["error"]
        return answer.get("value")

    def command(self, name: str, **parameters: object) -> Any:
        """Send a command; give the result."""
        self._count += 1
        message = json.dumps([0, self._count, name, parameters]).encode()
        self._socket.sendall(b"%d:%b" % (len(message), message))
        _, _, error, result = self._read()
        assert error is None, error
        return result

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()

    def _read(self) -> Any:
        length = b""
        while (digit := self._file.read(1)) not in {b":", b""}:
            length += digit
        return json.loads(self._file.read(int(length)))

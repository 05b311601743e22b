"""Thunderbird, without a screen: a message window and a compose window, driven from inside."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from peers.marionette import Marionette
from peers.outbox import Outbox
from peers.peer import SECONDS, Letter, Peer, Seen, Written

SCRIPT = Path(__file__).with_suffix(".js")
_OPTIONS = ("--headless", "--marionette", "--remote-allow-system-access", "--no-remote")
_ICON = "chrome://messenger/skin/icons/message-"
_PREFERENCES = """\
user_pref("marionette.port", 0);
user_pref("app.update.enabled", false);
user_pref("app.donation.eoy.version.viewed", 999);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("mail.provider.suppress_dialog_on_startup", true);
user_pref("mail.rights.override", true);
user_pref("mail.shell.checkDefaultClient", false);
user_pref("mail.spotlight.firstRunDone", true);
user_pref("mailnews.start_page.enabled", false);
user_pref("network.proxy.type", 1);
user_pref("network.proxy.socks", "127.0.0.1");
user_pref("network.proxy.socks_port", 1);
user_pref("mail.accountmanager.accounts", "account1");
user_pref("mail.accountmanager.localfoldersserver", "server1");
user_pref("mail.account.account1.server", "server1");
user_pref("mail.server.server1.type", "none");
user_pref("mail.server.server1.hostname", "Local Folders");
user_pref("mail.server.server1.name", "Local Folders");
user_pref("mail.server.server1.userName", "nobody");
user_pref("mail.server.server1.directory-rel", "[ProfD]Mail/Local Folders");
"""
"""No questions at the start, local folders, and no way into the network but to this machine."""


class Thunderbird(Peer):
    name = "Thunderbird"
    package = "apt-get install thunderbird"
    knows_mail = True

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.running = contextlib.ExitStack()

    def prepare(self) -> None:
        self.need("thunderbird")
        profile = self.home / "profile"
        profile.mkdir()
        (profile / "user.js").write_text(_PREFERENCES)
        self.outbox = Outbox()
        self.running.callback(self.outbox.stop)
        self._start(profile)
        self._version = self.marionette.step("ready")
        self._certificate = self.marionette.step("account", address=self.address, port=self.outbox.port)

    def _start(self, profile: Path) -> None:
        with (self.home / "log").open("wb") as log:
            process = subprocess.Popen(
                ["thunderbird", *_OPTIONS, "--profile", profile],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment(), start_new_session=True,
            )  # fmt: skip
        self.running.callback(_end, process)
        port = profile / "MarionetteActivePort"
        end = time.monotonic() + SECONDS
        while not (port.exists() and port.read_text()):
            assert process.poll() is None, (self.home / "log").read_text(errors="replace")
            assert time.monotonic() < end, (self.home / "log").read_text(errors="replace")
            time.sleep(0.05)
        self.marionette = Marionette(int(port.read_text()), SCRIPT.read_text(encoding="utf-8"), SECONDS)
        self.running.callback(self.marionette.close)

    def version(self) -> str:
        return str(self._version)

    def certificate(self) -> bytes:
        return str(self._certificate).encode()

    def learn(self, certificate: bytes, address: str) -> None:
        self.marionette.step("learn", certificate=base64.b64encode(certificate).decode(), address=address)

    def meet(self, mail: bytes, address: str) -> None:
        super().meet(mail, address)
        self.first = mail

    def open(self, mail: bytes) -> Seen:
        shown = self.marionette.step("read", mail=base64.b64encode(mail).decode())
        assert shown["encrypted"] == f"{_ICON}encrypted-ok.svg", shown["encrypted"]
        return Seen(
            "good" if shown["signed"] == f"{_ICON}signed-verified.svg" else shown["signed"],
            shown["signer"],
            shown["subject"],
            shown["text"].replace("\r\n", "\n").strip(),
            {name: base64.b64decode(content) for name, content in shown["files"].items()},
        )

    def write(self, letter: Letter, to: str, way: str) -> Written:
        """Answer the first mail."""
        paths = []
        for name, content in letter.files.items():
            (self.home / name).write_bytes(content)
            paths.append(str(self.home / name))
        mail = base64.b64encode(self.first).decode()
        words = {"subject": letter.subject, "text": letter.text}
        self.marionette.step("answer", mail=mail, address=self.address, paths=paths, **words)
        return Written(self.outbox.mails.get(timeout=SECONDS), letter.subject, letter.answers)

    def close(self) -> None:
        self.running.close()
        super().close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it with what it started: the command is a script on some systems."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

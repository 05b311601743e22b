"""Delta Chat: its core, as in its programs for telephones, with an IMAP and an SMTP server of its own."""

from __future__ import annotations

import base64
import contextlib
import imaplib
import re
import shutil
import socket
import subprocess
import sys
import time
from email import message_from_bytes
from pathlib import Path
from typing import Any

from deltachat_rpc_client import DeltaChat as Accounts
from deltachat_rpc_client import Rpc

from gre_core.testing import require
from gre_core.testing.ports import free_port
from peers.outbox import HOST, Outbox
from peers.peer import SECONDS, Letter, Peer, Seen, Written

PASSWORD = "password"
PROGRAMS = Path(sys.executable).parent


class DeltaChat(Peer):
    name = "Delta Chat"
    package = "the dependencies of the group dev"
    knows_mail = True

    most_files = 1

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.running = contextlib.ExitStack()

    def prepare(self) -> None:
        core = shutil.which("deltachat-rpc-server", path=PROGRAMS)
        pymap = shutil.which("pymap", path=PROGRAMS)
        require(core and pymap, f"{self.name} ({self.package})")
        assert core is not None
        assert pymap is not None
        self.outbox = Outbox()
        self.running.callback(self.outbox.stop)
        self._start_imap(pymap)
        self.rpc = Rpc(
            accounts_dir=str(self.home / "accounts"), rpc_server_path=core, stderr=subprocess.DEVNULL
        )
        self.rpc.start()
        self.running.callback(self.rpc.close)
        self.account = Accounts(self.rpc).add_account()
        self.account.set_config("displayname", "Olivia")
        login = {"addr": self.address, "password": PASSWORD}
        imap = {
            "imapServer": HOST,
            "imapPort": self.imap_port,
            "imapSecurity": "plain",
            "imapUser": self.address,
        }
        smtp = {
            "smtpServer": HOST,
            "smtpPort": self.outbox.port,
            "smtpSecurity": "plain",
            "smtpUser": self.address,
        }
        self.account.add_or_update_transport({**login, **imap, **smtp, "smtpPassword": PASSWORD})
        self.account.bring_online()

    def _start_imap(self, pymap: str) -> None:
        self.imap_port = free_port()
        options = ("--host", HOST, "--port", str(self.imap_port), "--no-tls", "--no-service", "admin")
        user = ("--demo-user", self.address, "--demo-password", PASSWORD)
        with (self.home / "imap.log").open("wb") as log:
            command = [pymap, *options, "dict", *user]
            server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.running.callback(server.wait, SECONDS)
        self.running.callback(server.terminate)
        self._wait_for_imap()

    def _wait_for_imap(self) -> None:
        end = time.monotonic() + SECONDS
        while True:
            try:
                socket.create_connection((HOST, self.imap_port)).close()
            except ConnectionRefusedError:
                assert time.monotonic() < end, (self.home / "imap.log").read_text()
                time.sleep(0.02)
            else:
                return

    def version(self) -> str:
        return str(self.account.get_info().deltachat_core_version).lstrip("v")

    def certificate(self) -> bytes:
        card = re.sub(r"\r?\n ", "", self.account.make_vcard([self.account.self_contact]))
        key = re.search(r"^KEY:data:application/pgp-keys;base64\\?,(\S+)", card, re.MULTILINE)
        assert key is not None
        return base64.b64decode(key[1])

    def put(self, mail: bytes) -> None:
        """Put a mail into the mailbox."""
        with imaplib.IMAP4(HOST, self.imap_port, timeout=SECONDS) as imap:
            imap.login(self.address, PASSWORD)
            done, said = imap.append("INBOX", "", "", mail)
            assert done == "OK", said

    def receive(self, mail: bytes) -> list[Any]:
        """Put a mail into the mailbox; give the messages that the program makes of it, in their order."""
        self.put(mail)
        self.last = str(message_from_bytes(mail)["Message-ID"]).strip("<>")
        message = self._wait_for_message(self.last)
        chat = message.get_snapshot().chat
        messages = [each.get_snapshot() for each in chat.get_messages() if self.id_of(each.id) == self.last]
        self.last_subject = messages[0].subject
        return messages

    def _wait_for_message(self, message_id: str) -> Any:
        events = self.rpc.get_queue(self.account.id)
        end = time.monotonic() + SECONDS
        while True:
            # An event without a message has none of these fields, or 0.
            number = events.get(timeout=max(0.0, end - time.monotonic())).get("msgId")
            if number and self.id_of(number) == message_id:
                return self.account.get_message_by_id(number)

    def id_of(self, number: int) -> str:
        """Give the Message-ID of a message in its database."""
        return str(self.rpc.get_message_info_object(self.account.id, number)["rfc724Mid"])

    def meet(self, mail: bytes, address: str) -> None:
        (message,) = self.receive(mail)
        self.chat = message.chat
        self.chat.accept()

    def open(self, mail: bytes) -> Seen:
        messages = self.receive(mail)
        # Each attachment becomes a message. The padlock means: encrypted, and signed by this contact's key.
        good = all(message.show_padlock for message in messages)
        contact = messages[0].sender.get_snapshot()
        known = self.rpc.get_contact_encryption_info(self.account.id, contact.id)
        lines = rf"{re.escape(contact.address)}\S*\n((?:[0-9A-F]{{4}}\s){{10}})"
        fingerprint = re.search(lines, f"{known}\n")
        subject = messages[0].subject
        return Seen(
            "good" if good else "no padlock",
            re.sub(r"\s", "", fingerprint[1]) if fingerprint else known,
            subject,
            messages[0].text.removeprefix(f"{subject} – ").rstrip(),
            {each.file_name: Path(each.file).read_bytes() for each in messages if each.file},
        )

    def write(self, letter: Letter, to: str, way: str) -> Written:
        ((name, content),) = letter.files.items()
        (self.home / "file").write_bytes(content)
        wanted = self.id_of(
            self.chat.send_message(letter.text, file=str(self.home / "file"), filename=name).id
        )
        # It also sends mails that nobody wrote: empty, unsigned confirmations that carry news of its key.
        while True:
            mail = self.outbox.mails.get(timeout=SECONDS)
            if str(message_from_bytes(mail)["Message-ID"]).strip("<>") == wanted:
                break
        # A chat has no subjects, and goes on from the last message.
        return Written(mail, f"Re: {self.last_subject}", self.last)

    def close(self) -> None:
        self.running.close()
        super().close()

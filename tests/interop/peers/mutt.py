"""Mutt and NeoMutt, in a terminal, with the keys that a user would press."""

from __future__ import annotations

import re
from email import message_from_bytes
from typing import ClassVar

from peers.gnupg import Keyring
from peers.peer import SECONDS, Letter, Seen, Written
from peers.table import DEFAULT
from peers.terminal import run_in_terminal

PROTECTED = "protected header"

_RC = """\
set folder="{home}" spoolfile="{home}/mbox" record="" postponed="{home}/drafts" tmpdir="{home}" mbox_type=mbox
set from="{address}" realname="Olivia" use_from=yes
set crypt_use_gpgme=yes crypt_autosign=yes crypt_autoencrypt=yes pgp_default_key="{address}"
set sendmail="{home}/sendmail" editor="cp '{home}/text'" fast_reply=yes include=no copy=no
set wait_key=no prompt_after=no move=no confirmappend=no delete=no quit=yes
"""
_SENDMAIL = """\
#!/bin/sh
cat > '{home}/sent'
"""


class Mutt(Keyring):
    name = "Mutt"
    package = "apt-get install mutt"
    program: ClassVar[str] = "mutt"
    knows_mail = True
    ways = (DEFAULT, PROTECTED)

    def prepare(self) -> None:
        self.need(self.program, "gpg")
        super().prepare()
        names = {"home": self.home, "address": self.address}
        (self.home / "rc").write_text(_RC.format(**names))
        sendmail = self.home / "sendmail"
        sendmail.write_text(_SENDMAIL.format(**names))
        sendmail.chmod(0o700)

    def version(self) -> str:
        first = self.run(self.program, "-v").stdout.partition(b"\n")[0].decode()
        return first.removeprefix("Neo").split()[1]

    def press(self, keys: str, *settings: str) -> None:
        """Start with the mailbox and press keys; the last ones have to end it."""
        commands = [word for setting in settings for word in ("-e", f"set {setting}")]
        command = [self.program, "-n", "-F", str(self.home / "rc"), *commands, "-e", f'push "{keys}<quit>"']
        run_in_terminal(command, self.environment(), self.home, SECONDS)

    def receive(self, mail: bytes) -> None:
        """Make a mail the only one of the mailbox."""
        lines = [b">" + line if line.startswith(b"From ") else line for line in mail.splitlines()]
        content = b"\n".join([b"From MAILER-DAEMON Thu Jan  1 00:00:00 2026", *lines, b"", b""])
        (self.home / "mbox").write_bytes(content)

    def meet(self, mail: bytes, address: str) -> None:
        super().meet(mail, address)
        self.first = mail
        listed = self.gpg("--with-colons", "--list-keys", address).stdout.decode()
        self.signers = {
            f"<{address}>": next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
        }

    def open(self, mail: bytes) -> Seen:
        self.receive(mail)
        self.press("<display-message>", f"pager=\"cat > '{self.home}/shown' <\"")
        shown = (self.home / "shown").read_text(encoding="utf-8")
        signature = re.search(r"\[-- Begin signature information --\]\n(.+)\n", shown)
        said = signature[1] if signature else "no signature"
        good, _, signer = said.partition(": ")
        protected = re.search(
            r"\n\[-- The following data is PGP/MIME signed and encrypted --\]\n\nSubject: (.*)\n", shown
        )
        text = shown.partition("\n[-- Attachment #1 --]\n")[2].partition("\n\n")[2].partition("\n[-- ")[0]
        return Seen(
            "good" if good == "Good signature from" else said,
            # It names a user id. Its keyring has one key with it.
            self.signers.get(signer, signer),
            protected[1] if protected else str(message_from_bytes(mail)["Subject"]),
            text.rstrip(),
            self._save(re.findall(r"^\[-- Attachment #\d+: (.*) --\]$", shown, re.MULTILINE)),
        )

    def _save(self, names: list[str]) -> dict[str, bytes]:
        """Save the attachments, which come in this order after the text."""
        targets = [self.home / f"saved-{number}" for number in range(len(names))]
        keys = [f"<next-entry><save-entry><kill-line>{target}<enter>" for target in targets]
        for target in targets:
            target.unlink(missing_ok=True)
        self.press(f"<view-attachments>{''.join(keys)}<exit>")
        return {name: target.read_bytes() for name, target in zip(names, targets, strict=True)}

    def write(self, letter: Letter, to: str, way: str) -> Written:
        """Answer the first mail."""
        self.receive(self.first)
        (self.home / "text").write_text(letter.text + "\n")
        sent = self.home / "sent"
        sent.unlink(missing_ok=True)
        keys = f"<reply><edit-subject><kill-line>{letter.subject}<enter>"
        for number, (name, content) in enumerate(letter.files.items()):
            source = self.home / f"file-{number}"
            source.write_bytes(content)
            # A space alone would complete the name of a file.
            quoted = name.replace(" ", "<quote-char> ")
            keys += f"<attach-file>{source}<enter><rename-attachment><kill-line>{quoted}<enter>"
        self.press(
            f"{keys}<send-message>", *(["crypt_protected_headers_write=yes"] if way == PROTECTED else [])
        )
        mail = sent.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        return Written(mail, letter.subject, letter.answers)


class NeoMutt(Mutt):
    name = "NeoMutt"
    package = "apt-get install neomutt"
    program = "neomutt"

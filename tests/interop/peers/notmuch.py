"""notmuch: an index of mail with programs around it. It reads; other programs send."""

from __future__ import annotations

import json
from email import message_from_bytes
from typing import TYPE_CHECKING, Any

from peers.gnupg import Keyring
from peers.peer import Seen

if TYPE_CHECKING:
    from collections.abc import Iterator


class Notmuch(Keyring):
    name = "notmuch"
    package = "apt-get install notmuch"
    knows_mail = True

    def prepare(self) -> None:
        self.need("notmuch", "gpg")
        super().prepare()
        for folder in ("cur", "new", "tmp"):
            (self.home / "mail" / folder).mkdir(parents=True)
        (self.home / ".notmuch-config").write_text(
            f"[database]\npath={self.home}/mail\n[user]\nname=Olivia\nprimary_email={self.address}\n"
        )

    def version(self) -> str:
        return self.run("notmuch", "--version").stdout.split()[1].decode()

    def open(self, mail: bytes) -> Seen:
        name = message_from_bytes(mail)["Message-ID"].strip("<>")
        (self.home / "mail/new" / name).write_bytes(mail)
        self.run("notmuch", "new", "--quiet")
        query = f"id:{name}"
        shown = self.run(
            "notmuch", "show", "--decrypt=true", "--format=json", "--entire-thread=false", query
        ).stdout
        ((((message, _),),),) = (json.loads(shown),)
        (root,) = message["body"]
        signatures = root.get("sigstatus", [])
        assert not signatures or "Subject" in message["crypto"]["signed"]["headers"]
        text, files = "", {}
        for part in _leaves(root):
            if "filename" in part:
                wanted = f"--part={part['id']}"
                content = self.run("notmuch", "show", "--decrypt=true", "--format=raw", wanted, query).stdout
                files[part["filename"]] = content
            elif part["content-type"] == "text/plain":
                text = part["content"].rstrip()
        good = [each for each in signatures if each["status"] == "good"]
        only = len(good) == len(signatures) == 1
        return Seen(
            "good" if only else str(signatures),
            good[0]["fingerprint"] if only else "",
            message["headers"]["Subject"],
            text,
            files,
        )


def _leaves(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    content = part.get("content")
    if isinstance(content, list):
        for each in content:
            yield from _leaves(each)
    else:
        yield part

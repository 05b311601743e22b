"""How the kit compares the message that came back with the one that was written."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from gre_core.model import Attachment, DataForm, Message, SealJob
from gre_core.namespaces import encrypter, formatter
from gre_core.testing.conformance.formatters.comparing import differences

SHOWN = Attachment.from_bytes("0.txt", "text/plain", b"", inline=True, content_id="0@example.org")
FILE = replace(SHOWN, inline=False, content_id=None)


@pytest.mark.parametrize("files", [(FILE, SHOWN), (SHOWN, FILE)], ids=["after", "before"])
def test_of_two_files_with_one_name_the_one_inside_html_may_come_first(
    files: tuple[Attachment, ...],
) -> None:
    wanted = Message("a", "<p>a</p>", attachments=files)
    read = replace(wanted, attachments=(SHOWN, FILE))
    job = SealJob(
        account="juliet@capulet.example",
        recipients=(),
        data=DataForm("juliet@example.org"),
        formatter=formatter("mime"),
        encrypter=encrypter("openpgp"),
        origin_id="1",
        date=datetime(2026, 11, 23, tzinfo=UTC),
    )
    about = frozenset({"html", "attachments", "inline"})
    assert list(differences(wanted, read, job, about)) == []
    assert list(differences(wanted, replace(read, attachments=(FILE, FILE)), job, about)) != []

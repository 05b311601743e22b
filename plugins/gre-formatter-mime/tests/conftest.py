"""What the tests of the MIME formatter share."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gre_formatter_mime.formatter import MimeFormatter

from gre_core.api import DataForm, Direction, OpenJob, Recipient, SealJob, encrypter, formatter

MIME = formatter("mime", 0)
OPENPGP = encrypter("openpgp", 0)


@pytest.fixture(scope="session")
def mime() -> MimeFormatter:
    return MimeFormatter()


@pytest.fixture(scope="session")
def seal_job() -> SealJob:
    return SealJob(
        account="romeo@montague.example",
        recipients=(Recipient(r"juliet\40capulet.example@mail.montague.example", "juliet@capulet.example"),),
        data=DataForm("romeo@mail.montague.example"),
        formatter=MIME,
        encrypter=OPENPGP,
        origin_id="5d2f6c1a9a0e4b57",
        date=datetime(2026, 11, 23, 17, 4, 9, tzinfo=UTC),
    )


@pytest.fixture(scope="session")
def open_job() -> OpenJob:
    return OpenJob(
        account="romeo@montague.example",
        peer=r"juliet\40capulet.example@mail.montague.example",
        direction=Direction.RECEIVED,
        formatter=MIME,
        encrypter=OPENPGP,
    )


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder with the mails of other projects: beside the repository, or what GRE_CORPORA says."""
    beside = Path(__file__).parents[3].parent / "shared" / "corpora"
    return Path(os.environ.get("GRE_CORPORA", beside))

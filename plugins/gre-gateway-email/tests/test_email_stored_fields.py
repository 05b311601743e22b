"""docs/reference/email-gateway-data.md names every column that is stored, and no other."""

import re
from pathlib import Path

from gre_gateway_email.store.schema import metadata

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "email-gateway-data.md"


def test_every_stored_column_is_documented_with_a_reason_and_a_time():
    rows = re.findall(r"^\| `(\w+\.\w+)` \| (.+?) \| (.+?) \|$", PAGE.read_text(), re.MULTILINE)
    stored = [f"{table.name}.{column.name}" for table in metadata.tables.values() for column in table.columns]
    assert sorted(name for name, _, _ in rows) == sorted([*stored, "alembic_version.version_num"])


def test_the_page_says_what_outlives_forget():
    assert "outlive it" in PAGE.read_text()

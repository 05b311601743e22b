"""Tests that need a program of the machine: skip on a desk, fail in CI."""

from __future__ import annotations

import os


def require(condition: object, what: str) -> None:
    """Go on when ``condition`` is true; otherwise skip the running test, or fail it when ``CI`` is set.

    Example::

        require(shutil.which("prosody"), "Prosody (apt-get install prosody)")

    Args:
        condition: anything; its truth decides.
        what: what is missing and how to get it, for the reader of the report.
    """
    if condition:
        return
    import pytest  # noqa: PLC0415 - demonstrations come without pytest

    if os.environ.get("CI"):
        pytest.fail(f"needed in CI: {what}", pytrace=False)
    pytest.skip(f"needs {what}")

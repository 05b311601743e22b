"""Dates of header fields (RFC 5322, section 3.3)."""

from __future__ import annotations

from email.utils import format_datetime
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_formatted = lru_cache(maxsize=16)(format_datetime)


def date_time(moment: datetime) -> str:
    """Write a moment. The mails of one second, of which there are many under load, have it made once."""
    return _formatted(moment.replace(microsecond=0))

"""How long to wait before the next try."""

from __future__ import annotations

from random import uniform
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gre_gateway_email.config import Retry

_DOUBLINGS: Final = 30


def pause(retry: Retry, attempts: int) -> float:
    """Give the pause after a failed try, in seconds: it doubles, up to the longest one, and varies by a quarter.

    Arguments:
        retry: the bounds.
        attempts: how many tries failed before this one.
    """
    seconds = min(retry.first * 2.0 ** min(attempts, _DOUBLINGS), retry.longest)
    return seconds * uniform(0.75, 1.25)  # noqa: S311 - jitter, no secret

"""Gateways: tells clients the keys of people on the network, from a file of the operator. It holds no crypto.

Each line of the file that ``GRE_AGE_DIRECTORY`` names is an address and a recipient, with a space between.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gre_core.api import DataField, encrypter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gre_core.api import DataRequest

NAMESPACE: Final = encrypter("age", 0)
FIELD: Final = "recipients"
FILE: Final = "GRE_AGE_DIRECTORY"
RECIPIENT: Final = re.compile(r"age1[a-z0-9]{20,100}")


class Directory:
    """The contributor.

    Arguments:
        known: recipients by address.
    """

    def __init__(self, known: Mapping[str, tuple[str, ...]]) -> None:
        self._known = known

    @classmethod
    def of_the_operator(cls) -> Directory:
        """Read the operator's file, when there is one."""
        place = os.environ.get(FILE)
        known: dict[str, tuple[str, ...]] = {}
        for line in Path(place).read_text("utf-8").splitlines() if place else ():
            address, _, recipient = line.strip().partition(" ")
            if RECIPIENT.fullmatch(recipient):
                known[address] = (*known.get(address, ()), recipient)
        return cls(known)

    async def fields(self, request: DataRequest, /) -> Iterable[DataField]:
        """Give the recipients of the contact; none when the pair is not ours, or nothing is known."""
        if request.encrypter not in {None, NAMESPACE}:
            return ()
        found = self._known.get(request.legacy_id, ())
        return [DataField(str(NAMESPACE), FIELD, found)] if found else ()

"""What contributors add to the data form (GRE, "Relayed Encryption Data"): guarded, checked and bounded."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from gre_core import wire
from gre_core.errors import GreError
from gre_core.log import get_logger
from gre_core.model import DataField
from gre_core.xml_text import is_legal

if TYPE_CHECKING:
    from gre_core.api import DataContributor, DataProvider
    from gre_core.model import DataRequest

MAX_FIELDS: Final = 32
"""How many fields one contributor gives at most."""

MAX_VALUE: Final = 8192
"""How many characters the values of one field have at most."""

_log = get_logger(__name__)


async def contribution(
    provider: DataProvider, contributor: DataContributor, request: DataRequest
) -> dict[str, tuple[str, ...]]:
    """Give the fields of one contributor; none when it fails: the request is answered without them.

    Raises:
        GreError: raised by the contributor, to be answered as a stanza error.
    """
    try:
        fields = list(islice(await contributor.fields(request), MAX_FIELDS + 1))
        _require_few(fields)
        for entry in fields:
            _check_field(provider, entry)
    except GreError:
        raise
    except Exception as error:  # noqa: BLE001 - a plugin must not leave the request unanswered
        _log.warning("contributor-failed", namespace=provider.namespace, error_type=type(error).__name__)
        return {}
    return {entry.var: entry.values for entry in fields}


def _require_few(fields: list[DataField]) -> None:
    if len(fields) > MAX_FIELDS:
        msg = f"a contributor gives at most {MAX_FIELDS} fields"
        raise ValueError(msg)


def _check_field(provider: DataProvider, entry: object) -> None:
    if not isinstance(entry, DataField) or entry.namespace != provider.namespace:
        msg = "a contributor gives DataField values in the namespace of its provider"
        raise TypeError(msg)
    if not wire.is_clark(entry.var) or not all(isinstance(value, str) for value in entry.values):
        msg = "a data field has a name in Clark notation and strings as values"
        raise TypeError(msg)
    if not all(map(is_legal, entry.values)):
        msg = "a data field has a character that XML forbids"
        raise ValueError(msg)
    if sum(map(len, entry.values)) > MAX_VALUE or len(entry.values) > wire.MAX_VALUES:
        msg = "a data field is too large"
        raise ValueError(msg)

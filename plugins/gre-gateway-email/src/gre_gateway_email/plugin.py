"""The plugin of the group ``gre.v1``: nothing, until a gateway with a configuration runs.

What this gateway adds to the data form depends on its configuration, so :mod:`gre_gateway_email.app` hands
its providers over as objects. The entry point is there so that ``gre doctor`` sees the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_core.api import DataProvider, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable


@hookimpl
def gre_data_fields() -> Iterable[DataProvider]:
    """Give no contributor (see above)."""
    return ()

"""What a caller of the store may have to know apart."""

from __future__ import annotations

from gre_core.errors import GreError, StoreError


class AddressTaken(GreError):
    """A mail address belongs to another user.

    Attributes:
        address: the mail address.
    """

    code = "address-taken"

    def __init__(self, address: str) -> None:
        super().__init__("The mail address belongs to another user. Choose another one.")
        self.address = address


class NoRoom(StoreError):
    """The disk of the database is full."""

    code = "store-full"


class NotStorable(StoreError):
    """A value does not fit into its column. It alone is refused, not what is stored at the same time."""

"""What a reader of a message should know of how it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gre_core.api import Notice

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_FIELDS: Final = Notice(
    "no-inner-header",
    "The encryption holds a text without a header: who wrote it to whom, when and about what is not protected.",
)
UNSIGNED_FIELDS: Final = Notice(
    "unsigned-fields",
    "The header inside the encryption stands outside the signed part. Only its subject is shown, which nobody signed.",
)
PARTLY_SIGNED: Final = Notice(
    "partly-signed",
    "A part of this message has a signature of its own, which is not judged. You find it as a file.",
)
SMIME: Final = Notice(
    "smime-inside",
    "The message holds an S/MIME part (signed or encrypted a second time), which is not judged or opened.",
)
ENCRYPTED_INSIDE: Final = Notice(
    "encrypted-inside",
    "The message holds a part that is encrypted a second time. It is not opened; you find it as a file.",
)
READ_RECEIPT: Final = Notice(
    "read-receipt",
    "The sender's program wrote this by itself: it says that a message of yours was shown to somebody",
)
REMOTE_CONTENT: Final = Notice(
    "remote-content",
    "The HTML of this message would load something from the network, which tells somebody that you read it, and "
    "can carry away what it says. Show the text, or the HTML without anything from outside.",
)
SEVERAL_SENDERS: Final = Notice(
    "several-senders",
    "The message names several senders. Only the first of them is compared with who sent it.",
)
UNREADABLE_SENDER: Final = Notice(
    "unreadable-sender",
    "The message names a sender that is no address, so it cannot be compared with who sent it.",
)


def repeated_fields(names: Sequence[str]) -> Notice:
    """Tell of fields that stand there twice, of which the first counts (RFC 5322, section 3.6, allows one)."""
    listed = ", ".join(names)
    return Notice(
        "repeated-fields",
        f"The message has more than one of these fields, of which the first counts: {listed}. "
        "Other programs may show another one.",
        {"fields": listed},
    )

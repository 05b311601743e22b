"""The only place that calls pysequoia on messages. It turns what happens there into our errors.

Measured facts about pysequoia 0.1.35 that this module stands on, each with a test that pins it:

- it reports a failed verification, no signature, and an unknown signer by the same text; which one it was shows in
  the key ids that the ``store`` callback is asked for;
- it cannot verify compressed messages ("Unexpected message structure"), and not read BZIP2 at all ("Malformed");
  such messages are unwrapped first, and then verified;
- a panic is a ``BaseException``, and poisons the decryptor that was in use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import pysequoia
from gre_openpgp.encrypting.engine import Judged, LibraryFailed, first_line
from gre_openpgp.encrypting.unwrap import unwrap
from gre_openpgp.messages import check_message

from gre_core.errors import DecryptFailed, NotForUs
from gre_encrypter_openpgp.shapes import Unreadable

if TYPE_CHECKING:
    from mmap import mmap

    from gre_openpgp.encrypting.engine import Secret
    from gre_openpgp.messages import CheckedMessage

    from gre_core.errors import GreError

Store = Callable[[list[str]], list[pysequoia.Cert]]

SMALL: Final = 1 << 20
"""Up to this much is decrypted here, in bytes: Sequoia reads longer ones with fewer copies."""

NO_VALID_SIGNATURE: Final = "Signature verification failed: no valid signatures found."
UNEXPECTED_STRUCTURE: Final = "Unexpected message structure"
NO_KEY: Final = "No key to decrypt message"
NO_SESSION_KEY: Final = "Missing session key"
MALFORMED: Final = "Malformed Message"
OLD_CIPHER: Final = "Policy rejected symmetric encryption algorithm"


def is_panic(error: BaseException) -> bool:
    """Tell whether this is pyo3's PanicException, which has no importable name."""
    return type(error).__name__ == "PanicException"


def guard_panic(error: BaseException) -> None:
    """Raise :class:`LibraryFailed` for a panic; let go its way what says nothing of the message: a want of memory."""
    if is_panic(error):
        raise LibraryFailed("The OpenPGP library failed. Please report how it came to that") from None
    if not isinstance(error, Exception) or isinstance(error, MemoryError):
        raise error


def decrypt(
    message: bytes,
    decryptors: Sequence[pysequoia.PyDecryptor],
    certs: Mapping[str, pysequoia.Cert],
    secrets: Sequence[Secret] = (),
    *,
    bounded: bool = False,
) -> Judged:
    """Decrypt a message that passed the pre-check, and judge its signatures.

    Arguments:
        message: binary.
        decryptors: tried in order.
        certs: the certs that may have signed, by fingerprint and key id of each of their keys, in lower-case
            hex.
        secrets: the same keys as the decryptors, as bytes: what Sequoia cannot verify is unwrapped with them.
        bounded: let Sequoia see nothing that is compressed, since it decompresses without a limit. For use in a process
            that has no limit of memory.

    Raises:
        NotForUs: none of the decryptors opens it, and it names none of the keys.
        DecryptFailed: damaged or forged.
        LibraryFailed: see there.
    """

    def run(decryptor: pysequoia.PyDecryptor, store: Store | None) -> pysequoia.Decrypted:
        return pysequoia.decrypt(message, decryptor, store)

    judged: Judged | None = None
    try:
        if bounded:
            checked = check_message(message)
            if len(message) <= SMALL:
                judged = _read_small(message, checked, secrets, certs)
            if judged is None:
                refuse_expanding(message, checked, secrets)
        judged = judged or judge(run, decryptors, certs)
    except Unreadable:
        judged = open_unreadable(message, certs, secrets)
    except NotForUs:
        raise not_opened(check_message(message), secrets) from None
    return judged


def _read_small(
    message: bytes, checked: CheckedMessage, secrets: Sequence[Secret], certs: Mapping[str, pysequoia.Cert]
) -> Judged | None:
    """Open the usual small message at once: our decryption, Sequoia's judgement of the signed message inside.

    To see that nothing inside expands costs an operation with our key, and Sequoia's decryption would cost another
    one. Only a message with a valid signature is settled here; None sends every other one the way that tells what is
    wrong with it.

    Raises:
        Unreadable: what is inside is compressed, or no message.
    """
    from gre_encrypter_openpgp.shapes import open_signed  # noqa: PLC0415 - loads much that a host may not need

    packets = open_signed(message, checked, secrets)
    if packets is None:
        return None
    asked: list[str] = []
    try:
        result = pysequoia.verify(packets, store_of(certs, asked))
    except BaseException as error:  # noqa: BLE001 - a panic is no Exception
        guard_panic(error)
        return None
    signers = signers_of(result)
    return Judged(result.bytes, signers, tuple(asked)) if signers and result.bytes is not None else None


def refuse_expanding(data: bytes | mmap, checked: CheckedMessage, secrets: Sequence[Secret]) -> None:
    """Raise :class:`Unreadable` for a message that Sequoia would decompress."""
    from gre_encrypter_openpgp.shapes import is_expanding  # noqa: PLC0415 - loads much that a host may not need

    if is_expanding(data, checked, secrets):
        raise Unreadable


def open_unreadable(message: bytes, certs: Mapping[str, pysequoia.Cert], secrets: Sequence[Secret]) -> Judged:
    """Open a message that Sequoia does not judge: unwrap it, then let Sequoia judge; see :func:`decrypt`."""
    from gre_openpgp.encrypting.opening import open_message  # noqa: PLC0415 - few messages need it

    content, signatures = unwrap(open_message(message, secrets))
    return Judged(content, *verify(content, signatures, certs))


def not_opened(checked: CheckedMessage, secrets: Sequence[Secret]) -> GreError:
    """See :func:`gre_openpgp.encrypting.opening.unopened`."""
    from gre_openpgp.encrypting.opening import unopened  # noqa: PLC0415 - few messages need it

    return unopened(checked, secrets)


def judge(
    run: Callable[[pysequoia.PyDecryptor, Store | None], pysequoia.Decrypted],
    decryptors: Sequence[pysequoia.PyDecryptor],
    certs: Mapping[str, pysequoia.Cert],
) -> Judged:
    """Run a decryption with each decryptor until one fits; see :func:`decrypt`.

    Raises:
        Unreadable: it was decrypted, but the form is one that pysequoia does not judge.
        NotForUs: none of them fits; see :func:`not_opened`.
    """
    for decryptor in decryptors:
        asked: list[str] = []
        try:
            result = run(decryptor, store_of(certs, asked))
            return Judged(result.bytes or b"", signers_of(result), tuple(asked))
        except BaseException as error:  # noqa: BLE001 - a panic is no Exception
            guard_panic(error)
            reason = first_line(error)
        if reason == NO_KEY or reason.startswith(NO_SESSION_KEY):
            continue
        if reason == UNEXPECTED_STRUCTURE or reason.startswith(MALFORMED):
            raise Unreadable(reason)
        if reason != NO_VALID_SIGNATURE:
            raise _failed(reason)
        return Judged(_unverified(run, decryptor), (), tuple(asked))
    raise NotForUs("No decryptor opens the message")


def verify(
    content: bytes, signatures: Sequence[bytes], certs: Mapping[str, pysequoia.Cert]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Judge signatures over a content, each for itself.

    Arguments:
        content: what they should cover, and nothing else.
        signatures: one packet each.
        certs: see :func:`decrypt`.

    Returns:
        ``signers`` and ``asked`` of :class:`Judged`. A signature that Sequoia cannot read counts for nothing.

    Raises:
        LibraryFailed: see there.
    """
    asked: list[str] = []
    signers: list[str] = []
    for signature in signatures:
        try:
            parsed = pysequoia.Sig.from_bytes(signature)
            signers += signers_of(pysequoia.verify(content, store_of(certs, asked), signature=parsed))
        except BaseException as error:  # noqa: BLE001 - a panic is no Exception
            guard_panic(error)
    return tuple(dict.fromkeys(signers)), tuple(dict.fromkeys(asked))


def store_of(certs: Mapping[str, pysequoia.Cert], asked: list[str]) -> Store:
    """Make the callback that gives pysequoia certs; what it asks for goes into ``asked``."""

    def store(ids: list[str]) -> list[pysequoia.Cert]:
        asked.extend(ids)
        return [certs[key] for key in ids if key in certs]

    return store


def signers_of(result: pysequoia.Decrypted) -> tuple[str, ...]:
    """Give the fingerprints of the certs with a valid signature, each once."""
    return tuple(dict.fromkeys(sig.certificate for sig in result.valid_sigs))


def _unverified(
    run: Callable[[pysequoia.PyDecryptor, Store | None], pysequoia.Decrypted],
    decryptor: pysequoia.PyDecryptor,
) -> bytes:
    """Decrypt once more without verification: pysequoia gives no text when nothing was verified."""
    try:
        result = run(decryptor, None)
    except BaseException as error:  # noqa: BLE001
        guard_panic(error)
        raise _failed(first_line(error)) from None
    return result.bytes or b""


def _failed(reason: str) -> DecryptFailed:
    """Tell our own user what happened; nothing of it reaches a peer."""
    if reason.startswith(OLD_CIPHER):
        return DecryptFailed(
            "The message is encrypted with an outdated cipher, and was not opened. Ask the sender to use AES (GnuPG: "
            "--cipher-algo AES256)"
        )
    return DecryptFailed(
        "The message is damaged or was changed on its way. Ask the sender to send it again",
        reason=reason[:200],
    )

"""What the signatures of a message prove."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gre_core.model import Direction, Opened, Signature, Verdict
from gre_openpgp.user_ids import is_bound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gre_core.model import Notice, OpenJob
    from gre_openpgp.encrypting.engine import Judged, ParsedCert

SOURCE = "xep-0373"
OWN_SOURCE = "own"


def opened(
    judged: Judged,
    job: OpenJob,
    theirs: tuple[ParsedCert, ...],
    ours: frozenset[str],
    certs: Mapping[str, object],
    warnings: tuple[Notice, ...] = (),
) -> Opened:
    """Give the verdict on a decrypted message.

    Arguments:
        judged: what the library found.
        job: who should have signed.
        theirs: the contact's accepted keys.
        ours: fingerprints of our own keys, in upper-case hex.
        certs: all certs that were at hand, by lower-case fingerprint and key id.
        warnings: to be passed on.
    """
    signers = tuple(name.upper() for name in judged.signers)
    missing: tuple[str, ...] = ()
    if signers:
        verdict = _signed(signers, job, theirs, ours)
    elif not judged.asked:
        verdict = Verdict(Signature.UNSIGNED, detail="The message is not signed: anybody may have written it")
    else:
        missing = tuple(name.upper() for name in judged.asked if name not in certs)
        verdict = _unproven(tuple(name.upper() for name in judged.asked), missing)
    return Opened(judged.payload, verdict, signers, missing, warnings)


def _signed(
    signers: tuple[str, ...], job: OpenJob, theirs: tuple[ParsedCert, ...], ours: frozenset[str]
) -> Verdict:
    """Judge valid signatures: one by the expected sender is enough."""
    mine = next((name for name in signers if name in ours), None)
    if job.direction is Direction.SENT:
        if mine is not None:
            return Verdict(Signature.GOOD, mine, OWN_SOURCE)
        return Verdict(
            Signature.WRONG_SIGNER, signers[0], detail="A copy of your own message is signed by another key"
        )
    named: str | None = None
    for cert in theirs:
        if cert.key.fingerprint not in signers:
            continue
        if job.expected_sender is None or is_bound(cert.user_ids, job.expected_sender):
            return Verdict(Signature.GOOD, cert.key.fingerprint, SOURCE)
        named = ", ".join(cert.user_ids) or "nobody"
    if mine is not None:
        detail = f"The message bears your own signature, but claims to be from {job.peer}"
        return Verdict(Signature.REFLECTED, mine, OWN_SOURCE, detail)
    detail = f"The message is signed by {named or 'somebody else'}, not by {job.expected_sender or job.peer}"
    return Verdict(Signature.WRONG_SIGNER, signers[0], SOURCE if named else None, detail)


def _unproven(asked: tuple[str, ...], missing: tuple[str, ...]) -> Verdict:
    if missing:
        return Verdict(
            Signature.UNKNOWN_SIGNER,
            missing[0],
            detail=f"The message is signed by the key {missing[0]}, which the sender does not announce",
        )
    return Verdict(
        Signature.BAD,
        asked[0],
        SOURCE,
        f"The signature by {asked[0]} is not valid: forged, made with a weak hash, or by an expired or "
        f"revoked key",
    )

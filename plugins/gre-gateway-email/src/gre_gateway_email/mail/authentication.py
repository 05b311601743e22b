"""What the operator's own mail server found out about who sent a mail (Authentication-Results, RFC 8601).

::

    proved = authenticated_domains(mail, "mx.example.org")
    if is_aligned("bob@example.net", proved):
        ...  # DKIM or DMARC passed for the domain of that address

Only the topmost field with exactly the configured authserv-id counts, and only above the second Received field: what
stands below was there before the own server took the mail. A sender can write such a field, too: the server has to
remove it (RFC 8601, section 5; the README shows how). What the verifier itself said to us needs no such care.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from gre_gateway_email.mail import mime_scan
from gre_gateway_email.mail.addresses import ascii_domain, domain_of
from gre_gateway_email.mail.mime_scan import Entity, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_FIELD: Final = 4096
"""Longest field that is read, in characters."""

MAX_COMMENTS: Final = 100
"""Most parentheses in a field: the library reads nested ones by recursion."""

MIN_LABELS: Final = 2

_FIELD: Final = "authentication-results"
_OWN_HOPS: Final = 1


def authenticated_domains(mail: bytes | Entity, authserv_id: str | None) -> frozenset[str]:
    """Give the domains that vouch for a mail: those of good DKIM signatures, and of From when DMARC passed.

    Arguments:
        mail: a raw mail, which may be hostile, or one that is read already.
        authserv_id: the name under which the own mail server writes such fields, or None: then nothing counts.

    Returns:
        Domains in lower case and ASCII; none when anything is not understood.
    """
    if authserv_id is None:
        return frozenset()
    try:
        header = mime_scan.read(mail) if isinstance(mail, bytes) else mail
    except Unreadable:
        return frozenset()
    return vouching_domains(_own_fields(header, authserv_id), authserv_id)


def vouching_domains(values: Iterable[str], authserv_id: str | None) -> frozenset[str]:
    """Give the domains that vouch for a mail by what the own verifier said.

    Arguments:
        values: of Authentication-Results.
        authserv_id: has to stand in them; None: whatever the verifier calls itself.
    """
    return frozenset(
        domain
        for value in values
        for domain in _passed(value, authserv_id)
        if domain.count(".") + 1 >= MIN_LABELS
    )


def is_aligned(address: str, proved: frozenset[str]) -> bool:
    """Tell whether one of the domains vouches for an address: its own domain, or one above it.

    This is stricter than relaxed alignment (RFC 7489, section 3.1.1), which needs the public suffix list: a
    signature of ``mail.example.org`` says nothing about ``example.org`` here, because ``evil.hosting.example`` must
    not speak for ``hosting.example``.
    """
    domain = _plain(domain_of(address))
    return bool(domain) and any(domain == each or domain.endswith(f".{each}") for each in proved)


def _own_fields(header: Entity, authserv_id: str) -> list[str]:
    hops = 0
    for name, value in header.fields:
        hops += name == "received"
        if hops > _OWN_HOPS:
            break
        if name == _FIELD and _names(value, authserv_id):
            return [value]
    return []


def _names(value: str, authserv_id: str) -> bool:
    """Tell whether a field names the own server, in the one form that verifiers write and mail servers can filter.

    A comment or quotes before the name are legal, and would let a forged field past a filter that looks for the name.
    """
    words = value[:MAX_FIELD].partition(";")[0].split()
    return bool(words) and words[0].lower() == authserv_id.lower()


def _passed(value: str, authserv_id: str | None) -> Iterator[str]:
    if len(value) > MAX_FIELD or value.count("(") > MAX_COMMENTS:
        return
    results = _parse(value)
    if results is None:
        return
    if authserv_id is not None and str(results.authserv_id).lower() != authserv_id.lower():
        return
    for result in results.results:
        if str(result.result).lower() != "pass" or str(result.version or "1") != "1":
            continue
        said = {f"{each.type}.{each.name}".lower(): str(each.value) for each in result.properties}
        if result.method == "dkim":
            yield _plain(said.get("header.d") or domain_of(said.get("header.i", "")))
        elif result.method == "dmarc":
            yield _plain(said.get("header.from", "").rpartition("@")[2])


def _parse(value: str) -> Any:
    import authres  # noqa: PLC0415 - only with a configured authserv-id

    try:
        return cast("Any", authres).AuthenticationResultsHeader.parse(f"Authentication-Results: {value}")
    except (ValueError, SyntaxError, TypeError, AttributeError, IndexError, KeyError):
        return None
    except cast("Any", authres).AuthResError:
        return None


def _plain(domain: str) -> str:
    try:
        return ascii_domain(domain.strip().rstrip(".")).lower()
    except UnicodeError:
        return ""

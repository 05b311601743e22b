"""Errors on their way out of a worker process: a code of this table and a text, never an object."""

from __future__ import annotations

import json
from typing import Any, Final

from gre_core import errors
from gre_core.xml_text import clean

_TEXT: Final = 2000
_PARAMS: Final = 16
_LONGEST: Final = 128 << 10

# Those that are made of a text alone, and that a function on bytes can have reason to raise.
_KINDS: Final = {
    kind.code: kind
    for kind in (
        errors.NotForUs,
        errors.DecryptFailed,
        errors.ParseFailed,
        errors.OpenError,
        errors.FormatFailed,
        errors.NoUsableKey,
        errors.EncryptFailed,
        errors.SealError,
        errors.BadEncrypted,
        errors.WorkerFailed,
    )
}


def tell_failure(error: errors.GreError) -> bytes:
    """Write an error of ours for the host; the codes are its own and those that it derives from."""
    codes = [code for kind in type(error).__mro__ if (code := getattr(kind, "code", None))]
    plain = {
        str(key): value if isinstance(value, int) else value[:_TEXT]
        for key, value in list(error.params.items())[:_PARAMS]
        if isinstance(value, int | str)
    }
    return json.dumps({"codes": codes, "text": error.text[:_TEXT], "params": plain}).encode()


def read_failure(data: bytes) -> errors.GreError:
    """Make the error that a worker told of; of an unknown kind, the nearest that is known.

    Whatever the data are, an error comes out: the process may have been taken over.
    """
    try:
        told: dict[str, Any] = json.loads(data) if len(data) <= _LONGEST else {}
        codes, text, params = told["codes"], told["text"], told["params"]
        kind = next((_KINDS[code] for code in codes if code in _KINDS), errors.GreError)
        plain = {
            clean(key): clean(value) if isinstance(value, str) else value
            for key, value in params.items()
            if isinstance(value, int | str)
        }
        return kind(clean(text[:_TEXT]), **plain)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return errors.WorkerFailed("The worker process gave an error that cannot be read")

"""The bounds of this formatter, in one place. Sizes are in bytes unless a name says otherwise."""

from __future__ import annotations

from typing import Final

# -- reading ---------------------------------------------------------------------------------------

MAX_PAYLOAD: Final = 256 << 20
"""Largest payload that is parsed in memory."""

MAX_STREAM: Final = 8 << 30
"""Largest payload that is parsed from a stream; attachments of it are not held in memory."""

MAX_DEPTH: Final = 30
"""How deep multiparts may be nested."""

MAX_PARTS: Final = 1000
"""How many parts a payload may have, multiparts included."""

MAX_FALSE_DELIMITERS: Final = 10_000
"""How many lines of one multipart may begin like its delimiter without being it."""

MAX_HEADER: Final = 512 << 10
"""Largest header section of one part."""

MAX_HEADER_FIELDS: Final = 2000
"""How many fields one header section may have."""

MAX_VALUE: Final = 64 << 10
"""How many characters of one header field are looked at; what follows is ignored."""

MAX_STRUCTURED: Final = 16 << 10
"""How many characters of a Content-Type or Content-Disposition are looked at."""

MAX_PARAMETERS: Final = 100
"""How many parameters of one field are read, RFC 2231 sections counted one by one."""

MAX_OTHER_FIELDS: Final = 200
"""How many fields go to ``Message.headers``."""

MAX_TEXT: Final = 64 << 20
"""How much of a message is shown as text, in all its parts; what goes beyond becomes attachments."""

MAX_SIGNED: Final = 64 << 20
"""Largest part with a signature of its own (RFC 3156, section 6.1) that is handed on to be judged."""

MAX_REFLOWED: Final = 1 << 20
"""Characters of format=flowed that are joined to paragraphs, and of HTML that is searched for remote content."""

# -- both directions -------------------------------------------------------------------------------

MAX_ADDRESSES: Final = 1000
"""How many addresses one field may have."""

MAX_REFERENCES: Final = 200
"""How many ids References may have; of more, the first and the last ones are kept."""

MAX_ID: Final = 900
"""Longest message id or content id, in characters: it cannot be folded (RFC 5322, section 2.1.1)."""

MAX_SUBJECT: Final = 2000
"""Longest subject, in characters."""

# -- writing ---------------------------------------------------------------------------------------

LINE: Final = 78
"""Length of a line that should not be exceeded, without CRLF (RFC 5322, section 2.1.1)."""

HARD_LINE: Final = 998
"""Length of a line that must not be exceeded, without CRLF (RFC 5322, section 2.1.1)."""

MAX_ORIGIN_ID: Final = 200
"""Longest origin-id that becomes a Message-ID, in characters."""

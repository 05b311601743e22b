"""What holds for formatters."""

from __future__ import annotations

from typing import Final

from gre_core.testing.conformance.rules.rule import Rule

_GRE: Final = 'GRE, "Formatter"'
_API: Final = "gre_core.api, Formatter"
_SAME: Final = "Write the field where parse() reads it, in an encoding that carries every character."

RULES: Final = (
    Rule(
        "format-gives-bytes",
        _GRE,
        "format() gives bytes: the encrypter takes the payload as it is.",
        "Give bytes, not str, bytearray or memoryview.",
    ),
    Rule(
        "expresses-messages",
        _GRE,
        "format() can express every ordinary message: any script, any size up to `huge`, empty ones too.",
        "Write what the format allows; switch a section off when the format really has no place for it.",
    ),
    Rule(
        "reads-its-own",
        _GRE,
        "parse() reads whatever format() wrote.",
        "Compare both sides; a limit of parse() has to hold in format() as well.",
    ),
    Rule("round-trip-text", _GRE, "The text comes back as it was written, but for its line ends.", _SAME),
    Rule("round-trip-html", _GRE, "The alternative in HTML comes back as it was written.", _SAME),
    Rule("round-trip-subject", _GRE, "The subject comes back as it was written.", _SAME),
    Rule(
        "round-trip-attachments",
        _GRE,
        "All attachments come back in their order, with name, media type and content.",
        "Write each with its name in UTF-8 and its content as it is, also empty ones and two of the same name.",
    ),
    Rule(
        "round-trip-inline",
        _GRE,
        "What is shown inside the text stays marked as such, with its content id.",
        "Carry Attachment.inline and Attachment.content_id.",
    ),
    Rule("round-trip-replies", _GRE, "in_reply_to and references come back as they were written.", _SAME),
    Rule(
        "round-trip-addresses",
        _GRE,
        "The recipients inside are those of the message, or those of the job when the message names none.",
        "Write message.to, or the legacy_id of each of job.recipients; and message.cc.",
    ),
    Rule(
        "sender-id",
        'GRE, "Relayed Encryption Data"',
        "The sender inside is the gateway's sender_id, whatever the message claims.",
        "Write job.data.sender_id, and give it as claimed_sender when reading.",
    ),
    Rule(
        "round-trip-date",
        _API,
        "The date inside is that of the job, with a time zone.",
        "Write job.date with its time zone, and give it as Message.date when reading.",
    ),
    Rule(
        "message-id",
        "gre_core.api, NamesMessages",
        "message_id(job) is the id that format() writes for the same job.",
        "Let both call one function.",
    ),
    Rule(
        "loses-nothing-silently",
        _API,
        "What the format cannot express makes format() raise FormatFailed; it is never left out in silence.",
        "Raise FormatFailed with a text that says what cannot be sent; a subject may go into the text.",
    ),
    Rule(
        "unreadable-attachment",
        _API,
        "An attachment that cannot be read makes format() raise FormatFailed.",
        "Catch OSError around Attachment.open() and read().",
    ),
    Rule(
        "format-own-errors",
        _API,
        "format() raises FormatFailed and nothing else, whatever the message holds.",
        "Catch what your libraries raise for lone surrogates, control characters and odd media types.",
    ),
    Rule(
        "parse-own-errors",
        _API,
        "parse() raises ParseFailed and nothing else, whatever the payload is.",
        "Catch what your libraries raise, RecursionError included, around all of parse().",
    ),
    Rule(
        "parse-types",
        "gre_core.model, Message",
        "parse() gives a Message whose fields have the types of the model; a date has a time zone.",
        "Check what was read before it becomes a field, and raise ParseFailed otherwise.",
    ),
    Rule(
        "fresh-streams",
        "gre_core.model, Attachment",
        "Attachment.open() gives a new stream from the start each time; size is the length, or None.",
        "Make the stream in open(), as Attachment.from_bytes does.",
    ),
    Rule(
        "file-names",
        "gre_core.model, Attachment",
        "The name of an attachment that was read leads to no folder: it has no slash, no backslash, is not `..`.",
        "Use gre_core.mime_text.file_names.safe_name on every name that was read.",
    ),
    Rule(
        "no-injection",
        'GRE, "Security Considerations"',
        "Line breaks and delimiters in one field never become another field.",
        "Escape or replace them where a field is written.",
    ),
    Rule(
        "unknown-data-ignored",
        'GRE, "Relayed Encryption Data"',
        "Fields of the data form, options and outer fields that are not known are ignored.",
        "Ask for the fields that you know by name, and do not look at the others.",
    ),
    Rule(
        "no-state",
        _API,
        "What was formatted or parsed before changes nothing, also after an error.",
        "Keep nothing of a message in the object.",
    ),
    Rule(
        "eight-threads",
        _API,
        "Eight threads use one object at once, and each gets what it would get alone.",
        "Keep nothing of a message in the object or the module.",
    ),
    Rule(
        "send-again",
        _GRE,
        "A message that was read can be formatted again and then reads the same.",
        "Take out of the payload what format() can put in.",
    ),
    Rule(
        "file-methods",
        "gre_core.api, FileFormatter",
        "format_to() and parse_from() do what format() and parse() do.",
        "Let both ways share their code.",
    ),
    Rule(
        "worker-parser",
        "gre_core.api, WorkerParsing",
        "worker_parser names a function, module:function, that reads what parse() reads, with the same result.",
        "Let it call the code of parse(), and encode_message() on what it gave.",
    ),
)

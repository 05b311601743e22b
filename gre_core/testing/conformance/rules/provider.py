"""What holds for every provider of a formatter, an encrypter or data fields."""

from __future__ import annotations

from typing import Final

from gre_core.testing.conformance.rules.rule import Rule

_API: Final = "gre_core.api"

RULES: Final = (
    Rule(
        "namespace-grammar",
        'GRE, "Formatter" and "Encrypter"',
        "The namespace is urn:xmpp:gre:formatter:NAME:VERSION or urn:xmpp:gre:encrypter:NAME:VERSION, of the kind that "
        "is provided.",
        'Make it with gre_core.api.formatter("name", 0) or gre_core.api.encrypter("name", 0).',
    ),
    Rule(
        "title",
        'GRE, "Formatter" and "Encrypter"',
        'The title is that of the specification: "GRE Formatter: NAME" or "GRE Encrypter: NAME".',
        'Give it to the provider: FormatterProvider(..., title="GRE Formatter: My format").',
    ),
    Rule(
        "dynamic-data",
        'GRE, "Business Rules"',
        "The data form can be cached for a session; data that has to be fetched before each message is discouraged.",
        "Do without dynamic_data=True, or say dynamic_data = True in the test class and give the reason there.",
    ),
    Rule(
        "make-works",
        f"{_API}, providers",
        "make() gives the object, without arguments, a network or a configuration.",
        "Let make() only import and construct; what can fail belongs into the methods, which have errors for it.",
    ),
    Rule(
        "make-twice",
        f"{_API}, providers",
        "Each call of make() gives an object of its own: several accounts live in one process.",
        "Construct in make(), and keep no instance in the module.",
    ),
    Rule(
        "interface",
        f"{_API}, Formatter, Encrypter and DataContributor",
        "The object has the methods of its Protocol, with positional parameters; those of an encrypter and of a "
        "contributor are coroutines, those of a formatter are not.",
        "Compare the signatures with the Protocol in gre_core.api.",
    ),
    Rule(
        "abilities-complete",
        f"{_API}, optional abilities",
        "An optional Protocol is implemented completely or not at all, and its members are what the Protocol says.",
        "Add what is missing, or take away what is there.",
    ),
    Rule(
        "abilities-work",
        f"{_API}, optional abilities",
        "A method of an optional Protocol answers as the Protocol says, and raises errors of gre_core.errors only.",
        "Compare it with its Protocol in gre_core.api: what it is given, what it gives, what it may raise.",
    ),
    Rule(
        "abilities-declared",
        f"{_API}, optional abilities",
        "What the test class declares in `abilities` is what the object can do, no more and no less.",
        "Correct `abilities` in the test class, or the object.",
    ),
    Rule(
        "switch-hides-ability",
        "this kit, switches",
        "A section is switched off only when the plugin cannot do what it tests.",
        "You can do it: turn it on. Remove the switch from the test class.",
    ),
    Rule(
        "loop-free",
        "gre_core.ports",
        "Nothing needs an event loop: plugins await their ports, and run under asyncio, GLib, Twisted or none.",
        "Leave asyncio out. What has to wait for the network goes through a port.",
    ),
    Rule(
        "no-clock",
        f"{_API}, Formatter; gre_core.ports, Ports.now",
        "The time comes from SealJob.date, OpenJob.received or ports.now(), never from the system: hosts and tests "
        "decide what time it is.",
        "Use the date of the job, or ports.now(); do not sleep.",
    ),
    Rule(
        "no-io",
        f"{_API}, Formatter; gre_core.ports",
        "No file, socket or process is touched but through ports, attachments and the file methods.",
        "Load data at import or in make(); keep state in ports.store; fetch through ports.pubsub or ports.web.",
    ),
    Rule(
        "no-secret-in-repr",
        'GRE, "Security Considerations"',
        "A repr shows neither plaintext nor key material: it ends in logs and bug reports.",
        "Mark such fields of dataclasses with field(repr=False).",
    ),
    Rule(
        "no-secret-in-log",
        'GRE, "Security Considerations"',
        "Logs, standard output, standard error and warnings show neither plaintext nor key material.",
        "Log what happened and to how many bytes, never the bytes.",
    ),
    Rule(
        "no-secret-in-errors",
        'GRE, "Security Considerations"',
        "The texts of errors, and of those behind them, show neither plaintext nor key material.",
        "Write a text of your own, and cut the cause off with `raise ... from None` when its text quotes its input.",
    ),
    Rule(
        "bounded-time",
        'GRE, "Security Considerations": everything that is received may be hostile',
        "Half a megabyte of hostile input is dealt with in the seconds of processor time that the test class allows.",
        "Look for loops over what is left to read, for regular expressions that go back, and for missing limits.",
    ),
    Rule(
        "bounded-memory",
        'GRE, "Security Considerations": everything that is received may be hostile',
        "Half a megabyte of hostile input is dealt with in the memory that the test class allows.",
        "Check lengths and depths before making room, and decompress with a limit.",
    ),
    Rule(
        "inputs-unchanged",
        "gre_core.model",
        "Messages, jobs, bodies and requests are values: nothing in them is changed.",
        "Copy what you want to change.",
    ),
)

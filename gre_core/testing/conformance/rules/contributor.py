"""What holds for contributors of data fields."""

from __future__ import annotations

from typing import Final

from gre_core.testing.conformance.rules.rule import Rule

_DATA: Final = 'GRE, "Relayed Encryption Data"'

RULES: Final = (
    Rule(
        "field-namespace",
        _DATA + "; XEP-0068",
        "All fields are in the namespace of the provider, and have a name for Clark notation; sender_id and the form's "
        "own fields belong to the gateway.",
        "Give DataField(NAMESPACE, name, values) with the provider's namespace.",
    ),
    Rule(
        "field-values",
        _DATA,
        "Values are texts of legal XML characters; a contributor gives few fields, and short ones.",
        "See MAX_FIELDS and MAX_VALUE in gre_core.contributions.",
    ),
    Rule(
        "fields-work",
        "gre_core.api, DataContributor",
        "fields() answers every request: for any pair, for none, with children that nobody knows.",
        "Give no fields when you have nothing to say; raise Refused when the request must be answered with an error.",
    ),
    Rule(
        "fields-repeat",
        'GRE, "Business Rules": the data can be cached for a session',
        "The same request gets the same fields, whatever was asked before, and by whom.",
        "Leave out what changes with each request, or say that the data is dynamic; keep by recipient what you keep.",
    ),
    Rule(
        "fields-own-errors",
        "gre_core.api, DataContributor",
        "fields() raises errors of gre_core.errors only, also when a port fails.",
        "Catch PeerError and PeerTimeout, and give no fields then.",
    ),
)

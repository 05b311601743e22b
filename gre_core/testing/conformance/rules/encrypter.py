"""What holds for encrypters."""

from __future__ import annotations

from typing import Final

from gre_core.testing.conformance.rules.rule import Rule

_GRE: Final = 'GRE, "Encrypter"'
_SEC: Final = 'GRE, "Security Considerations"'
_API: Final = "gre_core.api, Encrypter"

RULES: Final = (
    Rule(
        "seals",
        _GRE,
        "seal_keys() and encrypt() give a Body for people who know each other's keys, whatever the payload is.",
        "If your people do not find each other's keys, override introduce() of the suite; see the class People.",
    ),
    Rule(
        "opens-its-own",
        _GRE,
        "open_keys() and decrypt() open what seal_keys() and encrypt() made for the reader.",
        "Encrypt to every recipient, and look at what open_keys() finds.",
    ),
    Rule(
        "round-trip-payload",
        _GRE,
        "The payload comes back byte for byte, as bytes: empty ones, huge ones, every byte.",
        "Do not treat it as text, and do not pad without a length.",
    ),
    Rule(
        "own-copy",
        'GRE, "Business Rules": several devices',
        "We can open what we sent (Direction.SENT): our other devices get it as a carbon copy.",
        "Encrypt to the sender's own key too.",
    ),
    Rule(
        "several-recipients",
        "gre_core.model, SealJob.recipients",
        "A message for several people opens at each of them.",
        "Encrypt to all of job.recipients.",
    ),
    Rule(
        "all-recipients-or-none",
        "gre_core.model, SealJob.recipients",
        "When one of several recipients has no usable key, nothing is encrypted at all.",
        "Raise NoUsableKey; never leave a recipient out.",
    ),
    Rule(
        "no-key-no-message",
        f"{_API}.seal_keys",
        "Without a usable key of the recipient, seal_keys() raises NoUsableKey.",
        "Raise it with a text that says what to do.",
    ),
    Rule(
        "changed-key-asked",
        _SEC,
        "A key of a known contact that changed is not used before the user said so: PolicyChanged or NoUsableKey.",
        "Remember keys in ports.store, and ask through ports.decide; a refusal raises PolicyChanged.",
    ),
    Rule(
        "verdict-good",
        _SEC + ": encrypters SHOULD sign",
        "A message of a contact whose key is known has the verdict GOOD.",
        "Sign in encrypt(), and check against the keys of job.expected_sender.",
    ),
    Rule(
        "verdict-wrong-signer",
        _SEC,
        "The verdict is GOOD for the expected sender only; a message of somebody else, or an unsigned one, never is.",
        "Compare the signer with job.peer and job.expected_sender.",
    ),
    Rule(
        "hides-plaintext",
        _GRE,
        "Neither the plaintext nor an encoding of it stands in the body.",
        "Encrypt all of the payload.",
    ),
    Rule(
        "randomised",
        _GRE,
        "The same payload encrypted twice gives two different bodies.",
        "Use a fresh random nonce or session key for each message.",
    ),
    Rule(
        "body-survives-xml",
        'GRE, "Sending and Receiving Encrypted Messages"',
        "The body is legal XML: text without control characters, children with a namespace; it survives the wire.",
        "Encode binary data, in base64 for example.",
    ),
    Rule(
        "unknown-children-ignored",
        "RFC 6120, section 8.4",
        "Children of the body in a namespace that is not known are ignored.",
        "Look for the children that you know, by namespace and name.",
    ),
    Rule(
        "unknown-fields-ignored",
        'GRE, "Relayed Encryption Data"',
        "Fields of the data form and options that are not known are ignored.",
        "Ask for the fields that you know by name, and do not look at the others.",
    ),
    Rule(
        "damage-detected",
        _GRE,
        "A damaged body never opens as another plaintext, nor with a better verdict.",
        "Use authenticated encryption, and sign what you encrypt.",
    ),
    Rule(
        "open-own-errors",
        _API,
        "open_keys() and decrypt() raise BadEncrypted, NotForUs or DecryptFailed, whatever the body is.",
        "Catch what your libraries raise, panics of libraries in Rust included.",
    ),
    Rule(
        "seal-own-errors",
        _API,
        "seal_keys() and encrypt() raise errors of gre_core.errors only.",
        "Catch what your libraries raise, and raise one of ours with a text that says what to do.",
    ),
    Rule(
        "wrong-key",
        f"{_API}.decrypt",
        "Whoever the message is not for gets NotForUs or DecryptFailed.",
        "Raise NotForUs when none of our keys is named, DecryptFailed when none fits.",
    ),
    Rule(
        "port-failures",
        "gre_core.ports",
        "When a port fails (offline, a broken store), only errors of gre_core.errors come out.",
        "Let errors of ports pass, or raise one of your own; never AttributeError on a missing answer.",
    ),
    Rule(
        "interleaved",
        _API,
        "Eight messages in progress at once, in one thread, do not disturb each other.",
        "Keep what belongs to one message in the keys, not in the object.",
    ),
    Rule(
        "thread-per-object",
        "gre_core.api, providers",
        "Eight threads use eight objects at once.",
        "Keep nothing of a message or an account in the module.",
    ),
    Rule(
        "restart",
        "gre_core.ports, Store",
        "A new object with the same store opens what came before, and seals for the same people.",
        "Keep in ports.store what has to outlive the process.",
    ),
    Rule(
        "worker-same",
        "gre_core.ports, Worker",
        "With a worker process and without, the same comes out.",
        "Let both ways share their code.",
    ),
    Rule(
        "worker-declared",
        "gre_core.api, UsesWorker",
        "What runs in the worker is what worker_functions names, and each name leads to a function.",
        "Name all of them: hosts allow no others.",
    ),
    Rule(
        "protected-fields",
        "gre_core.api, AddsFields",
        "protected_fields() gives pairs of texts without line breaks.",
        "Unfold the values: one space in the place of each line break.",
    ),
    Rule(
        "file-encryption",
        "gre_core.api, FileEncrypter",
        "encrypt_file() and decrypt_file() carry a file; on failure there is no target, and it is mode 0600.",
        "Write to a temporary file of mode 0600 beside the target, and rename it when all is well.",
    ),
    Rule(
        "passphrase-kept-nowhere",
        _SEC,
        "A passphrase that the user gave stands nowhere in the store.",
        "Derive a key from it with a salt, and keep what that key locks; ask again in the next session.",
    ),
    Rule(
        "plaintext-kept-nowhere",
        _SEC,
        "The plaintext of a message stands neither in the store nor in a node.",
        "Keep keys and decisions only: hosts keep messages, and know how.",
    ),
)

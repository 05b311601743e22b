"""One tree of errors. Each carries a stable code with parameters, so that a host can translate and act.

::

    GreError
    |- PluginError            PluginLoadError, PluginContractError, AmbiguousProvider, NoProvider
    |- NegotiationError       NotAGateway, NoCommonGround, PolicyChanged
    |- LocalProtocolError     InvalidNamespace, InvalidAddress, TooLarge
    |- RemoteProtocolError    BadDataForm, BadEncrypted, BadRequest, UnknownNamespace, PeerError, PeerTimeout,
    |                         NoSuchHost (a PeerTimeout)
    |- SealError              FormatFailed, NoUsableKey, EncryptFailed
    |- OpenError              NotForUs, DecryptFailed, ParseFailed
    |- StoreError
    |- WorkerFailed
    '- Refused                the gateway's policy, or its refusal of a pair
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gre_core.model import Question

StanzaErrorType = Literal["auth", "cancel", "continue", "modify", "wait"]


class GreError(Exception):
    """The root of all errors of the framework.

    Attributes:
        code: stable, for programs (``no-common-ground``).
        text: for people: what happened and what to do next. Never holds plaintext or key material.
        params: what the text was made of, by name.
    """

    code: ClassVar[str] = "error"

    def __init__(self, text: str, /, **params: object) -> None:
        super().__init__(text)
        self.text = text
        self.params: Mapping[str, object] = params


# -- plugins ---------------------------------------------------------------------------------------


class PluginError(GreError):
    """A plugin cannot be used."""

    code = "plugin"


class PluginLoadError(PluginError):
    """A plugin failed while it was imported, asked by a hook, or made."""

    code = "plugin-load"


class PluginContractError(PluginError):
    """A plugin returned something that the hook specification does not allow."""

    code = "plugin-contract"


class AmbiguousProvider(PluginError):
    """Two installed distributions provide one namespace, and the user preferred neither."""

    code = "ambiguous-provider"


class NoProvider(PluginError):
    """No usable provider of a namespace is installed."""

    code = "no-provider"


# -- negotiation -----------------------------------------------------------------------------------


class NegotiationError(GreError):
    """Client and gateway did not agree."""

    code = "negotiation"


class NotAGateway(NegotiationError):
    """The peer does not announce ``urn:xmpp:gre:0``."""

    code = "not-a-gateway"


class NoCommonGround(NegotiationError):
    """No formatter and encrypter that both sides have, or every common pair was refused."""

    code = "no-common-ground"


class PolicyChanged(NegotiationError):
    """Something became weaker or different than remembered; the user has to decide (GRE, "Security").

    Attributes:
        question: what to ask the user. Answer it with ``ClientEngine.approve(question)`` and try again.
    """

    code = "policy-changed"

    def __init__(self, text: str, /, question: Question, **params: object) -> None:
        super().__init__(text, **params)
        self.question = question


# -- protocol --------------------------------------------------------------------------------------


class LocalProtocolError(GreError):
    """We were about to send something illegal."""

    code = "local-protocol"


class InvalidNamespace(LocalProtocolError, ValueError):
    """A text is not the URN of a formatter or encrypter."""

    code = "invalid-namespace"

    def __init__(self, text: str, /) -> None:
        super().__init__(f"{text!r} is not a namespace of a GRE formatter or encrypter", namespace=text)


class InvalidAddress(LocalProtocolError, ValueError):
    """A legacy identifier or a JID cannot be converted (XEP-0106) or is no address."""

    code = "invalid-address"


class TooLarge(LocalProtocolError):
    """A message is larger than the gateway or the server takes.

    ``params``: ``size`` and ``limit``, both in bytes.
    """

    code = "too-large"


class RemoteProtocolError(GreError):
    """The peer sent something that the specification does not allow. Carries the stanza error to answer with.

    Attributes:
        condition: the stanza error condition (RFC 6120, section 8.3.3).
        error_type: the stanza error type (RFC 6120, section 8.3.2).
    """

    code = "remote-protocol"
    condition: str = "bad-request"
    error_type: StanzaErrorType = "modify"


class BadDataForm(RemoteProtocolError):
    """The answer to a data request is not a form as GRE wants it."""

    code = "bad-data-form"


class BadEncrypted(RemoteProtocolError):
    """An ``<encrypted/>`` element is malformed, or its content is not what its encrypter allows."""

    code = "bad-encrypted"


class BadRequest(RemoteProtocolError):
    """A data request is malformed."""

    code = "bad-request"


class UnknownNamespace(RemoteProtocolError):
    """A formatter or encrypter that is malformed, not announced or not installed."""

    code = "unknown-namespace"
    condition = "feature-not-implemented"


class PeerError(RemoteProtocolError):
    """The peer answered with a stanza error.

    Attributes:
        condition: the condition that the peer gave.
        error_type: the type that the peer gave.
        peer_text: the text that the peer gave, at most 1,000 characters, or ``""``.
    """

    code = "peer-error"

    def __init__(
        self,
        text: str,
        /,
        *,
        condition: str,
        error_type: StanzaErrorType = "cancel",
        peer_text: str = "",
        **params: object,
    ) -> None:
        super().__init__(text, condition=condition, error_type=error_type, **params)
        self.condition = condition
        self.error_type: StanzaErrorType = error_type
        self.peer_text = peer_text


class PeerTimeout(RemoteProtocolError):
    """The peer did not answer in time, or the stream is down."""

    code = "peer-timeout"
    condition = "remote-server-timeout"
    error_type: StanzaErrorType = "wait"


class NoSuchHost(PeerTimeout):
    """A web server was looked for by a name that does not exist."""

    code = "no-such-host"


# -- seal and open ---------------------------------------------------------------------------------


class SealError(GreError):
    """A message could not be formatted or encrypted. Nothing was sent."""

    code = "seal"


class FormatFailed(SealError):
    """The formatter cannot express the message."""

    code = "format-failed"


class NoUsableKey(SealError):
    """No key of the recipient, or none of our own, can be used."""

    code = "no-usable-key"


class EncryptFailed(SealError):
    """The encrypter failed."""

    code = "encrypt-failed"


class OpenError(GreError):
    """A received message could not be opened.

    What a peer may learn is the same for every cause: see :attr:`peer_text`.
    """

    code = "open"
    peer_text: ClassVar[str] = "The message could not be opened."


class NotForUs(OpenError):
    """The message is not encrypted to any key that we hold."""

    code = "not-for-us"


class DecryptFailed(OpenError):
    """The message is damaged, forged or of a kind that is not accepted."""

    code = "decrypt-failed"


class ParseFailed(OpenError):
    """The message was decrypted, but its content is not what its formatter allows."""

    code = "parse-failed"


class StoreError(GreError):
    """The store cannot be read or written."""

    code = "store"


class WorkerFailed(GreError):
    """The worker process ended, took too long or too much memory, or cannot be started. It is started anew."""

    code = "worker-failed"


class Refused(GreError):
    """A gateway refuses a stanza or a pair. Carries the stanza error to answer with.

    Attributes:
        condition: the stanza error condition (RFC 6120, section 8.3.3).
        error_type: the stanza error type (RFC 6120, section 8.3.2).
        detail: namespace and name of an application-specific condition (RFC 6120, section 8.3.4), or None.
    """

    code = "refused"

    def __init__(
        self,
        text: str,
        /,
        *,
        condition: str = "policy-violation",
        error_type: StanzaErrorType = "modify",
        detail: tuple[str, str] | None = None,
        **params: object,
    ) -> None:
        super().__init__(text, condition=condition, error_type=error_type, **params)
        self.condition = condition
        self.error_type: StanzaErrorType = error_type
        self.detail = detail

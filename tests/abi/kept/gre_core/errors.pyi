from __future__ import annotations
from typing import TYPE_CHECKING, ClassVar, Literal
if TYPE_CHECKING:
    from collections.abc import Mapping
    from gre_core.model import Question
StanzaErrorType = Literal['auth', 'cancel', 'continue', 'modify', 'wait']

class GreError(Exception):
    code: ClassVar[str] = 'error'

    def __init__(self, text: str, /, **params: object) -> None:
        ...

class PluginError(GreError):
    code = 'plugin'

class PluginLoadError(PluginError):
    code = 'plugin-load'

class PluginContractError(PluginError):
    code = 'plugin-contract'

class AmbiguousProvider(PluginError):
    code = 'ambiguous-provider'

class NoProvider(PluginError):
    code = 'no-provider'

class NegotiationError(GreError):
    code = 'negotiation'

class NotAGateway(NegotiationError):
    code = 'not-a-gateway'

class NoCommonGround(NegotiationError):
    code = 'no-common-ground'

class PolicyChanged(NegotiationError):
    code = 'policy-changed'

    def __init__(self, text: str, /, question: Question, **params: object) -> None:
        ...

class LocalProtocolError(GreError):
    code = 'local-protocol'

class InvalidNamespace(LocalProtocolError, ValueError):
    code = 'invalid-namespace'

    def __init__(self, text: str, /) -> None:
        ...

class InvalidAddress(LocalProtocolError, ValueError):
    code = 'invalid-address'

class TooLarge(LocalProtocolError):
    code = 'too-large'

class RemoteProtocolError(GreError):
    code = 'remote-protocol'
    condition: str = 'bad-request'
    error_type: StanzaErrorType = 'modify'

class BadDataForm(RemoteProtocolError):
    code = 'bad-data-form'

class BadEncrypted(RemoteProtocolError):
    code = 'bad-encrypted'

class BadRequest(RemoteProtocolError):
    code = 'bad-request'

class UnknownNamespace(RemoteProtocolError):
    code = 'unknown-namespace'
    condition = 'feature-not-implemented'

class PeerError(RemoteProtocolError):
    code = 'peer-error'

    def __init__(self, text: str, /, *, condition: str, error_type: StanzaErrorType='cancel', peer_text: str='', **params: object) -> None:
        ...

class PeerTimeout(RemoteProtocolError):
    code = 'peer-timeout'
    condition = 'remote-server-timeout'
    error_type: StanzaErrorType = 'wait'

class NoSuchHost(PeerTimeout):
    code = 'no-such-host'

class SealError(GreError):
    code = 'seal'

class FormatFailed(SealError):
    code = 'format-failed'

class NoUsableKey(SealError):
    code = 'no-usable-key'

class EncryptFailed(SealError):
    code = 'encrypt-failed'

class OpenError(GreError):
    code = 'open'
    peer_text: ClassVar[str] = 'The message could not be opened.'

class NotForUs(OpenError):
    code = 'not-for-us'

class DecryptFailed(OpenError):
    code = 'decrypt-failed'

class ParseFailed(OpenError):
    code = 'parse-failed'

class StoreError(GreError):
    code = 'store'

class WorkerFailed(GreError):
    code = 'worker-failed'

class Refused(GreError):
    code = 'refused'

    def __init__(self, text: str, /, *, condition: str='policy-violation', error_type: StanzaErrorType='modify', detail: tuple[str, str] | None=None, **params: object) -> None:
        ...

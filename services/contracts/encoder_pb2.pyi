from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProsodyKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROSODY_KIND_NONE: _ClassVar[ProsodyKind]
    PROSODY_KIND_POOLED: _ClassVar[ProsodyKind]
    PROSODY_KIND_TOKENS: _ClassVar[ProsodyKind]
PROSODY_KIND_NONE: ProsodyKind
PROSODY_KIND_POOLED: ProsodyKind
PROSODY_KIND_TOKENS: ProsodyKind

class EncodeRequest(_message.Message):
    __slots__ = ("pcm16", "prosody", "partial", "request_id", "language")
    PCM16_FIELD_NUMBER: _ClassVar[int]
    PROSODY_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    pcm16: bytes
    prosody: ProsodyKind
    partial: bool
    request_id: str
    language: str
    def __init__(self, pcm16: _Optional[bytes] = ..., prosody: _Optional[_Union[ProsodyKind, str]] = ..., partial: _Optional[bool] = ..., request_id: _Optional[str] = ..., language: _Optional[str] = ...) -> None: ...

class Token(_message.Message):
    __slots__ = ("id", "text", "log_probability")
    ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LOG_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    id: int
    text: str
    log_probability: float
    def __init__(self, id: _Optional[int] = ..., text: _Optional[str] = ..., log_probability: _Optional[float] = ...) -> None: ...

class Array(_message.Message):
    __slots__ = ("data", "shape")
    DATA_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, data: _Optional[bytes] = ..., shape: _Optional[_Iterable[int]] = ...) -> None: ...

class Stage(_message.Message):
    __slots__ = ("name", "ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    ms: float
    def __init__(self, name: _Optional[str] = ..., ms: _Optional[float] = ...) -> None: ...

class EncodeResponse(_message.Message):
    __slots__ = ("text", "language", "tokens", "no_speech_probability", "no_speech_reason", "prosody", "stages", "fingerprint", "audio_seconds")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    NO_SPEECH_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    NO_SPEECH_REASON_FIELD_NUMBER: _ClassVar[int]
    PROSODY_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    AUDIO_SECONDS_FIELD_NUMBER: _ClassVar[int]
    text: str
    language: str
    tokens: _containers.RepeatedCompositeFieldContainer[Token]
    no_speech_probability: float
    no_speech_reason: str
    prosody: Array
    stages: _containers.RepeatedCompositeFieldContainer[Stage]
    fingerprint: str
    audio_seconds: float
    def __init__(self, text: _Optional[str] = ..., language: _Optional[str] = ..., tokens: _Optional[_Iterable[_Union[Token, _Mapping]]] = ..., no_speech_probability: _Optional[float] = ..., no_speech_reason: _Optional[str] = ..., prosody: _Optional[_Union[Array, _Mapping]] = ..., stages: _Optional[_Iterable[_Union[Stage, _Mapping]]] = ..., fingerprint: _Optional[str] = ..., audio_seconds: _Optional[float] = ...) -> None: ...

"""One chat completion: messages in, of which some were spoken; events out. Nothing of it is kept.

Every recording goes the way of a turn: decoded, encoded, and read by the LLM as its transcript with the prosody in
front of it.
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from services.contracts.chat import ProsodyState, Usage
from services.contracts.completion_answers import Extension, TranscriptBody
from services.contracts.completions import AudioPart, CompletionRequest, TextPart, ToolCall, UserMessage
from services.gateway.chat import Parts
from services.gateway.completion_intake import recording, recordings, sampling
from services.gateway.encoder_client import ProsodyKind, Speech
from services.gateway.history import Message, user_message
from services.gateway.limits import Deadline
from services.gateway.llm_reply import Call, Delta
from services.gateway.side_by_side import encode_all
from services.gateway.tally import bad_ends_counted, count_good_end
from services.gateway.timing import Stopwatch
from textpro.audio import SAMPLE_RATE
from textpro.errors import AudioError, AudioTooLong

BYTES_PER_SECOND = 2 * SAMPLE_RATE


@dataclass(frozen=True)
class Asked:
    """A request on its way through the house."""

    wanted: CompletionRequest
    watch: Stopwatch
    deadline: Deadline


@dataclass(frozen=True)
class Heard:
    """What was said in the recordings; always the first event. The LLM has taken the request by now."""

    transcripts: list[TranscriptBody]


@dataclass(frozen=True)
class Completed:
    """The end of the answer; always the last event."""

    finish_reason: str
    usage: Usage
    calls: list[ToolCall]
    extension: Extension


Event = Heard | Delta | Completed


@dataclass
class _Answered:
    """Filled while the LLM answers; as it stands when nothing was said."""

    prosody: ProsodyState
    finish_reason: str = "stop"
    usage: Usage = field(default_factory=Usage)
    calls: tuple[Call, ...] = ()


async def complete(asked: Asked, parts: Parts) -> AsyncGenerator[Event]:
    """The events of one completion. Closing the iterator early aborts the generation.

    Where nothing was said in the last message, and nothing written, the LLM is not asked and the answer is empty.
    Raises AudioError, BadRequest, Overloaded, Unavailable, DeadlineExceeded.
    """
    wanted, watch = asked.wanted, asked.watch
    with bad_ends_counted(parts.metrics):
        chosen = sampling(wanted, parts.settings)
        speeches = await _listen(asked, parts)
        transcripts = [TranscriptBody(text=speech.text, no_speech=speech.no_speech) for speech in speeches]
        answered = _Answered("off" if wanted.prosody == "off" or not speeches else "unavailable")
        prompts = prompt(wanted, speeches)
        if not prompts[-1]:
            yield Heard(transcripts)
        else:
            async with AsyncExitStack() as held:
                with watch.stage("prefill"):
                    messages = [message for of_one in prompts for message in of_one]
                    reply = await held.enter_async_context(parts.llm.reply(messages, chosen, asked.deadline))
                yield Heard(transcripts)
                with watch.stage("prefill"):
                    first = await anext(reply.deltas, None)
                if first is not None:
                    watch.first_token()
                    yield first
                with watch.stage("generate"):
                    async for delta in reply.deltas:
                        yield delta
            answered.finish_reason, answered.usage = reply.finish_reason or "stop", reply.usage
            answered.calls = tuple(reply.calls)
            if any(speech.prosody is not None for speech in speeches):
                answered.prosody = reply.prosody
        timing_ms = watch.report()
    count_good_end(
        parts.metrics,
        timing_ms=timing_ms,
        usage=answered.usage,
        audio_seconds=sum(speech.audio_seconds for speech in speeches),
        no_speech=None if prompts[-1] else speeches[-1].no_speech,
    )
    yield Completed(
        finish_reason=answered.finish_reason,
        usage=answered.usage,
        calls=[_tool_call(call) for call in answered.calls],
        extension=Extension(transcripts=transcripts, prosody=answered.prosody, timing_ms=timing_ms),
    )


async def _listen(asked: Asked, parts: Parts) -> list[Speech]:
    """What was said in each recording, and how."""
    wanted, watch = asked.wanted, asked.watch
    if not recordings(wanted):
        return []
    with watch.stage("decode"):
        sounds = await asked.deadline.run(_decoded(wanted, parts))
    with watch.stage("profile"):
        profile = await parts.llm.profile()  # first of all whether there is anybody to answer
    stages_ms: dict[str, float] = {}
    with watch.remote("encoder", stages_ms):
        speeches = await encode_all(
            sounds,
            parts.encoder,
            prosody=profile.prosody if wanted.prosody == "on" else ProsodyKind.NONE,
            encode_timeout_s=parts.settings.encode_timeout_s,
            deadline=asked.deadline,
        )
        # They ran side by side: the stages of the slowest one are those that were waited for.
        slowest = max(speeches, key=lambda speech: sum(speech.stages_ms.values()))
        stages_ms.update(slowest.stages_ms)
    return speeches


async def _decoded(wanted: CompletionRequest, parts: Parts) -> list[bytes]:
    """PCM16 of every recording. Raises AudioError that says which one is bad."""
    sounds: list[bytes] = []
    room_s = parts.settings.max_recordings_s
    for place, audio in recordings(wanted):
        data = await parts.hearing.run(partial(recording, audio, place))
        try:
            sounds.append(await parts.hearing.pcm16(data))
        except AudioError as error:
            raise type(error)(f"{place}: {error}") from error
        room_s -= len(sounds[-1]) / BYTES_PER_SECOND
        if room_s < 0:
            limit = f"at most {parts.settings.max_recordings_s:g} s are accepted (TEXTPRO_MAX_RECORDINGS_S)"
            raise AudioTooLong(f"the recordings are longer together; {limit}")
    return sounds


def prompt(wanted: CompletionRequest, speeches: list[Speech]) -> list[list[Message]]:
    """What the LLM reads of each message; equal messages give equal bytes. speeches: of the recordings, in order."""
    heard = iter(speeches)
    return [
        list(_spoken(message, heard)) if isinstance(message, UserMessage) else [message.plain()]
        for message in wanted.messages
    ]


def _spoken(message: UserMessage, heard: Iterator[Speech]) -> Iterator[dict[str, Any]]:
    """Each recording as a user's message, with the vector and the words first and then what was written beside it; a
    text goes with the recording before it, or with the first one. Of what nobody said there is no message."""
    said: list[Speech] = []
    written: list[list[str]] = [[]]
    for part in message.content:
        if isinstance(part, AudioPart):
            said.append(next(heard))
            if len(said) > 1:
                written.append([])
        else:
            written[-1].append(part.text)
    if not said:
        yield message.plain()
        return
    for speech, texts in zip(said, written, strict=True):
        if speech.no_speech is None:
            spoken = user_message(speech.text, speech.prosody, texts)
        elif texts:
            spoken = UserMessage(role="user", content=[TextPart(type="text", text=text) for text in texts]).plain()
        else:
            continue
        yield spoken | ({"name": message.name} if message.name is not None else {})


def _tool_call(call: Call) -> ToolCall:
    return ToolCall.model_validate({"id": call.id, "function": {"name": call.name, "arguments": call.arguments}})

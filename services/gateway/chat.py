"""One turn of a conversation: speech in, events out. What happens between a request and its answer stands here."""

import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from typing import Literal

from services.contracts.chat import ChatAnswer, ProsodyState, Usage
from services.contracts.errors import BadRequest, NotFound
from services.gateway.encoder_client import Encoder, ProsodyKind, Speech
from services.gateway.hearing import Hearing
from services.gateway.history import budget, fitting, prompt, understood
from services.gateway.limits import Deadline
from services.gateway.llm_client import Llm, Sampling, reply_that_fits
from services.gateway.llm_reply import Reply
from services.gateway.pressure import Pressure
from services.gateway.session import Prosody, Session, Turn, new_session_id, new_turn_id
from services.gateway.settings import GatewaySettings
from services.gateway.store import Store
from services.gateway.tally import bad_ends_counted, count_good_end
from services.gateway.timing import Stopwatch
from services.gateway.voice import Voice
from services.runtime.metrics import Metrics


@dataclass(frozen=True)
class Question:
    """What a caller sent: a recording, and how it is to be answered. prosody_from: the turn of the session in whose
    tone these words are answered."""

    audio: bytes
    sampling: Sampling
    session_id: str | None = None
    prosody: Literal["on", "off"] = "on"
    prosody_from: str | None = None
    instructions: str | None = None


@dataclass(frozen=True)
class Exchange:
    """A question on its way through the house: its turn's name, its stopwatch and its deadline."""

    question: Question
    watch: Stopwatch
    deadline: Deadline
    turn_id: str = field(default_factory=new_turn_id)


@dataclass(frozen=True)
class Parts:
    """What a turn is made with; opened once for the process. voice: None where answers are text alone."""

    settings: GatewaySettings
    encoder: Encoder
    llm: Llm
    store: Store
    hearing: Hearing
    metrics: Metrics
    pressure: Pressure
    voice: Voice | None = None


@dataclass(frozen=True)
class Transcript:
    """What was said, known before the answer begins."""

    session_id: str
    turn_id: str
    transcript: str
    no_speech: str | None


@dataclass(frozen=True)
class Delta:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True)
class Done:
    """The turn as a whole; always the last event."""

    answer: ChatAnswer


Event = Transcript | Delta | Done


@dataclass
class _Answered:
    """Filled while the LLM answers; as it stands when nothing was said."""

    prosody: ProsodyState
    text: str = ""
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)


async def answer(exchange: Exchange, parts: Parts) -> AsyncGenerator[Event]:
    """The events of one turn. Closing the iterator early aborts the generation, and nothing of the turn is kept.

    Raises AudioError, SessionNotFound, Overloaded, Unavailable, DeadlineExceeded, BadRequest.
    """
    question, watch = exchange.question, exchange.watch
    session_id = question.session_id or new_session_id()
    with bad_ends_counted(parts.metrics):
        with watch.stage("decode"):
            pcm16 = await exchange.deadline.run(parts.hearing.pcm16(question.audio))
        async with AsyncExitStack() as held:
            with watch.stage("session"):
                wait_s = min(parts.settings.session_wait_s, exchange.deadline.remaining_s)
                await held.enter_async_context(parts.store.exclusive(session_id, wait_s))
                session = await parts.store.get(session_id) if question.session_id else None
                borrowed = _borrowed(question, session)
            speech = await _encode(exchange, parts, pcm16, borrowed)
            with watch.stage("session"):
                session = await _continued(session, session_id, question, parts)
            yield Transcript(session_id, exchange.turn_id, speech.text, speech.no_speech)

            answered = _Answered(prosody="off" if question.prosody == "off" else "unavailable")
            if speech.no_speech is None:
                async with aclosing(_generate(exchange, parts, session, speech, answered)) as pieces:
                    async for piece in pieces:
                        yield Delta(piece)
                with watch.stage("store"):
                    turn = Turn(exchange.turn_id, speech.text, answered.text, speech.prosody, time.time())
                    await parts.store.append(session_id, turn, session.instructions)
        done = _done(exchange, session_id, speech, answered)
    count_good_end(
        parts.metrics,
        timing_ms=done.timing_ms,
        usage=done.usage,
        audio_seconds=speech.audio_seconds,
        no_speech=done.no_speech,
    )
    yield Done(done)


def _borrowed(question: Question, session: Session | None) -> Prosody | None:
    """The vector of the turn that the question names, if it names one."""
    name = question.prosody_from
    if name is None:
        return None
    if question.prosody == "off" or session is None:
        missing, code = ("a session_id", None) if session is None else ("prosody=on", "no_prosody")
        raise BadRequest(f"prosody_from needs {missing}", param="prosody_from", code=code)
    turn = next((turn for turn in session.turns if turn.turn_id == name), None)
    if turn is None:
        message = f"this session keeps no turn {name[:64]!r}; its last {len(session.turns)} turns are kept"
        raise NotFound(message, param="prosody_from", code="turn_not_found")
    if turn.prosody is None:
        message = f"turn {name[:64]!r} was answered without prosody"
        raise BadRequest(message, param="prosody_from", code="no_prosody")
    return turn.prosody


async def _encode(exchange: Exchange, parts: Parts, pcm16: bytes, borrowed: Prosody | None) -> Speech:
    with exchange.watch.stage("profile"):
        profile = await parts.llm.profile()  # first of all whether there is anybody to answer
    own = exchange.question.prosody == "on" and borrowed is None
    kind = profile.prosody if own else ProsodyKind.NONE
    stages_ms: dict[str, float] = {}
    with exchange.watch.remote("encoder", stages_ms):
        timeout_s = min(parts.settings.encode_timeout_s, exchange.deadline.remaining_s)
        speech = await parts.encoder.encode(pcm16, prosody=kind, timeout_s=timeout_s)
        stages_ms.update(speech.stages_ms)
    if borrowed is None:
        return speech
    if borrowed.encoder != speech.encoder:
        message = "that turn was heard by another encoder, whose prosody this one's LLM does not know"
        raise BadRequest(message, param="prosody_from", code="no_prosody")
    return replace(speech, prosody=borrowed)


async def _generate(
    exchange: Exchange, parts: Parts, session: Session, speech: Speech, answered: _Answered
) -> AsyncGenerator[str]:
    """The LLM's answer, piece by piece; `answered` holds the whole once it has ended."""
    watch = exchange.watch
    async with AsyncExitStack() as held:
        with watch.stage("prefill"):
            reply = await _open_reply(held, exchange, parts, session, speech)
            first = await anext(reply.pieces, "")
        if first:
            watch.first_token()
            answered.text = first
            yield first
        with watch.stage("generate"):
            async for piece in reply.pieces:
                answered.text += piece
                yield piece
    answered.finish_reason, answered.usage = reply.finish_reason, reply.usage
    if speech.prosody is not None:
        answered.prosody = reply.prosody


async def _open_reply(
    held: AsyncExitStack, exchange: Exchange, parts: Parts, session: Session, speech: Speech
) -> Reply:
    """To as much of the history as fits by estimate; less when the LLM finds it still too long."""
    sampling, instructions = exchange.question.sampling, session.instructions
    context_tokens = (await parts.llm.profile()).context_tokens
    encoder = speech.encoder if exchange.question.prosody == "on" else None
    turns = [replace(turn, prosody=understood(turn.prosody, encoder)) for turn in session.turns]
    if context_tokens is not None:
        turns = fitting(turns, budget(context_tokens, instructions, speech, sampling.max_tokens))
    messages = prompt(instructions, turns, speech)
    return await reply_that_fits(held, parts.llm, messages, sampling, exchange.deadline)


async def _continued(session: Session | None, session_id: str, question: Question, parts: Parts) -> Session:
    """A new session, or the old one, with the turn's own instructions if it brings any."""
    given = question.instructions
    if session is None:
        return await parts.store.create(session_id, parts.settings.instructions if given is None else given)
    return session if given is None else replace(session, instructions=given)


def _done(exchange: Exchange, session_id: str, speech: Speech, answered: _Answered) -> ChatAnswer:
    return ChatAnswer(
        session_id=session_id,
        turn_id=exchange.turn_id,
        transcript=speech.text,
        reply=answered.text,
        prosody=answered.prosody,
        no_speech=speech.no_speech,
        finish_reason=answered.finish_reason,
        usage=answered.usage,
        timing_ms=exchange.watch.report(),
    )

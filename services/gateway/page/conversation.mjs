/**
 * The conversation as the page knows it: what the server tells goes in, a new state comes out, and nothing else
 * happens. Times are the caller's.
 *
 * An entry is what a user said, typed or sent as a recording, with the answers to it. Its status:
 *   hearing -> transcribing -> done     speech
 *   sending -> done                     typed words and recordings
 *   failed, lost                        an error; the connection went and took it along
 * An answer's status: streaming -> completed | interrupted | incomplete | failed | lost.
 */

export function empty() {
  const nobody = { listening: false, talking: false, speaking: false, hearing: null, eager: null };
  return { connection: 'connecting', session: 0, entries: [], ...nobody };
}

/** After an event of the server's. now: ISO 8601, of entries that begin with it. */
export function told(state, event, now = '') {
  return EVENTS[event.type]?.(state, event, now) ?? state;
}

/** name: connecting, open, reconnecting or asleep. */
export function connected(state, name) {
  return name === 'open' ? { ...state, connection: name } : { ...state, connection: name, eager: null };
}

/** The user typed something, or sent a recording; its words may come later. */
export function sent(state, { id, source, text = '', name = null }, now = '') {
  return { ...state, entries: [...state.entries, { ...entry(state, id, source, now), status: 'sending', text, name }] };
}

/** It goes on its way once more. */
export function sentAgain(state, id) {
  return changed(state, id, { status: 'sending', error: null, session: state.session });
}

/** It could not be taken; the message says why. */
export function refused(state, id, message) {
  return changed(state, id, { status: 'failed', error: message });
}

/** listening: the microphone is open all the time. talking: the user holds the button. */
export function microphone(state, { listening = state.listening, talking = state.talking }) {
  return { ...state, listening, talking };
}

/** isSpeaking: an answer is read aloud, whose words may all have come. */
export function speaking(state, isSpeaking) {
  return { ...state, speaking: isSpeaking };
}

/** The user cut off the reading of an answer whose words had all come. */
export function cutOff(state, itemId) {
  return eachAnswer(state, (answer) =>
    answer.itemId === itemId && answer.status === 'completed' ? { ...answer, status: 'interrupted' } : answer,
  );
}

/** What the assistant does, in one word: connecting, reconnecting, asleep, hearing, eager, answering, thinking,
 * listening or ready. */
export function activity(state) {
  if (state.connection !== 'open') return state.connection;
  if (state.eager !== null) return 'eager';
  if (state.talking || state.hearing !== null) return 'hearing';
  if (streaming(state)) return 'answering';
  if (state.entries.some((entry) => ['transcribing', 'sending'].includes(entry.status))) return 'thinking';
  return state.listening ? 'listening' : 'ready';
}

/** The answer that is being given, if there is one. */
export function streaming(state) {
  return state.entries.flatMap((entry) => entry.answers).find((answer) => answer.status === 'streaming');
}

/** Whether a turn is the one that `response.create` would answer. */
export function isLast(state, entry) {
  return state.entries.findLast((other) => other.session === state.session && other.status === 'done') === entry;
}

const EVENTS = {
  'session.created': (state) => ({
    ...abandoned(state),
    connection: 'open',
    session: state.session + 1,
    hearing: null,
    eager: null,
  }),
  'session.resumed': (state) => ({ ...state, connection: 'open' }),

  'input_audio_buffer.speech_started': (state, { item_id: id }, now) => ({ ...begun(state, id, now), hearing: id }),
  'input_audio_buffer.speech_stopped': (state) => ({ ...state, hearing: null, eager: null }),
  'input_audio_buffer.committed': (state, { item_id: id }, now) => ({
    ...changed(begun(state, id, now), id, { status: 'transcribing' }),
    hearing: null,
    eager: null,
  }),
  'input_audio_buffer.cleared': (state) => ({
    ...state,
    hearing: null,
    eager: null,
    entries: state.entries.filter((entry) => entry.status !== 'hearing'),
  }),
  'turn.eager': (state, { item_id: id }) => ({ ...state, eager: id }),
  'turn.resumed': (state) => ({ ...state, eager: null }),

  'conversation.item.input_audio_transcription.delta': (state, { item_id: id, delta }) =>
    withEntry(state, id, (entry) => (entry.status === 'done' ? entry : { ...entry, text: entry.text + delta })),
  'conversation.item.input_audio_transcription.completed': (state, { item_id: id, transcript }) =>
    changed(state, id, { status: 'done', text: transcript }),
  'conversation.item.input_audio_transcription.failed': (state, { item_id: id, error }) =>
    changed(state, id, { status: 'failed', error: error?.message ?? 'what was said could not be understood' }),
  'conversation.item.done': (state, { item }) =>
    item.role === 'user'
      ? withEntry(state, item.id, (entry) => (entry.status === 'failed' ? entry : arrived(entry, item)))
      : state,
  'conversation.item.deleted': (state, { item_id: id }) =>
    eachAnswer(state, (answer) => (answer.itemId === id ? { ...answer, isKept: false } : answer)),

  'response.created': answerBegun,
  'response.output_item.added': (state, { response_id: id, item }) =>
    item.type === 'message' ? withAnswer(state, id, (answer) => ({ ...answer, itemId: item.id })) : state,
  'response.output_text.delta': answerGrown,
  'response.output_audio_transcript.delta': answerGrown,
  'response.output_text.done': (state, { response_id: id, text }) =>
    withAnswer(state, id, (answer) => ({ ...answer, text })),
  'response.output_audio_transcript.done': (state, { response_id: id, transcript }) =>
    withAnswer(state, id, (answer) => ({ ...answer, text: transcript })),
  'response.done': (state, { response }) =>
    withAnswer(state, response.id, (answer) => ({
      ...answer,
      status: ENDS[response.status] ?? 'failed',
      error: response.status_details?.error?.message ?? null,
      prosody: response.prosody ?? null,
      eager: response.eager ?? null,
      timing: response.timing_ms ?? null,
    })),
};

const ENDS = { completed: 'completed', cancelled: 'interrupted', incomplete: 'incomplete', failed: 'failed' };

function answerBegun(state, { response }) {
  const { to, tone = 'own' } = response.metadata ?? {};
  const asked = state.entries.findLast((entry) => entry.session === state.session && (!to || entry.id === to));
  if (asked === undefined) return state;
  const answer = {
    id: response.id,
    itemId: null,
    text: '',
    status: 'streaming',
    tone,
    prosody: null,
    eager: null,
    timing: null,
    error: null,
    isKept: true, // in the conversation that the LLM reads
  };
  return changed(state, asked.id, { answers: [...asked.answers, answer] });
}

function answerGrown(state, { response_id: id, delta }) {
  return withAnswer(state, id, (answer) => ({ ...answer, text: answer.text + delta }));
}

function arrived(entry, item) {
  const part = item.content?.[0] ?? {};
  const status = item.status === 'incomplete' ? 'failed' : 'done';
  return { ...entry, status, text: part.transcript ?? part.text ?? entry.text, prosody: item.prosody ?? null };
}

/** With an entry of that id, which may be there already. */
function begun(state, id, now) {
  if (state.entries.some((entry) => entry.id === id)) return state;
  return { ...state, entries: [...state.entries, entry(state, id, 'speech', now)] };
}

function entry(state, id, source, time) {
  const unknown = { text: '', name: null, error: null, prosody: null };
  return { id, source, time, session: state.session, status: 'hearing', ...unknown, answers: [] };
}

/** Nobody will end what the last session had begun. What is on its way goes on its way in the new one. */
function abandoned(state) {
  const entries = state.entries.map((entry) => {
    if (entry.status === 'sending') return { ...entry, session: state.session + 1 };
    return ['hearing', 'transcribing'].includes(entry.status) ? { ...entry, status: 'lost' } : entry;
  });
  const cut = (answer) => (answer.status === 'streaming' ? { ...answer, status: 'lost' } : answer);
  return eachAnswer({ ...state, entries }, cut);
}

function changed(state, id, fields) {
  return withEntry(state, id, (entry) => ({ ...entry, ...fields }));
}

function withEntry(state, id, change) {
  return { ...state, entries: state.entries.map((entry) => (entry.id === id ? change(entry) : entry)) };
}

function withAnswer(state, id, change) {
  return eachAnswer(state, (answer) => (answer.id === id ? change(answer) : answer));
}

/** Entries in which nothing changes stay the same objects: the page draws only what is new. */
function eachAnswer(state, change) {
  const entries = state.entries.map((entry) => {
    const answers = entry.answers.map(change);
    return answers.every((answer, i) => answer === entry.answers[i]) ? entry : { ...entry, answers };
  });
  return { ...state, entries };
}

import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as conversation from '../../../services/gateway/page/conversation.mjs';

const NOW = '2030-01-01T00:00:00Z';
const opened = conversation.told(conversation.empty(), { type: 'session.created', session: {} });

function after(state, ...events) {
  return events.reduce((before, event) => conversation.told(before, event, NOW), state);
}

const buffer = (what, id) => ({ type: `input_audio_buffer.${what}`, item_id: id });
const words = (what, id, fields) => ({
  type: `conversation.item.input_audio_transcription.${what}`,
  item_id: id,
  ...fields,
});
const item = (id, fields = {}) => ({
  type: 'conversation.item.done',
  item: { id, role: 'user', status: 'completed', content: [{ type: 'input_audio', transcript: 'Hello' }], ...fields },
});
const begin = (id, metadata = null) => ({ type: 'response.created', response: { id, metadata } });
const output = (id, itemId) => ({
  type: 'response.output_item.added',
  response_id: id,
  item: { id: itemId, type: 'message' },
});
const delta = (id, text) => ({ type: 'response.output_text.delta', response_id: id, delta: text });
const end = (id, fields = {}) => ({ type: 'response.done', response: { id, status: 'completed', ...fields } });
const spoken = (id) => [
  buffer('speech_started', id),
  buffer('speech_stopped', id),
  buffer('committed', id),
  words('completed', id, { transcript: 'Hello' }),
  item(id, { prosody: 'on' }),
];

test('a spoken turn passes through what the assistant does', () => {
  const events = [
    buffer('speech_started', 'a'),
    { type: 'turn.eager', item_id: 'a' },
    { type: 'turn.resumed', item_id: 'a' },
    { type: 'turn.eager', item_id: 'a' },
    buffer('committed', 'a'),
    begin('r'),
    end('r'),
  ];
  const seen = [];
  let state = conversation.microphone(opened, { listening: true });
  for (const event of events) {
    if (event.type === 'response.created') state = after(state, ...spoken('a').slice(3));
    state = after(state, event);
    seen.push(conversation.activity(state));
  }
  assert.deepEqual(seen, ['hearing', 'eager', 'hearing', 'eager', 'thinking', 'answering', 'listening']);
});

test('partial words are added up, and the whole transcript has the last word', () => {
  let state = after(opened, buffer('speech_started', 'a'), words('delta', 'a', { delta: 'Hell' }));
  state = after(state, words('delta', 'a', { delta: 'o there' }));
  assert.equal(state.entries[0].text, 'Hello there');
  state = after(state, words('completed', 'a', { transcript: 'Hello.' }), words('delta', 'a', { delta: ' late' }));
  assert.equal(state.entries[0].text, 'Hello.');
});

test('an answer grows, ends, and says how it was made', () => {
  const timing = { pause: 320, wait: 0, generate: 10, first_token: 320, total: 330, prefill: 90 };
  const state = after(
    opened,
    ...spoken('a'),
    begin('r'),
    output('r', 'i'),
    delta('r', 'Good '),
    delta('r', 'day.'),
    end('r', { prosody: 'on', eager: true, timing_ms: timing }),
  );
  const { text, status, itemId, prosody, eager, timing: shown } = state.entries[0].answers[0];
  assert.deepEqual([text, status, itemId, prosody, eager], ['Good day.', 'completed', 'i', 'on', true]);
  assert.deepEqual(shown, timing);
});

for (const [status, shown] of [['cancelled', 'interrupted'], ['incomplete', 'incomplete'], ['failed', 'failed']]) {
  test(`a response that is ${status} is shown as ${shown} with what was said of it`, () => {
    const state = after(opened, ...spoken('a'), begin('r'), delta('r', 'Good'), end('r', { status }));
    assert.equal(state.entries[0].answers[0].status, shown);
    assert.equal(state.entries[0].answers[0].text, 'Good');
  });
}

test('an answer stands with the turn that it names, else with the last', () => {
  const state = after(opened, ...spoken('a'), ...spoken('b'), begin('r1', { to: 'a', tone: 'none' }), begin('r2'));
  assert.deepEqual(
    state.entries.map((entry) => entry.answers.map((answer) => [answer.id, answer.tone])),
    [[['r1', 'none']], [['r2', 'own']]],
  );
});

test('an answer that was deleted from the conversation stays on the page', () => {
  const state = after(opened, ...spoken('a'), begin('r'), output('r', 'i'), end('r'), {
    type: 'conversation.item.deleted',
    item_id: 'i',
  });
  assert.equal(state.entries[0].answers[0].isKept, false);
});

test('what was taken back is gone', () => {
  const state = after(opened, ...spoken('a'), buffer('speech_started', 'b'), { type: 'input_audio_buffer.cleared' });
  assert.deepEqual(state.entries.map((entry) => entry.id), ['a']);
});

test('a new session loses what the old one had begun, and nothing that is on its way', () => {
  let state = after(opened, ...spoken('a'), begin('r'), delta('r', 'Good'), buffer('speech_started', 'b'));
  state = conversation.sent(state, { id: 'c', source: 'typed', text: 'Hi' }, NOW);
  state = after(state, { type: 'session.created', session: {} });
  assert.deepEqual(
    state.entries.map(({ status, session }) => [status, session]),
    [['done', 1], ['lost', 1], ['sending', 2]],
  );
  assert.equal(state.entries[0].answers[0].status, 'lost');
  assert.equal(conversation.activity(state), 'thinking');
});

test('a resumed session goes on where it was', () => {
  let state = after(opened, ...spoken('a'), begin('r'), delta('r', 'Good'));
  state = conversation.connected(state, 'reconnecting');
  assert.equal(conversation.activity(state), 'reconnecting');
  state = after(state, delta('r', ' day.'), end('r'), { type: 'session.resumed', input_audio_bytes: 0 });
  assert.equal(conversation.activity(state), 'ready');
  assert.equal(state.entries[0].answers[0].text, 'Good day.');
});

test('a message that was refused can be sent again', () => {
  let state = conversation.sent(opened, { id: 'c', source: 'file', name: 'a.wav' }, NOW);
  state = conversation.refused(state, 'c', 'too long');
  assert.deepEqual([state.entries[0].status, state.entries[0].error], ['failed', 'too long']);
  state = after(conversation.sentAgain(state, 'c'), item('c', { prosody: 'on' }));
  assert.deepEqual([state.entries[0].status, state.entries[0].text], ['done', 'Hello']);
});

test('speech over the reading of a finished answer interrupts it', () => {
  const state = after(opened, ...spoken('a'), begin('r'), output('r', 'i'), end('r'));
  assert.equal(conversation.cutOff(state, 'i').entries[0].answers[0].status, 'interrupted');
});

test('the turn that would be answered is the last that arrived in this session', () => {
  let state = after(opened, ...spoken('a'), ...spoken('b'));
  state = conversation.refused(conversation.sent(state, { id: 'c', source: 'typed', text: 'x' }), 'c', 'no');
  assert.deepEqual(state.entries.map((entry) => conversation.isLast(state, entry)), [false, true, false]);
  const anew = after(state, { type: 'session.created', session: {} });
  assert.ok(!anew.entries.some((entry) => conversation.isLast(anew, entry)));
});

test('an entry that nothing happens to stays the same object', () => {
  const before = after(opened, ...spoken('a'), ...spoken('b'), begin('r'));
  const state = after(before, delta('r', 'Good'));
  assert.equal(state.entries[0], before.entries[0]);
  assert.notEqual(state.entries[1], before.entries[1]);
});

test('an event of another kind changes nothing', () => {
  assert.equal(after(opened, { type: 'rate_limits.updated' }), opened);
});

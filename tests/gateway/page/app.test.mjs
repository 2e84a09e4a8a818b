import assert from 'node:assert/strict';
import { test } from 'node:test';

import { App } from '../../../services/gateway/page/app.mjs';
import { Messages } from '../../../services/gateway/page/messages.mjs';
import { Reader } from '../../../services/gateway/page/reader.mjs';
import { asJson, asText } from '../../../services/gateway/page/transcript.mjs';
import { tonesFor } from '../../../services/gateway/page/tones.mjs';
import { Voice } from '../../../services/gateway/page/voice.mjs';

const SPOKEN = Uint8Array.of(1, 2);

/** The page without a page: what it sends, what it tells. */
function page() {
  const here = { sent: [], notices: [], spoken: [], isUp: true };
  const connection = {
    send: (event) => here.isUp && Boolean(here.sent.push(event)),
    sendAudio: (bytes) => here.sent.push({ type: 'audio', bytes }),
    wake() {},
  };
  const microphone = { isOpen: true, open: async () => {}, flush: async () => {} };
  microphone.close = () => (microphone.isOpen = false);
  here.sentences = [];
  const synthesis = { speak: ({ text }) => here.spoken.push(text), cancel: () => here.spoken.push(null) };
  const utter = (text) => here.sentences[here.sentences.push({ text }) - 1];
  here.player = { cut: null, play() {}, interrupt: () => here.player.cut };
  const app = new App({ show() {}, tell: (message) => here.notices.push(message) });
  const messages = new Messages(connection.send);
  const voice = new Voice(here.player, new Reader(synthesis, utter, () => app.onVoice()));
  app.use({ connection, messages, microphone, voice, maxSeconds: () => 60 });
  Object.assign(here, { app, microphone });
  here.tell = (...events) => events.forEach((event) => app.onEvent(event));
  here.types = () => here.sent.splice(0).map((event) => event.type);
  here.tell({ type: 'session.created', session: {} });
  return here;
}

const item = (id, text, prosody = 'off') => ({
  type: 'conversation.item.done',
  item: { id, role: 'user', status: 'completed', prosody, content: [{ type: 'input_text', text }] },
});
const begin = (id, to) => ({ type: 'response.created', response: { id, metadata: to ? { to, tone: 'own' } : null } });
const grow = (id, itemId, delta) => ({ type: 'response.output_text.delta', response_id: id, item_id: itemId, delta });
const output = (id, itemId) => ({
  type: 'response.output_item.added',
  response_id: id,
  item: { id: itemId, type: 'message' },
});
const end = (id, status = 'completed') => ({ type: 'response.done', response: { id, status } });
const spoken = (id, text) => [
  { type: 'input_audio_buffer.committed', item_id: id },
  { type: 'conversation.item.input_audio_transcription.completed', item_id: id, transcript: text },
  item(id, text, 'on'),
];
const heldFor = async (here, level) => {
  await here.app.press();
  here.app.onSound(SPOKEN, level);
  const { now } = performance;
  performance.now = () => now.call(performance) + 1000;
  try {
    await here.app.release();
  } finally {
    performance.now = now;
  }
};

test('a typed message is answered once the server has it', () => {
  const here = page();
  here.types();
  assert.ok(here.app.type('Hello'));
  const [{ item: created }] = here.sent;
  assert.deepEqual(here.types(), ['conversation.item.create']);
  here.tell(item(created.id, 'Hello'));
  const [asked] = here.sent;
  assert.deepEqual(asked.response, { metadata: { to: created.id, tone: 'own' } });
});

test('a message that was on its way when the connection went is sent again, once', () => {
  const here = page();
  here.isUp = false;
  here.app.type('Hello');
  here.isUp = true;
  here.types();
  here.tell({ type: 'session.created', session: {} });
  assert.deepEqual(here.types(), ['session.update', 'conversation.item.create']);
  const [{ id }] = here.app.state.entries;
  here.tell(item(id, 'Hello'), begin('r', id), { type: 'session.resumed', input_audio_bytes: 0 });
  assert.deepEqual(here.types(), ['response.create', 'session.update']);
});

test('a recording in which nothing is said is not answered', () => {
  const here = page();
  here.app.type('x');
  const [{ id }] = here.app.state.entries;
  here.types();
  here.tell(item(id, ''));
  assert.deepEqual(here.types(), []);
});

test('a message that is refused stays with its reason, and can be sent again', () => {
  const here = page();
  here.app.type('Hello');
  const [{ id }] = here.app.state.entries;
  here.types();
  here.tell({ type: 'error', error: { event_id: id, message: 'the encoder is away', code: 'unavailable' } });
  assert.equal(here.app.state.entries[0].error, 'the encoder is away');
  assert.deepEqual(here.notices, []);
  here.app.sendAgain(id);
  assert.deepEqual(here.types(), ['conversation.item.create']);
});

test('holding the button sends what is said, and asks for an answer', async () => {
  const here = page();
  here.types();
  here.app.onSound(SPOKEN, 1);
  assert.deepEqual(here.types(), []); // the microphone is open, and nobody talks
  await heldFor(here, 0.5);
  assert.deepEqual(here.types(), ['input_audio_buffer.clear', 'audio', 'input_audio_buffer.commit', 'response.create']);
});

test('holding the button in silence asks for nothing', async () => {
  const here = page();
  here.types();
  await heldFor(here, 0.001);
  assert.deepEqual(here.types(), ['input_audio_buffer.clear', 'audio', 'input_audio_buffer.clear']);
  assert.match(here.notices[0], /silent/);
});

test('whoever waits for the microphone and lets go is told to hold the button again', async () => {
  const here = page();
  here.types();
  const pressing = here.app.press();
  await here.app.release();
  await pressing;
  assert.deepEqual(here.types(), []);
  assert.match(here.notices[0], /ready/);
  await heldFor(here, 0.5);
  assert.ok(here.types().includes('input_audio_buffer.commit'));
});

test('whoever goes back to holding while the microphone is asked for is not listened to', async () => {
  const here = page();
  const choosing = here.app.setHandsFree(true);
  await here.app.setHandsFree(false);
  await choosing;
  assert.equal(here.app.state.listening, false);
  assert.equal(here.microphone.isOpen, false);
});

test('a commit of nothing is not made again', async () => {
  const here = page();
  await heldFor(here, 0.5);
  here.tell({ type: 'error', error: { code: 'input_audio_buffer_commit_empty', message: 'there is no sound' } });
  here.types();
  here.tell({ type: 'session.resumed', input_audio_bytes: 0 });
  assert.deepEqual(here.types(), ['session.update']);
});

test('talking over an answer ends it', async () => {
  const here = page();
  here.tell(...spoken('a', 'Hello'), begin('r'), grow('r', 'i', 'Good'));
  here.types();
  await here.app.press();
  assert.deepEqual(here.types(), ['response.cancel', 'input_audio_buffer.clear']);
});

test('a commit that may have been lost is made again when the session resumes', async () => {
  const here = page();
  here.types();
  await heldFor(here, 0.5);
  here.types();
  here.tell({ type: 'session.resumed', input_audio_bytes: 0 });
  assert.deepEqual(here.types(), ['session.update', 'input_audio_buffer.commit', 'response.create']);
  here.tell(...spoken('a', 'Hello'), { type: 'session.resumed', input_audio_bytes: 0 });
  assert.deepEqual(here.types(), ['session.update']);
});

test('the last turn is answered again in its place, and the answer before is forgotten', () => {
  const here = page();
  here.tell(...spoken('a', 'Hello'), begin('r'), output('r', 'i'), grow('r', 'i', 'Good.'), end('r'));
  here.types();
  here.app.answerAgain('a', 'none');
  const [forgotten, asked] = here.sent;
  assert.deepEqual([forgotten.type, forgotten.item_id], ['conversation.item.delete', 'i']);
  assert.deepEqual(asked.response, { prosody: 'off', metadata: { to: 'a', tone: 'none' } });
});

test('an earlier turn is asked again at the end, in the tone it had', () => {
  const here = page();
  here.tell(...spoken('a', 'Hello'), begin('r'), end('r'), ...spoken('b', 'And now?'), begin('s'), end('s'));
  here.types();
  here.app.answerAgain('a', 'own');
  const [{ item: created }] = here.sent;
  assert.equal(created.content[0].text, 'Hello');
  here.types();
  here.tell(item(created.id, 'Hello'));
  assert.deepEqual(here.sent[0].response, { prosody_from: 'a', metadata: { to: created.id, tone: 'a' } });
});

test('a turn can borrow the tone of those that have one', () => {
  const here = page();
  here.tell(...spoken('a', 'Hello'), ...spoken('b', 'And now?'));
  here.app.type('Typed');
  here.tell(item(here.app.state.entries[2].id, 'Typed'));
  const [first, , third] = here.app.state.entries;
  assert.deepEqual(tonesFor(here.app.state, first).map(({ value }) => value), ['none', 'own', 'b']);
  assert.deepEqual(tonesFor(here.app.state, third).map(({ value }) => value), ['none', 'a', 'b']);
});

test('sound is asked for by itself, so that a server without it takes the rest', () => {
  const here = page();
  here.app.setVoice(true);
  assert.deepEqual(here.sent.at(-1).session, { type: 'realtime', output_modalities: ['audio'] });
});

test('the browser reads an answer sentence by sentence where the server sends no sound', () => {
  const here = page();
  here.app.setVoice(true);
  here.spoken.length = 0;
  const done = { type: 'response.output_text.done', response_id: 'r', item_id: 'i', text: '' };
  here.tell(...spoken('a', 'Hello'), begin('r'), grow('r', 'i', 'Good d'), grow('r', 'i', 'ay. It is '), done);
  assert.deepEqual(here.spoken, ['Good day.', 'It is']);
  here.tell({ type: 'input_audio_buffer.speech_started', item_id: 'b' });
  assert.equal(here.spoken.at(-1), null);
});

test('an answer can be stopped until its last sentence is read', () => {
  const here = page();
  here.app.setVoice(true);
  const done = { type: 'response.output_text.done', response_id: 'r', item_id: 'i', text: '' };
  here.tell(...spoken('a', 'Hello'), begin('r'), grow('r', 'i', 'Good day.'), done, end('r'));
  assert.equal(here.app.state.speaking, true);
  here.sentences.at(-1).onend();
  assert.equal(here.app.state.speaking, false);
});

test('speech over the server’s sound stops it, and the server is told what was heard', () => {
  const here = page();
  here.app.setVoice(true);
  here.tell(...spoken('a', 'Hello'), begin('r'), output('r', 'i'), end('r'));
  here.types();
  here.player.cut = { itemId: 'i', heardMs: 812.6 };
  here.tell({ type: 'input_audio_buffer.speech_started', item_id: 'b' });
  assert.deepEqual(here.sent, [
    { type: 'conversation.item.truncate', item_id: 'i', content_index: 0, audio_end_ms: 812 },
  ]);
  assert.equal(here.app.state.entries[0].answers[0].status, 'interrupted');
});

test('a fresh session after a lost one is said, and the conversation stays', () => {
  const here = page();
  here.tell(...spoken('a', 'Hello'), { type: 'session.created', session: {} });
  assert.match(here.notices[0], /begun anew/);
  assert.equal(here.app.state.entries.length, 1);
});

test('the transcript has every word, and the JSON the times', () => {
  const here = page();
  const timing = { total: 10 };
  here.tell(...spoken('a', 'Hello'), begin('r'), grow('r', 'i', 'Good'), {
    type: 'response.done',
    response: { id: 'r', status: 'cancelled', prosody: 'on', timing_ms: timing },
  });
  here.tell(begin('s', 'a'), grow('s', 'j', 'Good day.'), end('s'));
  const lines = ['You: Hello', 'TextPro (your tone): Good [interrupted]', 'TextPro (your tone): Good day.', ''];
  assert.equal(asText(here.app.state), lines.join('\n'));
  const { turns } = JSON.parse(asJson(here.app.state));
  assert.deepEqual(turns[0].answers[0].timing_ms, timing);
  assert.equal(turns[0].prosody, 'on');
});

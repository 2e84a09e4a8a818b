import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Connection } from '../../../services/gateway/page/connection.mjs';
import { fromBase64 } from '../../../services/gateway/page/pcm.mjs';

/** A connection whose sockets, clock and gateway are the test's. */
function line({ isAlive = false } = {}) {
  const here = { sockets: [], timers: [], events: [], states: [], isAlive };
  const outside = {
    open(url) {
      const socket = { url, readyState: 0, bufferedAmount: 0, sent: [] };
      socket.send = (text) => socket.sent.push(JSON.parse(text));
      socket.close = (code) => hangUp(socket, { code });
      here.sockets.push(socket);
      return socket;
    },
    isAlive: async () => here.isAlive,
    later: (act, ms) => here.timers.push({ act, ms }),
    cancel() {},
    jitter: () => 1,
  };
  here.connection = new Connection('ws://here/v1/realtime', {
    onEvent: (event) => here.events.push(event),
    onState: (name) => here.states.push(name),
    outside,
  });
  here.connection.start();
  return here;
}

function tell(socket, event) {
  if (socket.readyState === 0) {
    socket.readyState = 1;
    socket.onopen();
  }
  socket.onmessage({ data: JSON.stringify(event) });
}

/** The connection goes, and coming back fails so many times. */
async function refused(here, times) {
  hangUp(here.sockets.at(-1));
  await settled();
  for (let i = 0; i < times; i += 1) {
    here.timers.at(-1).act();
    hangUp(here.sockets.at(-1));
    await settled();
  }
}

function hangUp(socket, { code = 1006, reason = '' } = {}) {
  socket.code = code;
  socket.readyState = 3;
  socket.onclose({ code, reason });
}

const settled = () => new Promise((resolve) => setImmediate(resolve));
const created = (token) => ({ type: 'session.created', server_event_seq: 1, session: { resume_token: token } });

test('nothing is sent before the session is there', () => {
  const here = line();
  assert.equal(here.connection.send({ type: 'x' }), false);
  tell(here.sockets[0], created('t'));
  assert.equal(here.connection.send({ type: 'x' }), true);
  assert.deepEqual(here.states, ['connecting', 'open']);
});

test('a lost connection resumes after the last event, and sends the audio that did not arrive', async () => {
  const here = line();
  tell(here.sockets[0], created('t'));
  tell(here.sockets[0], { type: 'turn.eager', server_event_seq: 2 });
  here.connection.sendAudio(Uint8Array.of(1, 2, 3, 4));
  hangUp(here.sockets[0]);
  here.connection.sendAudio(Uint8Array.of(5, 6)); // spoken meanwhile
  await settled();
  here.timers[0].act();
  const [, socket] = here.sockets;
  assert.equal(socket.url.searchParams.get('resume_token'), 't');
  assert.equal(socket.url.searchParams.get('last_event_seq'), '2');
  tell(socket, { type: 'turn.eager', server_event_seq: 2 });
  tell(socket, { type: 'turn.resumed', server_event_seq: 3 });
  assert.equal(socket.sent.length, 0);
  tell(socket, { type: 'session.resumed', server_event_seq: 4, input_audio_bytes: 2 });
  assert.deepEqual(
    socket.sent.flatMap(({ audio }) => [...fromBase64(audio)]),
    [3, 4, 5, 6],
  );
  assert.deepEqual(
    here.events.map(({ type }) => type),
    ['session.created', 'turn.eager', 'turn.resumed', 'session.resumed'],
  );
});

test('a gateway that is away is tried again and again, in the same session', async () => {
  const here = line();
  tell(here.sockets[0], created('t'));
  hangUp(here.sockets[0]);
  for (let i = 0; i < 8; i++) {
    await settled();
    here.timers.at(-1).act();
    hangUp(here.sockets.at(-1));
  }
  await settled();
  const waits = here.timers.map(({ ms }) => ms);
  assert.deepEqual(waits.slice(0, 4), [500, 1000, 2000, 4000]);
  assert.equal(waits.at(-1), 15_000);
  assert.ok(here.sockets.at(-1).url.searchParams.has('resume_token'));
});

test('a gateway that answers, but never this call, gets a fresh one, and none of the old audio', async () => {
  const here = line({ isAlive: true });
  tell(here.sockets[0], created('t'));
  here.connection.sendAudio(Uint8Array.of(1, 2));
  await refused(here, 3);
  assert.deepEqual(here.timers.map(({ ms }) => ms), [500, 1000, 2000, 0]);
  here.timers.at(-1).act();
  assert.equal(here.sockets.at(-1).url.search, '');
  tell(here.sockets.at(-1), created('u'));
  assert.equal(here.sockets.at(-1).sent.length, 0);
  assert.equal(here.states.at(-1), 'open');
});

test('a call that a full gateway refuses for a while is not forgotten', async () => {
  const here = line({ isAlive: true });
  tell(here.sockets[0], created('t'));
  await refused(here, 2);
  here.timers.at(-1).act();
  assert.equal(here.sockets.at(-1).url.searchParams.get('resume_token'), 't');
});

test('where nothing was said for long it rests until somebody wakes it', async () => {
  const here = line();
  tell(here.sockets[0], created('t'));
  hangUp(here.sockets[0], { code: 1013, reason: 'nothing came for 300 s (TEXTPRO_LIVE_IDLE_S)' });
  await settled();
  assert.equal(here.states.at(-1), 'asleep');
  assert.equal(here.timers.length, 0);
  here.connection.wake();
  assert.equal(here.sockets.length, 2);
});

test('a network too slow for the sound is a lost one', async () => {
  const here = line();
  tell(here.sockets[0], created('t'));
  here.sockets[0].bufferedAmount = 2 ** 23;
  here.connection.sendAudio(Uint8Array.of(1, 2));
  await settled();
  assert.equal(here.sockets[0].code, 4000); // 1000 would be a goodbye
  assert.equal(here.states.at(-1), 'reconnecting');
});

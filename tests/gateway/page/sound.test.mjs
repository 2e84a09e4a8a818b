import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fromBase64, fromPcm16, peak, toBase64, toPcm16 } from '../../../services/gateway/page/pcm.mjs';
import { longest } from '../../../services/gateway/page/recording.mjs';
import { Resampler } from '../../../services/gateway/page/resampler.mjs';
import { SentAudio } from '../../../services/gateway/page/sent-audio.mjs';
import { Speaker } from '../../../services/gateway/page/speaker.mjs';

const EDGE = 300; // outputs at each end that the filter needs to fill and to empty

function tone(hertz, rate, seconds) {
  return Float32Array.from({ length: rate * seconds }, (_, i) => 0.5 * Math.sin((2 * Math.PI * hertz * i) / rate));
}

function resampled(input, from, to, blocks = 1) {
  const resampler = new Resampler(from, to);
  const parts = [];
  const size = Math.ceil(input.length / blocks);
  for (let start = 0; start < input.length; start += size) {
    parts.push(...resampler.push(input.subarray(start, start + size)));
  }
  return Float32Array.from([...parts, ...resampler.flush()]);
}

const inner = (samples) => samples.subarray(EDGE, samples.length - EDGE);

for (const from of [48_000, 44_100, 96_000, 16_000, 8_000]) {
  test(`a tone of 440 Hz at ${from} Hz is the same tone at 16 kHz`, () => {
    const output = resampled(tone(440, from, 0.25), from, 16_000);
    const wanted = tone(440, 16_000, 0.25);
    assert.ok(Math.abs(output.length - wanted.length) <= 1);
    for (let i = EDGE; i < wanted.length - EDGE; i++) assert.ok(Math.abs(output[i] - wanted[i]) < 2e-3, `at ${i}`);
  });
}

test('what 16 kHz can’t hold is taken out and does not come back as something else', () => {
  assert.ok(peak(inner(resampled(tone(10_000, 48_000, 0.25), 48_000, 16_000))) < 2e-3);
});

test('however the samples are cut into blocks, the same comes out', () => {
  const input = tone(700, 44_100, 0.2);
  assert.deepEqual(resampled(input, 44_100, 16_000, 37), resampled(input, 44_100, 16_000));
});

test('PCM16 is clipped, and comes back', () => {
  assert.deepEqual([...toPcm16(Float32Array.of(-2, -1, 0, 0.5, 1))], [-32_768, -32_768, 0, 16_384, 32_767]);
  assert.deepEqual([...fromPcm16(Int16Array.of(-32_768, 16_384))], [-1, 0.5]);
});

test('base64 comes back, also when it is long', () => {
  const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i % 251);
  assert.deepEqual(fromBase64(toBase64(bytes)), bytes);
});

test('sent audio is kept by its place, and no more of it than fits', () => {
  const sent = new SentAudio(6);
  for (const block of [[1, 2], [3, 4], [5, 6], [7, 8]]) sent.add(Uint8Array.from(block));
  const after = (n) => sent.after(n).flatMap((block) => [...block]);
  assert.deepEqual(after(5), [6, 7, 8]);
  assert.deepEqual(after(8), []);
  assert.deepEqual(after(1), [3, 4, 5, 6, 7, 8]); // byte 2 is gone; the server counts on from 1
  assert.deepEqual(after(7), []);
  sent.add(Uint8Array.of(9));
  assert.deepEqual(after(7), [9]);
  sent.reset();
  assert.deepEqual(after(0), []);
});

test('a recording may be as long as the server takes, in time and in one message', () => {
  assert.equal(longest({ settings: { max_seconds: 60, max_message_bytes: 4 * 2 ** 20 } }), 60);
  assert.equal(longest({ settings: { max_seconds: 60, max_message_bytes: 2 ** 20 } }), 24);
  assert.equal(longest(null), 60);
});

/** An AudioContext with a clock of the test's. */
function clock() {
  const context = { currentTime: 0, outputLatency: 0, destination: {}, stopped: 0 };
  context.createBuffer = (_, length, rate) => ({ duration: length / rate, copyToChannel() {} });
  context.createBufferSource = () => ({ connect() {}, start() {}, stop: () => (context.stopped += 1) });
  return context;
}

test('what was heard of an answer is what was played of it', () => {
  const context = clock();
  const speaker = new Speaker(() => context);
  assert.equal(speaker.interrupt(), null);
  for (let i = 0; i < 3; i++) speaker.play('i', new Uint8Array(48_000), 24_000); // a second each
  context.currentTime = 1.56; // 60 ms of lead
  const { itemId, heardMs } = speaker.interrupt();
  assert.equal(itemId, 'i');
  assert.ok(Math.abs(heardMs - 1500) < 1e-6);
  assert.equal(context.stopped, 3);
  assert.equal(speaker.isPlaying, false);
});

test('an answer is played behind the one before, and all is silenced at once', () => {
  const context = clock();
  const speaker = new Speaker(() => context);
  for (const itemId of ['i', 'j']) speaker.play(itemId, new Uint8Array(48_000), 24_000);
  context.currentTime = 0.56;
  assert.deepEqual(speaker.interrupt(), { itemId: 'i', heardMs: 500 });
  assert.equal(context.stopped, 2);
  for (const itemId of ['i', 'j']) speaker.play(itemId, new Uint8Array(48_000), 24_000);
  context.currentTime += 1.56;
  assert.equal(speaker.interrupt().itemId, 'j');
});

test('what was heard to its end can’t be interrupted', () => {
  const context = clock();
  const speaker = new Speaker(() => context);
  speaker.play('i', new Uint8Array(48_000), 24_000);
  context.currentTime = 2;
  assert.equal(speaker.interrupt(), null);
});

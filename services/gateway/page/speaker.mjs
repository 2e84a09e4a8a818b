/** Plays the sound of answers, and knows how much of it was heard. */

import { fromPcm16 } from './pcm.mjs';

const LEAD_S = 0.06; // before the first sound, so that the second is there in time

export class Speaker {
  #context;
  #onEnd;
  #parts = []; // {itemId, node, start, seconds} of the answers that are playing, in their order

  /** context(): the page's AudioContext. onEnd(): a part has been played; it may have been the last. */
  constructor(context, onEnd) {
    this.#context = context;
    this.#onEnd = onEnd;
  }

  get isPlaying() {
    const last = this.#parts.at(-1);
    return last !== undefined && this.#context().currentTime < last.start + last.seconds;
  }

  /** bytes: PCM16 at `rate`; it follows what came before it. */
  play(itemId, bytes, rate) {
    const context = this.#context();
    const samples = fromPcm16(new Int16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1));
    if (samples.length === 0) return;
    const buffer = context.createBuffer(1, samples.length, rate);
    buffer.copyToChannel(samples, 0);
    const node = context.createBufferSource();
    node.buffer = buffer;
    node.connect(context.destination);
    const now = context.currentTime;
    this.#parts = this.#parts.filter((part) => part.itemId === itemId || part.start + part.seconds > now);
    const last = this.#parts.at(-1);
    const start = Math.max(now + LEAD_S, last ? last.start + last.seconds : 0);
    node.onended = this.#onEnd;
    node.start(start);
    this.#parts.push({ itemId, node, start, seconds: buffer.duration });
  }

  /** Silence, at once: {itemId, heardMs} of what was playing, or null. */
  interrupt() {
    if (!this.isPlaying) return null;
    const context = this.#context();
    const now = context.currentTime - (context.outputLatency || 0);
    const { itemId } = this.#parts.find((part) => part.start + part.seconds > now);
    const own = this.#parts.filter((part) => part.itemId === itemId);
    const heard = own.map(({ start, seconds }) => Math.min(seconds, Math.max(0, now - start)));
    for (const { node } of this.#parts) node.stop();
    this.#parts = [];
    return { itemId, heardMs: 1000 * heard.reduce((sum, seconds) => sum + seconds, 0) };
  }
}

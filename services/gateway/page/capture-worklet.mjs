/** In the audio thread: the microphone's samples become blocks of PCM16 at the wire's rate. */

import { peak, RATE, toPcm16 } from './pcm.mjs';
import { Resampler } from './resampler.mjs';

const BLOCK_MS = 32; // what the server's voice detection judges at once

class Capture extends AudioWorkletProcessor {
  #resampler = new Resampler(sampleRate, RATE);
  #block = new Float32Array(Math.round((sampleRate * BLOCK_MS) / 1000));
  #filled = 0;

  constructor() {
    super();
    this.port.onmessage = () => this.#flush();
  }

  process([[samples]]) {
    for (let start = 0; samples && start < samples.length; ) {
      const part = samples.subarray(start, start + this.#block.length - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled += part.length;
      start += part.length;
      if (this.#filled === this.#block.length) this.#post(this.#resampler.push(this.#block));
    }
    return true;
  }

  /** What came since the last block; then the answer that no more of it is left. */
  #flush() {
    this.#post(this.#resampler.push(this.#block.subarray(0, this.#filled)));
    this.#post(this.#resampler.flush());
    this.port.postMessage({ isFlushed: true });
  }

  #post(samples) {
    this.#filled = 0;
    const { buffer } = toPcm16(samples);
    this.port.postMessage({ pcm16: buffer, level: peak(samples) }, [buffer]);
  }
}

registerProcessor('capture', Capture);

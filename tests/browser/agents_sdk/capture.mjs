/** In the audio thread: the microphone's samples as blocks of PCM16. */

const BLOCK = 2400; // 100 ms at 24 kHz

class Capture extends AudioWorkletProcessor {
  #block = new Int16Array(BLOCK);
  #filled = 0;

  process([[samples]]) {
    for (const sample of samples ?? []) {
      this.#block[this.#filled++] = Math.max(-1, Math.min(1, sample)) * 0x7fff;
      if (this.#filled < BLOCK) continue;
      this.port.postMessage(this.#block.buffer, [this.#block.buffer]);
      this.#block = new Int16Array(BLOCK);
      this.#filled = 0;
    }
    return true;
  }
}

registerProcessor('capture', Capture);

/** Answers aloud: as the server says them, or, where it sends no sound, in the browser's voice. */

import { fromBase64 } from './pcm.mjs';

const USUAL_RATE = 24_000;

export class Voice {
  #speaker;
  #reader;
  #rate = USUAL_RATE;
  #isOn = false;

  /** reader: null where the browser has no voice. */
  constructor(speaker, reader) {
    this.#speaker = speaker;
    this.#reader = reader;
  }

  get isOn() {
    return this.#isOn;
  }

  get isSpeaking() {
    return this.#speaker.isPlaying || (this.#reader?.isReading ?? false);
  }

  turn(isOn) {
    this.#isOn = isOn;
    if (!isOn) this.interrupt();
  }

  /** Every event of the server's. */
  hear(event) {
    if (event.session) this.#rate = event.session.audio?.output?.format?.rate ?? USUAL_RATE;
    if (!this.#isOn) return;
    switch (event.type) {
      case 'response.output_audio.delta':
        this.#speaker.play(event.item_id, fromBase64(event.delta), this.#rate);
        break;
      case 'response.output_text.delta':
        this.#reader?.add(event.item_id, event.delta);
        break;
      case 'response.output_text.done':
        this.#reader?.finish();
        break;
    }
  }

  /** Silence, at once: {itemId, heardMs} of what was cut off, or null; heardMs is null for the browser's voice. */
  interrupt() {
    const played = this.#speaker.interrupt();
    const itemId = this.#reader?.interrupt() ?? null;
    return played ?? (itemId === null ? null : { itemId, heardMs: null });
  }
}

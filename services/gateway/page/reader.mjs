/** Reads an answer aloud with the browser's voice, sentence by sentence as it comes. */

const SENTENCE = /^[\s\S]*?[.!?…]["'”’)\]]*\s+/;

export class Reader {
  #synthesis;
  #utter;
  #onEnd;
  #rest = '';
  #unread = new Set(); // sentences that are not read to their end
  #itemId = null;

  /** synthesis: the browser's speechSynthesis. utter(text): a new SpeechSynthesisUtterance. onEnd(): one was read. */
  constructor(synthesis, utter, onEnd) {
    this.#synthesis = synthesis;
    this.#utter = utter;
    this.#onEnd = onEnd;
  }

  get isReading() {
    return this.#unread.size > 0;
  }

  /** The text of an item goes on. */
  add(itemId, text) {
    if (itemId !== this.#itemId) {
      this.#itemId = itemId;
      this.#rest = '';
    }
    this.#rest += text;
    for (let found; (found = SENTENCE.exec(this.#rest)); ) {
      this.#read(found[0]);
      this.#rest = this.#rest.slice(found[0].length);
    }
  }

  /** There is no more of it. */
  finish() {
    this.#read(this.#rest);
    this.#rest = '';
  }

  /** Silence, at once: the id of the item that was being read, or null. */
  interrupt() {
    const itemId = this.isReading ? this.#itemId : null;
    this.#rest = '';
    this.#unread.clear();
    this.#synthesis.cancel();
    return itemId;
  }

  #read(text) {
    if (!text.trim()) return;
    const utterance = this.#utter(text.trim());
    utterance.onend = utterance.onerror = () => {
      this.#unread.delete(utterance);
      this.#onEnd();
    };
    this.#unread.add(utterance);
    this.#synthesis.speak(utterance);
  }
}

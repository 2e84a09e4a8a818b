/** The last seconds of audio that were sent, by their place in all of it: what a lost connection may have swallowed. */

export class SentAudio {
  #blocks = [];
  #start = 0; // of the first block kept, in bytes since the session began
  #end = 0;
  #maxBytes;

  constructor(maxBytes) {
    this.#maxBytes = maxBytes;
  }

  /** A session begins: nothing was sent in it. */
  reset() {
    this.#blocks = [];
    this.#start = this.#end = 0;
  }

  add(bytes) {
    this.#blocks.push(bytes);
    this.#end += bytes.length;
    while (this.#end - this.#start > this.#maxBytes) this.#start += this.#blocks.shift().length;
  }

  /** What comes after the first `nBytes`, which the server has, in blocks. Where the server is behind what is kept, it
   * counts on from what it has, and so do we. */
  after(nBytes) {
    if (nBytes < this.#start) {
      this.#end -= this.#start - nBytes;
      this.#start = nBytes;
    }
    const blocks = [];
    let place = this.#start;
    for (const block of this.#blocks) {
      const from = Math.max(0, nBytes - place);
      if (from < block.length) blocks.push(block.subarray(from));
      place += block.length;
    }
    return blocks;
  }
}

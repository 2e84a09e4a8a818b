/** The microphone: blocks of PCM16, and how loud they are. */

const REASONS = {
  NotAllowedError: 'The microphone is not allowed here. Allow it in the browser’s settings, then try again.',
  NotFoundError: 'No microphone was found. Connect one, then try again.',
  NotReadableError: 'The microphone can’t be read. Another program may be using it.',
};
const INSECURE =
  'The browser gives the microphone only to secure pages: open this one over https, or on this machine as localhost.';

export class Microphone {
  #context;
  #onBlock;
  #onLost;
  #stream = null;
  #node = null;
  #opening = null;
  #flushed = () => {};

  /** context(): the page's AudioContext. onBlock(bytes, level): 32 ms of PCM16, and its peak from 0 to 1. onLost(): it
   * was taken away. */
  constructor(context, { onBlock, onLost }) {
    this.#context = context;
    this.#onBlock = onBlock;
    this.#onLost = onLost;
  }

  get isOpen() {
    return this.#node !== null;
  }

  /** Throws an Error whose message is for the user. */
  async open() {
    this.#opening ??= this.#open().finally(() => (this.#opening = null));
    await this.#opening;
  }

  /** Once it returns, all that was said before has come as blocks. */
  async flush() {
    if (!this.isOpen) return;
    const flushed = new Promise((resolve) => (this.#flushed = resolve));
    this.#node.port.postMessage('flush');
    await flushed;
  }

  close() {
    this.#flushed();
    this.#node?.disconnect();
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#node = this.#stream = null;
  }

  async #open() {
    if (this.isOpen) return;
    if (!navigator.mediaDevices) throw new Error(INSECURE);
    const context = this.#context();
    try {
      // No noise suppression: it takes breath and whispering away, which are tone.
      this.#stream = await navigator.mediaDevices.getUserMedia({
        audio: { channelCount: 1, echoCancellation: true, autoGainControl: true, noiseSuppression: false },
      });
    } catch (error) {
      throw new Error(REASONS[error.name] ?? `The microphone can’t be opened: ${error.message}`);
    }
    await context.audioWorklet.addModule(new URL('capture-worklet.mjs', import.meta.url));
    const options = { numberOfOutputs: 0, channelCount: 1, channelCountMode: 'explicit' };
    this.#node = new AudioWorkletNode(context, 'capture', options);
    this.#node.port.onmessage = ({ data }) =>
      data.isFlushed ? this.#flushed() : this.#onBlock(new Uint8Array(data.pcm16), data.level);
    context.createMediaStreamSource(this.#stream).connect(this.#node);
    this.#stream.getAudioTracks()[0].onended = () => {
      this.close();
      this.#onLost();
    };
  }
}

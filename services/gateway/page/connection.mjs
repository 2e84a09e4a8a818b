/**
 * The WebSocket to the gateway, for as long as the page lives: when it is lost it comes back, in the same session where
 * the server can, and with the audio that the server has not got.
 */

import { BYTES_PER_SECOND } from './pcm.mjs';
import { append } from './requests.mjs';
import { SentAudio } from './sent-audio.mjs';

const KEPT_S = 30; // of sent audio
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;
const MAX_UNSENT_BYTES = 4 * 2 ** 20; // more behind a slow network: it is taken for lost
const PATIENCE = 3; // refusals of a call that may be alive: a full gateway's, or a balancer's
const TOO_SLOW = 4000; // a close code of ours; a usual one would be a goodbye
const OPEN = 1; // WebSocket.OPEN, also where there is no WebSocket
const IDLE = 'TEXTPRO_LIVE_IDLE_S'; // in the reason of a close because nothing was said

export class Connection {
  #url;
  #onEvent;
  #onState;
  #outside;
  #socket = null;
  #token = null;
  #lastSeq = 0;
  #failures = 0;
  #refusals = 0; // one after the other
  #isLive = false;
  #timer = null;
  #audio = new SentAudio(KEPT_S * BYTES_PER_SECOND);

  /**
   * onEvent(event): every event of the server's, once. onState(name): connecting, open, reconnecting or asleep.
   * outside: what a test replaces: open(url), isAlive() whether the gateway answers at all, later(act, ms) and cancel
   * what it gave, jitter() about 1.
   */
  constructor(url, { onEvent, onState, outside }) {
    this.#url = url;
    this.#onEvent = onEvent;
    this.#onState = onState;
    this.#outside = outside;
  }

  start() {
    this.#onState('connecting');
    this.#dial();
  }

  /** Comes back at once, if it was waiting or asleep. */
  wake() {
    if (this.#socket !== null || this.#isLive) return;
    this.#outside.cancel(this.#timer);
    this.#dial();
  }

  /** Whether it went out. Nothing is kept for later. */
  send(event) {
    if (!this.#isLive || this.#socket.readyState !== OPEN) return false;
    this.#socket.send(JSON.stringify(event));
    return true;
  }

  /** PCM16 bytes. While the server is away they are kept, and sent when it is back in the same session. */
  sendAudio(bytes) {
    this.#audio.add(bytes);
    this.send(append(bytes));
    if (this.#isLive && this.#socket.bufferedAmount > MAX_UNSENT_BYTES) this.#socket.close(TOO_SLOW);
  }

  #dial() {
    const isResuming = this.#token !== null;
    const socket = this.#outside.open(this.#address());
    let wasOpened = false;
    this.#socket = socket;
    socket.onopen = () => (wasOpened = true);
    socket.onmessage = (message) => this.#receive(JSON.parse(message.data));
    socket.onclose = (closing) => {
      this.#socket = null;
      this.#isLive = false;
      this.#closed(closing, isResuming && !wasOpened);
    };
  }

  #address() {
    const url = new URL(this.#url);
    if (this.#token !== null) {
      url.searchParams.set('resume_token', this.#token);
      url.searchParams.set('last_event_seq', this.#lastSeq);
    }
    return url;
  }

  #receive(event) {
    const isNew = event.type === 'session.created';
    if (isNew) {
      this.#token = event.session.resume_token ?? null;
      this.#audio.reset();
    } else if (event.server_event_seq <= this.#lastSeq) {
      return;
    }
    this.#lastSeq = event.server_event_seq ?? this.#lastSeq;
    if (isNew || event.type === 'session.resumed') {
      this.#isLive = true;
      this.#failures = this.#refusals = 0;
      this.#onState('open');
    }
    if (event.type === 'session.resumed') {
      for (const bytes of this.#audio.after(event.input_audio_bytes)) this.send(append(bytes));
    }
    this.#onEvent(event);
  }

  async #closed({ code, reason }, wasRefused) {
    if (code === 1013 && reason.includes(IDLE)) {
      this.#onState('asleep');
      return;
    }
    const waitMs = this.#outside.jitter() * Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures);
    this.#failures += 1;
    this.#onState('reconnecting');
    this.#refusals = wasRefused ? this.#refusals + 1 : 0;
    // A gateway that answers, but never this call, has forgotten it.
    const isForgotten = this.#refusals >= PATIENCE && (await this.#outside.isAlive());
    if (this.#socket !== null) return; // somebody was faster
    if (isForgotten) this.#token = null;
    this.#timer = this.#outside.later(() => this.wake(), isForgotten ? 0 : waitMs);
  }
}

/** The connection's outside in a browser. health: an address that answers while the gateway lives. */
export function browser(health) {
  return {
    open: (url) => new WebSocket(url),
    isAlive: () =>
      fetch(health, { cache: 'no-store', signal: AbortSignal.timeout(5000) }).then(
        (response) => response.ok,
        () => false,
      ),
    later: (act, ms) => setTimeout(act, ms),
    cancel: (timer) => clearTimeout(timer),
    jitter: () => 0.75 + Math.random() / 2,
  };
}

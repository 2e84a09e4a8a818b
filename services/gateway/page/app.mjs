/** What the user does and what the server tells, brought together. Whatever changes is shown. */

import * as conversation from './conversation.mjs';
import { decode } from './recording.mjs';
import * as requests from './requests.mjs';

const QUIET = 0.01; // a peak below it is no speech
const SHORTEST_MS = 250; // of holding the button
const COMMITTED = 'input_audio_buffer.committed';
const NOTHING_SAID = 'input_audio_buffer_commit_empty';
// A race that somebody lost; a server that does not speak, so that the browser does.
const HARMLESS = ['item_exists', 'response_cancel_not_active', 'item_not_found', 'no_voice'];

export class App {
  #state = conversation.empty();
  #parts;
  #show;
  #tell;
  #isHandsFree = false;
  #isPressed = false;
  #hold = null; // {since, loudest} from the button's going down until all that was said by its going up is sent
  #isUncommitted = false; // the button was let go, and the server has not said that it knows

  /** show(state): the page as it is now. tell(message): something for the user to know. Parts come with `use`. */
  constructor({ show, tell }) {
    this.#show = show;
    this.#tell = tell;
  }

  /** {connection, messages, microphone, voice, maxSeconds()}. */
  use(parts) {
    this.#parts = parts;
  }

  get state() {
    return this.#state;
  }

  // ------------------------------------------------------------------------------------------------- from the server
  onState(name) {
    this.#become(conversation.connected(this.#state, name));
  }

  onEvent(event) {
    const { connection, messages, voice } = this.#parts;
    if (event.type === 'session.created' && this.#state.session > 0) {
      this.#tell('The server has begun anew. What was said before stays here, but it does not remember it.');
      this.#isUncommitted = false;
    }
    this.#become(conversation.told(this.#state, event, new Date().toISOString()));
    if (['session.created', 'session.resumed'].includes(event.type)) this.#configure();
    voice.hear(event);
    this.onVoice();
    if (isInterruption(event)) this.#silence();
    const refused = messages.hear(event);
    if (refused !== null) this.#become(conversation.refused(this.#state, refused, event.error.message));
    else if (event.type === 'error' && !HARMLESS.includes(event.error.code)) this.#tell(event.error.message);
    if (event.type === COMMITTED || event.error?.code === NOTHING_SAID) this.#isUncommitted = false;
    if (event.type === 'session.resumed' && this.#isUncommitted) this.#askForAnswer(connection);
  }

  /** The voice has begun or ended, perhaps. */
  onVoice() {
    const { isSpeaking } = this.#parts.voice;
    if (isSpeaking !== this.#state.speaking) this.#become(conversation.speaking(this.#state, isSpeaking));
  }

  // -------------------------------------------------------------------------------------------------- the microphone
  /** A block of sound, always while the microphone is open; sent when it is meant to be heard. */
  onSound(bytes, level) {
    if (this.#hold !== null) this.#hold.loudest = Math.max(this.#hold.loudest, level);
    if (this.#hold !== null || this.#state.listening) this.#parts.connection.sendAudio(bytes);
  }

  onMicrophoneLost() {
    this.#hold = null;
    this.#isPressed = false;
    this.#become(conversation.microphone(this.#state, { listening: false, talking: false }));
    this.#tell('The microphone was taken away.');
  }

  /** The button goes down: speech begins, and an answer that is being given ends. */
  async press() {
    const { connection } = this.#parts;
    connection.wake();
    if (this.#isHandsFree) {
      await this.#listen(!this.#state.listening);
      return;
    }
    if (this.#isPressed || this.#hold !== null || this.#state.connection !== 'open') return;
    this.#isPressed = true;
    if (!(await this.#open())) {
      this.#isPressed = false;
      return;
    }
    if (!this.#isPressed) {
      this.#tell('The microphone is ready. Hold the button while you speak.');
      return;
    }
    this.stop();
    this.#hold = { since: performance.now(), loudest: 0 };
    connection.send(requests.clear());
    this.#become(conversation.microphone(this.#state, { talking: true }));
  }

  /** The button is let go: what was said is answered. */
  async release() {
    const { connection, microphone } = this.#parts;
    const hold = this.#hold;
    if (!this.#isPressed) return;
    this.#isPressed = false;
    if (hold === null) return;
    await microphone.flush();
    if (this.#hold !== hold) return; // the microphone was lost meanwhile
    this.#hold = null;
    this.#become(conversation.microphone(this.#state, { talking: false }));
    if (performance.now() - hold.since < SHORTEST_MS) {
      connection.send(requests.clear());
      this.#tell('Hold the button while you speak, and let it go when you have finished.');
    } else if (hold.loudest < QUIET) {
      connection.send(requests.clear());
      this.#tell('The microphone is silent. Is the right one chosen, and is it on?');
    } else {
      this.#isUncommitted = true;
      this.#askForAnswer(connection);
    }
  }

  /** isHandsFree: the microphone stays open, and the server finds out whose turn it is. */
  async setHandsFree(isHandsFree) {
    this.#isHandsFree = isHandsFree;
    this.#configure();
    await this.#listen(isHandsFree);
  }

  // -------------------------------------------------------------------------------------------------- other messages
  /** Whether the words are on their way. */
  type(text) {
    if (!text.trim() || !this.#mayGo()) return false;
    const id = requests.newId();
    this.stop();
    this.#become(conversation.sent(this.#state, { id, source: 'typed', text }, new Date().toISOString()));
    this.#parts.messages.add(id, requests.typed(id, text));
    return true;
  }

  async sendFile(file) {
    let sound;
    try {
      sound = await decode(file, this.#parts.maxSeconds());
    } catch (error) {
      this.#tell(error.message);
      return;
    }
    if (!this.#mayGo()) return;
    const id = requests.newId();
    this.stop();
    this.#become(conversation.sent(this.#state, { id, source: 'file', name: file.name }, new Date().toISOString()));
    this.#parts.messages.add(id, requests.recording(id, sound.bytes));
  }

  /** A message that could not be taken. */
  sendAgain(id) {
    if (!this.#mayGo()) return;
    this.#become(conversation.sentAgain(this.#state, id));
    this.#parts.messages.again(id);
  }

  /** The last turn gets another answer, in another tone, and the LLM forgets the one before; an earlier turn's words
   * are asked once more, at the end. tone: as in requests.answer. */
  answerAgain(id, tone) {
    const { connection, messages } = this.#parts;
    const entry = this.#state.entries.find((other) => other.id === id);
    if (!this.#mayGo()) return;
    this.stop();
    if (conversation.isLast(this.#state, entry)) {
      for (const { itemId, isKept } of entry.answers) if (itemId && isKept) connection.send(requests.forget(itemId));
      connection.send(requests.answer({ to: id, tone }));
    } else {
      const again = requests.newId();
      const said = { id: again, source: 'again', text: entry.text };
      this.#become(conversation.sent(this.#state, said, new Date().toISOString()));
      messages.add(again, requests.typed(again, entry.text), tone === 'own' ? id : tone);
    }
  }

  /** No more of the answer: neither words nor sound. */
  stop() {
    if (conversation.streaming(this.#state)) this.#parts.connection.send(requests.cancel());
    this.#silence();
  }

  setVoice(isOn) {
    this.#parts.voice.turn(isOn);
    this.onVoice();
    this.#parts.connection.send(requests.speak(isOn));
  }

  // ---------------------------------------------------------------------------------------------------------- inside
  #become(state) {
    this.#state = state;
    this.#show(state);
  }

  #configure() {
    const { connection, voice } = this.#parts;
    connection.send(requests.configure(this.#isHandsFree));
    if (voice.isOn) connection.send(requests.speak(true));
  }

  #askForAnswer(connection) {
    connection.send(requests.commit());
    connection.send(requests.answer());
  }

  async #listen(wanted) {
    const isListening = wanted && (await this.#open()) && this.#isHandsFree; // or holding was chosen meanwhile
    if (!isListening) {
      this.#parts.microphone.close();
      this.#parts.connection.send(requests.clear());
    }
    this.#become(conversation.microphone(this.#state, { listening: isListening, talking: false }));
  }

  async #open() {
    try {
      await this.#parts.microphone.open();
      return true;
    } catch (error) {
      this.#tell(error.message);
      return false;
    }
  }

  #mayGo() {
    this.#parts.connection.wake();
    if (this.#parts.messages.isFull) this.#tell('Too many messages wait for the server. Try again when it is back.');
    return !this.#parts.messages.isFull;
  }

  #silence() {
    const cut = this.#parts.voice.interrupt();
    this.onVoice();
    if (cut === null) return;
    if (cut.heardMs !== null) this.#parts.connection.send(requests.truncate(cut.itemId, cut.heardMs));
    this.#become(conversation.cutOff(this.#state, cut.itemId));
  }
}

/** Somebody speaks over the answer, or it was cancelled. */
function isInterruption({ type, response }) {
  return (
    type === 'input_audio_buffer.speech_started' || (type === 'response.done' && response.status === 'cancelled')
  );
}

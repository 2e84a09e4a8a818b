/** Everything around the conversation: what the assistant does, the buttons, the message box. */

import { activity, streaming } from './conversation.mjs';
import { setText } from './dom.mjs';

const WORDS = {
  connecting: 'Connecting…',
  reconnecting: 'Reconnecting…',
  asleep: 'Resting. Tap or type to go on',
  ready: 'Ready',
  listening: 'Listening',
  hearing: 'Hearing you',
  eager: 'Thinking ahead',
  thinking: 'Understanding',
  answering: 'Answering',
};
const HINTS = {
  touch: 'Hold to talk',
  keyboard: 'Hold to talk, or hold the space bar',
  handsFree: 'Tap to mute or unmute',
};

export class Controls {
  #page;
  #isHandsFree = false;

  /** page: the elements, by id. */
  constructor(page) {
    this.#page = page;
  }

  setHandsFree(isHandsFree) {
    this.#isHandsFree = isHandsFree;
    const hold = matchMedia('(hover: hover)').matches ? HINTS.keyboard : HINTS.touch;
    setText(this.#page.hint, isHandsFree ? HINTS.handsFree : hold);
    this.#page.talk.setAttribute('aria-label', isHandsFree ? 'Microphone' : 'Talk');
  }

  show(state) {
    const page = this.#page;
    const doing = activity(state);
    document.body.dataset.activity = doing;
    setText(page.activity, WORDS[doing]);
    page.talk.setAttribute('aria-pressed', String(this.#isHandsFree ? state.listening : state.talking));
    page.talk.setAttribute('aria-disabled', String(['connecting', 'reconnecting'].includes(doing)));
    page.stop.hidden = streaming(state) === undefined && !state.speaking;
    page.welcome.hidden = state.entries.length > 0;
    page['save-text'].disabled = page['save-json'].disabled = state.entries.length === 0;
  }
}

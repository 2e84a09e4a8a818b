/** One turn on the page: what the user said, and the answers to it side by side. */

import { isLast } from './conversation.mjs';
import { make, setText } from './dom.mjs';
import { timesView } from './times-view.mjs';
import { toneOf, tonesFor } from './tones.mjs';

const SOURCES = { speech: 'spoken', typed: 'typed', file: 'recording', again: 'asked again' };
const UNSAID = {
  hearing: 'Listening…',
  transcribing: 'Understanding…',
  sending: 'On its way…',
  failed: 'This did not work.',
  lost: 'Lost with the connection.',
  done: 'No words were heard.',
};
const ENDS = {
  interrupted: 'interrupted',
  incomplete: 'cut off at its longest',
  failed: 'failed',
  lost: 'connection lost',
};
const EAGER = 'The answer was begun before the pause was certain to be the end.';

export class TurnView {
  element = make('li', { class: 'turn' });
  #how = make('span', { class: 'how' });
  #words = make('p', { class: 'words' });
  #error = make('p', { class: 'problem' });
  #retry = make('button', { type: 'button', class: 'quiet' }, 'Send again');
  #answers = make('ul', { class: 'answers', 'aria-label': 'Answers' });
  #shownAnswers = new Map(); // id -> AnswerView
  #again;
  #entry = null;

  /** onAgain(id, tone), onRetry(id). */
  constructor(id, { onAgain, onRetry }) {
    this.#again = new AgainForm((tone) => onAgain(id, tone));
    this.#retry.onclick = () => onRetry(id);
    const who = make('p', { class: 'who' }, make('b', {}, 'You'), this.#how);
    const said = make('div', { class: 'said' }, who, this.#words, this.#error, this.#retry, this.#again.element);
    this.element.append(said, this.#answers);
  }

  show(entry, state) {
    this.#again.show(entry, state);
    if (entry === this.#entry) return;
    this.#entry = entry;
    this.element.dataset.status = entry.status;
    this.element.dataset.source = entry.source;
    const tone = entry.prosody === 'on' ? 'tone heard' : null;
    setText(this.#how, [SOURCES[entry.source], entry.name, tone].filter(Boolean).join(' · '));
    setText(this.#words, entry.text || UNSAID[entry.status]);
    this.#words.classList.toggle('unsaid', !entry.text);
    setText(this.#error, entry.error ?? '');
    this.#error.hidden = !entry.error;
    this.#retry.hidden = entry.status !== 'failed' || entry.source === 'speech';
    this.#answers.hidden = entry.answers.length === 0;
    for (const answer of entry.answers) this.#answer(answer.id).show(answer, state);
  }

  #answer(id) {
    if (!this.#shownAnswers.has(id)) {
      const view = new AnswerView();
      this.#shownAnswers.set(id, view);
      this.#answers.append(view.element);
    }
    return this.#shownAnswers.get(id);
  }
}

class AnswerView {
  element = make('li', { class: 'answer' });
  #how = make('span', { class: 'how' });
  #eager = make('span', { class: 'badge', title: EAGER }, 'eager');
  #words = make('p', { class: 'words' });
  #end = make('p', { class: 'problem' });
  #answer = null;
  #hasTimes = false;

  constructor() {
    const who = make('p', { class: 'who' }, make('b', {}, 'TextPro'), this.#how, this.#eager);
    this.element.append(who, this.#words, this.#end);
  }

  show(answer, state) {
    if (answer === this.#answer) return;
    this.#answer = answer;
    this.element.dataset.status = answer.status;
    this.element.dataset.tone = answer.tone;
    const forgotten = answer.isKept ? null : 'not remembered';
    const heard = answer.status === 'streaming' && answer.tone === 'own' ? null : `heard ${toneOf(state, answer)}`;
    setText(this.#how, [heard, forgotten].filter(Boolean).join(' · '));
    this.#eager.hidden = !answer.eager;
    setText(this.#words, answer.text);
    setText(this.#end, [ENDS[answer.status], answer.error].filter(Boolean).join(': '));
    this.#end.hidden = !(answer.status in ENDS);
    if (answer.timing && !this.#hasTimes) {
      this.#hasTimes = true;
      this.element.append(timesView(answer.timing));
    }
  }
}

/** "Answer again": in which tone? */
class AgainForm {
  #summary = make('summary', {});
  #select = make('select', { 'aria-label': 'Tone' });
  #button = make('button', { type: 'button' }, 'Answer');
  element = make('details', { class: 'again' }, this.#summary, make('div', {}, this.#select, this.#button));
  #entry = null;
  #state = null;

  constructor(onAgain) {
    this.element.ontoggle = () => this.element.open && this.#offer();
    this.#button.onclick = () => {
      this.element.open = false;
      this.#summary.focus();
      onAgain(this.#select.value);
    };
  }

  show(entry, state) {
    this.element.hidden = entry.session !== state.session || entry.status !== 'done' || !entry.text;
    if (this.element.hidden) return;
    this.#button.disabled = state.connection !== 'open';
    setText(this.#summary, isLast(state, entry) ? 'Answer again' : 'Ask again');
    this.#entry = entry;
    this.#state = state;
  }

  /** The tones as they are when the form is opened. A choice stays: the browser tells of the opening only after it. */
  #offer() {
    const chosen = this.#select.value;
    const tones = tonesFor(this.#state, this.#entry);
    this.#select.replaceChildren(...tones.map(({ value, label }) => make('option', { value }, label)));
    if (tones.some(({ value }) => value === chosen)) this.#select.value = chosen;
  }
}

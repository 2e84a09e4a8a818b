/** Tells a screen reader what was said once it is whole, and when the connection goes or comes. */

const CONNECTIONS = {
  open: 'Connected.',
  reconnecting: 'The connection was lost. Reconnecting.',
  asleep: 'The connection rests until you go on.',
};
const ENDS = {
  completed: '',
  interrupted: ' Interrupted.',
  incomplete: ' Cut off.',
  failed: ' Failed.',
  lost: ' Connection lost.',
};

export class Announcer {
  #element;
  #connection = null;
  #told = new Set(); // ids

  /** element: a polite live region. */
  constructor(element) {
    this.#element = element;
  }

  show(state) {
    if (state.connection !== this.#connection) {
      this.#connection = state.connection;
      if (CONNECTIONS[state.connection]) this.#say(CONNECTIONS[state.connection]);
    }
    for (const entry of state.entries) {
      if (entry.status === 'done') this.#once(entry.id, `You: ${entry.text || 'no words'}`);
      for (const answer of entry.answers) {
        if (answer.status in ENDS) this.#once(answer.id, `TextPro: ${answer.text}${ENDS[answer.status]}`);
      }
    }
  }

  #once(id, text) {
    if (this.#told.has(id)) return;
    this.#told.add(id);
    this.#say(text);
  }

  /** A reader reads what is added; old lines go. */
  #say(text) {
    const line = document.createElement('p');
    line.textContent = text;
    this.#element.append(line);
    if (this.#element.childElementCount > 8) this.#element.firstElementChild.remove();
  }
}

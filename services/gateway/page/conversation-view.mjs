/** The conversation on the page, turn by turn; it follows its end unless the reader has scrolled away. */

import { make } from './dom.mjs';
import { TurnView } from './turn-view.mjs';

const NEAR_END_PX = 120;

export class ConversationView {
  #scroller;
  #list;
  #callbacks;
  #turns = new Map(); // id -> TurnView
  #lastSession = null;
  #isAtEnd = true;

  /** scroller: what scrolls; list: the <ol> in it. callbacks: as TurnView takes them. */
  constructor(scroller, list, callbacks) {
    this.#scroller = scroller;
    this.#list = list;
    this.#callbacks = callbacks;
    scroller.addEventListener('scroll', () => {
      const { scrollHeight, scrollTop, clientHeight } = scroller;
      this.#isAtEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    });
    new ResizeObserver(() => this.#follow()).observe(scroller);
  }

  show(state) {
    this.#remove(state);
    for (const entry of state.entries) this.#turn(entry).show(entry, state);
    this.#follow();
  }

  #follow() {
    if (this.#isAtEnd && this.#turns.size > 0) this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  #turn(entry) {
    if (!this.#turns.has(entry.id)) {
      if (this.#lastSession !== null && entry.session !== this.#lastSession) {
        this.#list.append(make('li', { class: 'divider' }, 'The server does not remember what stands above.'));
      }
      this.#lastSession = entry.session;
      const view = new TurnView(entry.id, this.#callbacks);
      this.#turns.set(entry.id, view);
      this.#list.append(view.element);
    }
    return this.#turns.get(entry.id);
  }

  /** What was taken back. */
  #remove(state) {
    const known = new Set(state.entries.map((entry) => entry.id));
    for (const [id, view] of this.#turns) {
      if (known.has(id)) continue;
      view.element.remove();
      this.#turns.delete(id);
    }
  }
}

/** What the user has to know: a few messages, each until it is closed or pushed out by newer ones. */

import { make } from './dom.mjs';

const MOST = 3;

export class Notices {
  #element;

  /** element: an assertive live region. */
  constructor(element) {
    this.#element = element;
  }

  tell(message) {
    for (const notice of this.#element.children) {
      if (notice.firstElementChild.textContent === message) notice.remove();
    }
    const close = make('button', { type: 'button', 'aria-label': 'Close this message' }, '×');
    const notice = make('div', { class: 'notice' }, make('p', {}, message), close);
    close.onclick = () => notice.remove();
    this.#element.append(notice);
    while (this.#element.childElementCount > MOST) this.#element.firstElementChild.remove();
  }
}

/** Typed words and recordings on their way: they are sent until the server has them and answers, however often the
 * connection goes meanwhile. */

import { answer, answered } from './requests.mjs';

const MAX_WAITING = 8;

export class Messages {
  #send;
  #waiting = new Map(); // id -> {event, tone, isThere}
  #refused = new Map(); // id -> the same, to be sent again

  /** send(event): whether it went out. */
  constructor(send) {
    this.#send = send;
  }

  get isFull() {
    return this.#waiting.size >= MAX_WAITING;
  }

  /** event: creates the item `id`. Its answer is asked for in `tone` once it is there. */
  add(id, event, tone = 'own') {
    this.#waiting.set(id, { event, tone, isThere: false });
    this.#send(event);
  }

  /** One that was refused. */
  again(id) {
    const message = this.#refused.get(id);
    this.#refused.delete(id);
    this.add(id, message.event, message.tone);
  }

  /** Every event of the server's. Gives the id of a message that it refused, or null. */
  hear(event) {
    switch (event.type) {
      case 'session.created': // it knows none of them
        for (const message of this.#waiting.values()) message.isThere = false;
        this.#sendAll();
        break;
      case 'session.resumed':
        this.#sendAll();
        break;
      case 'conversation.item.done':
        this.#arrived(event.item);
        break;
      case 'response.created':
        this.#waiting.delete(event.response.metadata?.to);
        break;
      case 'error':
        return this.#refuse(event.error.event_id);
    }
    return null;
  }

  #arrived(item) {
    const message = this.#waiting.get(item.id);
    if (message === undefined || message.isThere) return;
    const part = item.content[0];
    if (part.text || part.transcript) {
      message.isThere = true;
      this.#send(answer({ to: item.id, tone: message.tone }));
    } else {
      this.#waiting.delete(item.id); // where nothing was said there is nothing to answer
    }
  }

  #refuse(id) {
    this.#waiting.delete(answered(id)); // it is there, but no answer can be had
    const message = this.#waiting.get(id);
    if (message === undefined) return null;
    this.#waiting.delete(id);
    this.#refused.set(id, message);
    if (this.#refused.size > MAX_WAITING) this.#refused.delete(this.#refused.keys().next().value);
    return id;
  }

  #sendAll() {
    for (const [id, { event, tone, isThere }] of this.#waiting) {
      this.#send(isThere ? answer({ to: id, tone }) : event);
    }
  }
}

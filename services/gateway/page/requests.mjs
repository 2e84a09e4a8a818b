/** The events that the page sends, as OpenAI's Realtime API names them, and our `prosody` and `prosody_from`. */

import { RATE, toBase64 } from './pcm.mjs';

const ANSWER = 'answer ';

/** isHandsFree: the server finds out who speaks and when they have finished. Always the likeliest answer: two of them
 * then differ by what was heard, and not by chance. */
export function configure(isHandsFree) {
  const detection = isHandsFree ? { type: 'semantic_vad' } : null;
  return update({
    temperature: 0,
    audio: { input: { format: { type: 'audio/pcm', rate: RATE }, turn_detection: detection } },
  });
}

/** Whether answers are wanted as sound. It is asked by itself: where the server can't, all else is as it should be. */
export function speak(isOn) {
  return update({ output_modalities: [isOn ? 'audio' : 'text'] });
}

export function append(bytes) {
  return { type: 'input_audio_buffer.append', audio: toBase64(bytes) };
}

export const commit = () => ({ type: 'input_audio_buffer.commit' });
export const clear = () => ({ type: 'input_audio_buffer.clear' });
export const cancel = () => ({ type: 'response.cancel' });

/** The event has the item's id: what is wrong with it is told with that. */
export function typed(id, text) {
  return create(id, { type: 'input_text', text });
}

/** bytes: PCM16 at RATE. */
export function recording(id, bytes) {
  return create(id, { type: 'input_audio', audio: toBase64(bytes) });
}

export function forget(itemId) {
  return { type: 'conversation.item.delete', item_id: itemId };
}

export function truncate(itemId, heardMs) {
  return { type: 'conversation.item.truncate', item_id: itemId, content_index: 0, audio_end_ms: Math.floor(heardMs) };
}

/** to: the user's item that is answered, if its id is known. tone: `own`, `none`, or the id of an item that lends its
 * own. */
export function answer({ to = null, tone = 'own' } = {}) {
  const wishes = tone === 'own' ? {} : tone === 'none' ? { prosody: 'off' } : { prosody_from: tone };
  const metadata = to === null ? { tone } : { to, tone };
  return { type: 'response.create', event_id: `${ANSWER}${to ?? ''}`, response: { ...wishes, metadata } };
}

/** The item that an event asked to answer, by the event's id; null for another event's. */
export function answered(eventId) {
  return eventId?.startsWith(ANSWER) ? eventId.slice(ANSWER.length) : null;
}

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  return `page_${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

function update(session) {
  return { type: 'session.update', session: { type: 'realtime', ...session } };
}

function create(id, part) {
  const item = { type: 'message', role: 'user', id, content: [part] };
  return { type: 'conversation.item.create', event_id: id, item };
}

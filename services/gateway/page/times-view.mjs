/** Where the time of an answer went: a strip of its stages, and the numbers. */

import { make } from './dom.mjs';

const STAGES = { pause: 'pause', wait: 'wait', generate: 'generate', speak: 'speak' }; // they make up the total, in this order
const MOMENTS = { first_token: 'first word', first_audio: 'first sound', total: 'total', prefill: 'prefill' };
const MEANINGS = {
  pause: 'silence after the speech, until it had certainly ended',
  wait: 'from there to the first word',
  generate: 'from the first word to the last',
  first_token: 'from the end of the speech to the first word',
  speak: 'from the last word’s being written to its sound’s being sent',
  first_audio: 'from the end of the speech to the first sound',
  total: 'from the end of the speech to the end of the answer',
  prefill: 'the language model’s time to its first word; inside the pause when the answer was eager',
};

/** timing: milliseconds, as `timing_ms` of response.done has them. */
export function timesView(timing) {
  const bar = make('div', { class: 'bar', 'aria-hidden': 'true' });
  const list = make('dl', { class: 'times' });
  for (const [stage, label] of Object.entries({ ...STAGES, ...MOMENTS })) {
    if (timing[stage] === undefined) continue;
    if (stage in STAGES) {
      const part = make('span', { class: stage });
      part.style.flexGrow = Math.max(timing[stage], 0);
      bar.append(part);
    }
    const attributes = { class: stage, title: MEANINGS[stage] };
    list.append(make('div', attributes, make('dt', {}, label), make('dd', {}, milliseconds(timing[stage]))));
  }
  return make('div', { class: 'timing' }, bar, list);
}

function milliseconds(ms) {
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** Which tones a user's turn can be answered in, and what they are called. */

const SHOWN = 32; // characters of a turn that names its tone

/** The choices for a turn: [{value, label}], where value is what `answer` of requests.mjs takes. */
export function tonesFor(state, entry) {
  const own = entry.prosody === 'on' ? [{ value: 'own', label: 'Its own tone' }] : [];
  const others = state.entries
    .filter((other) => other.prosody === 'on' && other.id !== entry.id && other.session === state.session)
    .map((other) => ({ value: other.id, label: `The tone of ${quoted(other)}` }));
  return [{ value: 'none', label: 'No tone, the words alone' }, ...own, ...others];
}

/** What an answer heard of the tone, in a few words. */
export function toneOf(state, answer) {
  if (answer.tone === 'none' || answer.prosody === 'off') return 'the words alone';
  if (answer.prosody === 'unavailable') return 'the words alone: this model knows no tone';
  if (answer.tone === 'own') return 'your tone';
  const lender = state.entries.find((entry) => entry.id === answer.tone);
  return lender ? `the tone of ${quoted(lender)}` : 'another tone';
}

function quoted(entry) {
  const words = entry.text.length > SHOWN ? `${entry.text.slice(0, SHOWN).trimEnd()}…` : entry.text;
  return `“${words}”`;
}

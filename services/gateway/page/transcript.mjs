/** The conversation to save: as text to read, as JSON to work with. */

import { toneOf } from './tones.mjs';

const ENDS = {
  interrupted: ' [interrupted]',
  incomplete: ' [cut off]',
  failed: ' [failed]',
  lost: ' [connection lost]',
};

export function asText(state) {
  const lines = [];
  for (const entry of state.entries) {
    lines.push(`You${entry.name ? ` (${entry.name})` : ''}: ${entry.text || `[${entry.error ?? 'no words'}]`}`);
    for (const answer of entry.answers) {
      const tone = entry.answers.length > 1 || answer.tone !== 'own' ? ` (${toneOf(state, answer)})` : '';
      lines.push(`TextPro${tone}: ${answer.text}${ENDS[answer.status] ?? ''}`);
    }
    lines.push('');
  }
  return lines.join('\n');
}

export function asJson(state) {
  const turns = state.entries.map((entry) => ({
    id: entry.id,
    time: entry.time,
    session: entry.session,
    source: entry.source,
    name: entry.name,
    text: entry.text,
    status: entry.status,
    error: entry.error,
    prosody: entry.prosody,
    answers: entry.answers.map((answer) => ({
      id: answer.id,
      text: answer.text,
      status: answer.status,
      error: answer.error,
      tone: answer.tone,
      prosody: answer.prosody,
      eager: answer.eager,
      timing_ms: answer.timing,
    })),
  }));
  return `${JSON.stringify({ turns }, null, 2)}\n`;
}

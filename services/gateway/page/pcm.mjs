/** PCM16, little endian, mono, and its base64: sound as it goes over the wire. */

export const RATE = 16_000; // of what is sent
export const BYTES_PER_SAMPLE = 2;
export const BYTES_PER_SECOND = RATE * BYTES_PER_SAMPLE;

const FULL_SCALE = 32_768;
const CALL_BYTES = 32_768; // arguments that one call of a function takes anywhere

/** Samples from -1 to 1 (S,) as int16 (S,); what is louder is clipped. */
export function toPcm16(samples) {
  const pcm16 = new Int16Array(samples.length);
  for (let i = 0; i < samples.length; i++) {
    const value = Math.round(samples[i] * FULL_SCALE);
    pcm16[i] = Math.max(-FULL_SCALE, Math.min(FULL_SCALE - 1, value));
  }
  return pcm16;
}

/** int16 (S,) as samples from -1 to 1 (S,). */
export function fromPcm16(pcm16) {
  return Float32Array.from(pcm16, (value) => value / FULL_SCALE);
}

/** The loudest sample, 0 to 1. */
export function peak(samples) {
  let loudest = 0;
  for (const sample of samples) loudest = Math.max(loudest, Math.abs(sample));
  return Math.min(1, loudest);
}

export function toBase64(bytes) {
  let text = '';
  for (let start = 0; start < bytes.length; start += CALL_BYTES) {
    text += String.fromCharCode(...bytes.subarray(start, start + CALL_BYTES));
  }
  return btoa(text);
}

export function fromBase64(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** A recording from a file, as PCM16; the browser decodes it. */

import { BYTES_PER_SECOND, RATE, toPcm16 } from './pcm.mjs';

const LARGEST_FILE = 200 * 2 ** 20; // bytes; decoding wants a multiple of it
const JSON_BYTES = 1024; // of a message, beside the sound
const USUAL = { max_seconds: 60, max_message_bytes: 4 * 2 ** 20 };

/** How long a recording the gateway takes, in seconds: it has a limit of time and one of a message's length, and sound
 * is a third longer in base64. config: the gateway's /v1/config, or null. */
export function longest(config) {
  const { max_seconds: seconds, max_message_bytes: bytes } = { ...USUAL, ...config?.settings };
  return Math.min(seconds, Math.floor(((bytes - JSON_BYTES) * 3) / 4 / BYTES_PER_SECOND));
}

/** {bytes, seconds} of a file. Throws an Error whose message is for the user. */
export async function decode(file, maxSeconds) {
  if (file.size === 0) throw new Error(`“${file.name}” is empty.`);
  if (file.size > LARGEST_FILE) throw new Error(`“${file.name}” is larger than ${LARGEST_FILE / 2 ** 20} MB.`);
  let sound;
  try {
    // Of this context the file gets the rate; nothing is played.
    sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new Error(`“${file.name}” can’t be read as sound. WAV, MP3, M4A, Ogg, WebM and FLAC are understood.`);
  }
  const seconds = sound.duration;
  if (seconds > maxSeconds) {
    throw new Error(`“${file.name}” is ${seconds.toFixed(1)} s long; at most ${maxSeconds} s are taken.`);
  }
  return { bytes: new Uint8Array(toPcm16(mono(sound)).buffer), seconds };
}

function mono(sound) {
  const mixed = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++) {
    sound.getChannelData(channel).forEach((sample, i) => (mixed[i] += sample / sound.numberOfChannels));
  }
  return mixed;
}

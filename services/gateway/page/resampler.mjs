/** A stream of samples from one rate to another: a windowed sinc, with taps for each place between two samples. */

const ZERO_CROSSINGS = 16; // of the sinc, on each side
const PASSED = 0.94; // of the band that both rates can hold; the rest is for the filter's slope

/** However the input is cut into blocks, the same comes out. */
export class Resampler {
  #up;
  #down;
  #half;
  #taps; // (up, 2 * half)
  #rest;
  #at = 0; // in `rest`, where the next output's taps begin
  #phase = 0;

  /** from, to: samples a second, whole numbers. */
  constructor(from, to) {
    const common = divisor(from, to);
    this.#up = to / common;
    this.#down = from / common;
    const cutoff = PASSED * Math.min(1, to / from);
    this.#half = Math.ceil(ZERO_CROSSINGS / cutoff);
    this.#taps = taps(this.#up, this.#half, cutoff);
    this.#rest = new Float32Array(this.#half - 1); // the silence before the first sample
  }

  /** Float32Array (S,) -> Float32Array; a few samples stay behind until more comes. */
  push(samples) {
    const width = 2 * this.#half;
    const input = joined(this.#rest, samples);
    const output = [];
    while (this.#at + width <= input.length) {
      const row = this.#phase * width;
      let sum = 0;
      for (let k = 0; k < width; k++) sum += input[this.#at + k] * this.#taps[row + k];
      output.push(sum);
      this.#phase += this.#down;
      this.#at += Math.floor(this.#phase / this.#up);
      this.#phase %= this.#up;
    }
    const done = Math.min(this.#at, input.length);
    this.#rest = input.slice(done);
    this.#at -= done;
    return Float32Array.from(output);
  }

  /** What stayed behind, when nothing comes for now. */
  flush() {
    return this.push(new Float32Array(this.#half));
  }
}

/** Row p holds the taps of an output that lies p/up of a sample behind an input. */
function taps(up, half, cutoff) {
  const width = 2 * half;
  const table = new Float32Array(up * width);
  for (let phase = 0; phase < up; phase++) {
    const row = table.subarray(phase * width, (phase + 1) * width);
    let sum = 0;
    for (let k = 0; k < width; k++) {
      const t = k - (half - 1) - phase / up;
      row[k] = sinc(cutoff * t) * Math.cos((Math.PI * t) / (2 * half)) ** 2;
      sum += row[k];
    }
    for (let k = 0; k < width; k++) row[k] /= sum; // a constant stays what it is
  }
  return table;
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

function divisor(a, b) {
  return b === 0 ? a : divisor(b, a % b);
}

function joined(first, second) {
  const whole = new Float32Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}

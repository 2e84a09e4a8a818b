/** What the microphone hears: bars from the middle outward, newest first, in the colour of what is going on. */

const BAR_PX = 3;
const STEP_PX = 6;
const FLOOR = 0.035; // of the height, where there is silence
const LOUDER = 0.6; // an exponent: soft speech is seen, too

export class Waveform {
  #canvas;
  #levels = [];
  #isCalm = matchMedia('(prefers-reduced-motion: reduce)');
  #isDue = false;

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
  }

  /** level: a block's peak, 0 to 1. isHeard: whether it is sent. */
  push(level, isHeard) {
    const most = Math.ceil(this.#canvas.clientWidth / STEP_PX / 2);
    const shown = isHeard ? level ** LOUDER : 0;
    // Without motion the bars stand still and only the loudness of now is shown.
    this.#levels = this.#isCalm.matches ? Array(most).fill(shown) : [shown, ...this.#levels.slice(0, most - 1)];
    this.draw();
  }

  /** Nothing is heard any more. */
  clear() {
    if (this.#levels.length === 0) return;
    this.#levels = [];
    this.draw();
  }

  /** With the next frame. */
  draw() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#paint();
    });
  }

  #paint() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    this.#canvas.width = Math.round(width * devicePixelRatio);
    this.#canvas.height = Math.round(height * devicePixelRatio);
    const pen = this.#canvas.getContext('2d');
    pen.scale(devicePixelRatio, devicePixelRatio);
    pen.fillStyle = getComputedStyle(this.#canvas).color;
    const n = Math.ceil(width / STEP_PX / 2);
    for (let i = 0; i < n; i++) {
      const size = height * Math.max(FLOOR, this.#levels[i] ?? 0);
      pen.globalAlpha = 1 - 0.85 * (i / n);
      for (const x of [width / 2 + i * STEP_PX, width / 2 - i * STEP_PX]) {
        pen.beginPath();
        pen.roundRect(x - BAR_PX / 2, (height - size) / 2, BAR_PX, size, BAR_PX / 2);
        pen.fill();
      }
    }
  }
}

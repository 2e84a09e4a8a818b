/** Holding a button, or the space bar, to talk. */

const KEYS = [' ', 'Enter'];
const TAKES_SPACE = 'input, textarea, select, button, summary, a, [contenteditable]';

/** press() when it goes down, release() when it goes up, wherever the pointer is by then. A click without either, as
 * screen readers and voice control make it, does one and the next one the other: isDown() says which. */
export function holdToTalk(button, { press, release, isDown }) {
  let key = null;
  let isPointing = false;

  const letGo = () => {
    key = null;
    isPointing = false;
    release();
  };
  button.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    button.setPointerCapture(event.pointerId);
    isPointing = true;
    press();
  });
  for (const name of ['pointerup', 'pointercancel']) button.addEventListener(name, () => isPointing && letGo());
  button.addEventListener('contextmenu', (event) => event.preventDefault()); // a long press is no question for a menu
  button.addEventListener('click', (event) => {
    if (event.detail === 0) isDown() ? release() : press();
  });
  document.addEventListener('keydown', (event) => {
    const isHere = event.target === button && KEYS.includes(event.key);
    const isAnywhere = event.key === ' ' && !event.target.closest?.(TAKES_SPACE);
    if (!isHere && !isAnywhere) return;
    event.preventDefault();
    if (event.repeat || key !== null) return;
    key = event.key;
    press();
  });
  document.addEventListener('keyup', (event) => {
    if (event.key !== key) return;
    event.preventDefault();
    letGo();
  });
  window.addEventListener('blur', () => (key !== null || isPointing) && letGo());
}

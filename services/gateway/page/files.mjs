/** Recordings from the user's disk: chosen, or dropped anywhere on the page. */

/** onFile(file, others): one, and how many came with it. overlay: shown while something is dragged over the page. */
export function takeFiles({ button, input, overlay, onFile }) {
  let depth = 0; // of elements that the dragged thing is over

  const show = (change) => {
    depth = change === 0 ? 0 : Math.max(0, depth + change);
    overlay.hidden = depth === 0;
  };
  const take = (files) => files.length > 0 && onFile(files[0], files.length - 1);
  const isFile = (event) => event.dataTransfer?.types.includes('Files');

  button.addEventListener('click', () => input.click());
  input.addEventListener('change', () => {
    take(input.files);
    input.value = ''; // the same file may be chosen again
  });
  document.addEventListener('dragenter', (event) => isFile(event) && show(1));
  document.addEventListener('dragleave', (event) => isFile(event) && show(-1));
  document.addEventListener('dragover', (event) => isFile(event) && event.preventDefault());
  document.addEventListener('drop', (event) => {
    if (!isFile(event)) return;
    event.preventDefault();
    show(0);
    take(event.dataTransfer.files);
  });
}

/** The browser saves `text` under `name`. */
export function save(name, type, text) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

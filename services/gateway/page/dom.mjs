/** Elements, made and changed. */

/** make('p', {class: 'who'}, 'text', child) */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Touches nothing that is as it should be: selections stay, and nothing is read out twice. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// @ts-check
// Small functions for elements. Texts are always set as text, never as markup.

/**
 * An element with properties and children; strings become text.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [properties] of the element; `data-` and `aria-` ones, `role` and `for` are set as attributes
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (/^(data-|aria-)|^(role|for)$/.test(name)) made.setAttribute(name, String(value));
    else Object.assign(made, { [name]: value });
  }
  made.append(...children);
  return made;
}

/**
 * The element with an id.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element #${id}`);
  return found;
}

/**
 * A field: a label with an input in it.
 * @param {string} label
 * @param {HTMLElement} input
 * @returns {HTMLLabelElement}
 */
export function field(label, input) {
  return element("label", { className: "field" }, label, input);
}

/**
 * A button.
 * @param {string} label
 * @param {() => unknown} action
 * @param {Record<string, unknown>} [properties]
 * @returns {HTMLButtonElement}
 */
export function button(label, action, properties = {}) {
  const made = element("button", { type: "button", ...properties }, label);
  made.addEventListener("click", action);
  return made;
}

/**
 * A number with at most four significant digits and a real minus sign.
 * @param {number} value
 * @returns {string}
 */
export function number(value) {
  return Number(value.toPrecision(4)).toString().replace("-", "−");
}

/**
 * A function that runs `work` with its last arguments, never twice at once, so that a slow server is not flooded.
 * @template {unknown[]} A
 * @param {(...values: A) => Promise<unknown>} work
 * @returns {(...values: A) => Promise<void>}
 */
export function latest(work) {
  /** @type {A | null} */
  let waiting = null;
  let busy = false;
  return async (...values) => {
    waiting = values;
    if (busy) return;
    busy = true;
    try {
      while (waiting) {
        const next = waiting;
        waiting = null;
        await work(...next);
      }
    } finally {
      busy = false;
    }
  };
}

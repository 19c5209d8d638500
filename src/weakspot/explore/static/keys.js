// @ts-check
// From pressed keys to the name of an action, such as UPRIGHTFIRE of Atari games.

const PARTS = /** @type {[string, string][]} */ ([["ArrowUp", "UP"], ["ArrowDown", "DOWN"], ["ArrowRight", "RIGHT"], ["ArrowLeft", "LEFT"], [" ", "FIRE"]]);

/** Whether a key is one of those that play. @param {string} key @returns {boolean} */
export function plays(key) {
  return PARTS.some(([name]) => name === key) || /^[0-9]$/.test(key);
}

/**
 * The number of the action that the pressed keys mean: digits choose an action by its number, arrows and Space by its name.
 * If the game has no action for all keys together, the largest part of them that it has is taken; without keys, NOOP.
 * @param {Set<string>} pressed
 * @param {string[]} actions
 * @returns {number}
 */
export function actionOf(pressed, actions) {
  const digit = [...pressed].find((key) => /^[0-9]$/.test(key) && Number(key) < actions.length);
  if (digit !== undefined) return Number(digit);
  const names = PARTS.filter(([key]) => pressed.has(key)).map(([, name]) => name);
  const upper = actions.map((name) => name.toUpperCase());
  for (let dropped = 0; dropped < names.length; dropped += 1) {
    for (let from = 0; from + names.length - dropped <= names.length; from += 1) {
      const found = upper.indexOf(names.slice(from, from + names.length - dropped).join(""));
      if (found >= 0) return found;
    }
  }
  return Math.max(0, upper.indexOf("NOOP"));
}

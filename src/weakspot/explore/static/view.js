// @ts-check
// A state as people see it: its frames, the agent's answer for every action, and a few numbers.
import { button, element, number } from "./dom.js";

/**
 * @typedef {{picture: string, scores: number[], value: number | null, energy: number | null, saliency?: string,
 *   distance?: number, how?: string}} Shown
 * @typedef {{agent: string, environment: string, actions: string[], bounds: number[][] | null, scores_are: string, range: number[],
 *   frames: number, height: number, width: number, targets: string[],
 *   sources: {name: string, label: string, count: number}[], has_report: boolean}} Info
 */

const WANTED = 336; // width in pixels

export class StateView {
  /**
   * @param {HTMLElement} root
   * @param {Info} info
   * @param {string} label of the picture, for screen readers
   */
  constructor(root, info, label) {
    this.info = info;
    this.scale = Math.max(1, Math.floor(WANTED / info.width));
    this.image = element("img", { className: "strip", alt: label });
    this.overlay = element("img", { className: "saliency", alt: "", hidden: true });
    this.screen = element("div", { className: "screen" }, this.image, this.overlay);
    this.screen.style.setProperty("--w", String(info.width));
    this.screen.style.setProperty("--h", String(info.height));
    this.screen.style.setProperty("--k", String(info.frames));
    this.screen.style.setProperty("--s", String(this.scale));
    this.frame = element("input", { type: "range", min: "1", max: String(info.frames), value: String(info.frames), step: "1" });
    this.frame.setAttribute("aria-label", "Frame of the state, the last one is the newest");
    this.frame.addEventListener("input", () => this.turn());
    this.playing = button("Play frames", () => this.toggle(), { "aria-pressed": "false" });
    this.bars = element("table", { className: "bars" });
    this.facts = element("p", { className: "facts", "aria-live": "off" });
    this.extra = element("div");
    const playback = info.frames > 1 ? element("div", { className: "row" }, this.playing, this.frame) : element("div");
    root.replaceChildren(this.screen, playback, this.bars, this.facts, this.extra);
    this.rows = this.makeBars();
  }

  makeBars() {
    const rows = this.info.actions.map((action) => {
      const fill = element("span", { className: "bar" });
      const value = element("td", { className: "value" });
      const row = element("tr", {}, element("th", { scope: "row", title: action }, action), element("td", { className: "track" }, fill), value);
      return { row, fill, value };
    });
    const what = { "q-values": "Q-value of each action", "log-probabilities": "Probability of each action", means: "Mean of each action" }[this.info.scores_are];
    this.bars.replaceChildren(element("caption", {}, what ?? ""), element("tbody", {}, ...rows.map(({ row }) => row)));
    return rows;
  }

  /** @param {Shown} shown */
  show(shown) {
    this.image.src = shown.picture;
    this.overlay.hidden = !shown.saliency;
    if (shown.saliency) this.overlay.src = shown.saliency;
    const best = shown.scores.indexOf(Math.max(...shown.scores));
    shown.scores.forEach((score, index) => {
      const { row, fill, value } = this.rows[index];
      const [low, high] = this.axis(index);
      const place = (/** @type {number} */ at) => (100 * (Math.min(high, Math.max(low, at)) - low)) / (high - low || 1);
      const ends = [place(0), place(score)].sort((a, b) => a - b);
      row.style.setProperty("--zero", `${place(0)}%`);
      fill.style.left = `${ends[0]}%`;
      fill.style.width = `${ends[1] - ends[0]}%`;
      value.textContent = this.info.scores_are === "log-probabilities" ? `${(100 * score).toFixed(0)} %` : number(score);
      row.classList.toggle("chosen", this.info.bounds !== null || index === best);
    });
    const facts = [];
    if (shown.value !== null) facts.push(`critic’s value ${number(shown.value)}`);
    if (shown.energy !== null) facts.push(`target energy T = ${number(shown.energy)}`);
    if (shown.distance !== undefined) facts.push(`distance from the mean latent ${number(shown.distance)} (random samples: 1)`);
    this.facts.textContent = facts.join(" · ");
  }

  /** The range of an action's bar. @param {number} index @returns {number[]} */
  axis(index) {
    if (this.info.scores_are === "log-probabilities") return [0, 1];
    return this.info.bounds ? this.info.bounds[index] : this.info.range;
  }

  turn() {
    this.screen.classList.remove("playing");
    this.playing.setAttribute("aria-pressed", "false");
    this.screen.style.setProperty("--frame", this.frame.value);
  }

  toggle() {
    const playing = this.screen.classList.toggle("playing");
    this.playing.setAttribute("aria-pressed", String(playing));
  }
}

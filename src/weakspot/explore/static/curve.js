// @ts-check
// A curve that grows while a search runs.

const NAMESPACE = "http://www.w3.org/2000/svg";

export class Curve {
  /** @param {string} label for screen readers */
  constructor(label) {
    this.label = label;
    this.svg = document.createElementNS(NAMESPACE, "svg");
    this.svg.setAttribute("viewBox", "0 0 100 100");
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("role", "img");
    this.svg.setAttribute("class", "curve");
    this.path = document.createElementNS(NAMESPACE, "path");
    this.svg.append(this.path);
    this.clear();
  }

  clear() {
    /** @type {number[]} */
    this.values = [];
    this.draw();
  }

  /** @param {number[]} values */
  add(values) {
    this.values.push(...values);
    this.draw();
  }

  draw() {
    const low = Math.min(...this.values), span = Math.max(...this.values) - low || 1, last = Math.max(1, this.values.length - 1);
    const points = this.values.map((value, index) => `${(100 * index) / last} ${96 - (92 * (value - low)) / span}`);
    this.path.setAttribute("d", points.length > 1 ? `M${points.join("L")}` : "");
    const ends = this.values.length ? `, from ${this.values[0].toPrecision(3)} to ${this.values[this.values.length - 1].toPrecision(3)}` : "";
    this.svg.setAttribute("aria-label", `${this.label}${ends}`);
  }
}

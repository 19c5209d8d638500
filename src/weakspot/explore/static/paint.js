// @ts-check
// Painting a region of the picture, with the pointer or the keyboard.
import { button, element, field } from "./dom.js";

export class Painter {
  /**
   * @param {HTMLElement} screen that shows the picture
   * @param {{height: number, width: number}} size in pixels
   */
  constructor(screen, size) {
    this.size = size;
    this.pixels = new Uint8Array(size.height * size.width);
    this.at = { x: Math.floor(size.width / 2), y: Math.floor(size.height / 2) };
    this.canvas = element("canvas", { width: size.width, height: size.height, tabIndex: 0, className: "region", hidden: true });
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label", "Region that is held fixed. Arrow keys move the brush, Space paints, Backspace erases.");
    screen.append(this.canvas);
    this.brush = element("input", { type: "number", min: "1", max: "40", value: "8" });
    this.erase = element("input", { type: "checkbox" });
    this.count = element("span", { className: "small", role: "status" }, "nothing painted");
    this.controls = element("div", { className: "row", hidden: true },
      field("Brush", this.brush), element("label", { className: "check" }, this.erase, "Erase"),
      button("Clear", () => this.clear()), this.count);
    const draw = (/** @type {PointerEvent} */ event) => {
      if (!(event.buttons & 1)) return;
      const box = this.canvas.getBoundingClientRect();
      this.at = {
        x: Math.floor(((event.clientX - box.left) / box.width) * size.width),
        y: Math.floor(((event.clientY - box.top) / box.height) * size.height),
      };
      this.stroke(this.erase.checked ? 0 : 1);
    };
    this.canvas.addEventListener("pointerdown", (event) => { this.canvas.setPointerCapture(event.pointerId); draw(event); });
    this.canvas.addEventListener("pointermove", draw);
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("focus", () => this.draw());
    this.canvas.addEventListener("blur", () => this.draw());
  }

  /** @param {boolean} shown */
  show(shown) {
    this.canvas.hidden = this.controls.hidden = !shown;
    if (shown) this.draw();
  }

  /** The region as text of zeros and ones; empty if nothing is painted or it is not shown. @returns {string} */
  get region() {
    return !this.canvas.hidden && this.pixels.includes(1) ? this.pixels.join("") : "";
  }

  clear() {
    this.pixels.fill(0);
    this.draw();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const step = event.shiftKey ? 8 : 2;
    const moves = /** @type {Record<string, number[]>} */ ({ ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] });
    if (moves[event.key]) {
      this.at.x = Math.min(this.size.width - 1, Math.max(0, this.at.x + moves[event.key][0]));
      this.at.y = Math.min(this.size.height - 1, Math.max(0, this.at.y + moves[event.key][1]));
      this.draw();
    } else if (event.key === " ") this.stroke(1);
    else if (event.key === "Backspace") this.stroke(0);
    else return;
    event.preventDefault();
  }

  /** Paints (1) or erases (0) under the brush. @param {0 | 1} value */
  stroke(value) {
    const radius = Math.max(1, Number(this.brush.value) || 1) / 2;
    for (let y = Math.max(0, Math.ceil(this.at.y - radius)); y < Math.min(this.size.height, this.at.y + radius); y += 1) {
      for (let x = Math.max(0, Math.ceil(this.at.x - radius)); x < Math.min(this.size.width, this.at.x + radius); x += 1) {
        this.pixels[y * this.size.width + x] = value;
      }
    }
    this.draw();
  }

  draw() {
    const context = this.canvas.getContext("2d");
    if (!context) return;
    const image = context.createImageData(this.size.width, this.size.height);
    this.pixels.forEach((painted, index) => { if (painted) image.data.set([255, 45, 149, 130], 4 * index); });
    context.putImageData(image, 0, 0);
    if (document.activeElement === this.canvas) {
      const brush = Math.max(1, Number(this.brush.value) || 1);
      context.strokeStyle = "#fff";
      context.strokeRect(this.at.x - brush / 2, this.at.y - brush / 2, brush, brush);
    }
    const painted = this.pixels.reduce((sum, pixel) => sum + pixel, 0);
    this.count.textContent = painted ? `${painted} pixels painted` : "nothing painted";
  }
}

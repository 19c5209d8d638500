// @ts-check
// Moving along directions of the state model.
import { button, element, latest } from "./dom.js";

/** @typedef {import("./main.js").Explorer} Explorer */

export class MovePanel {
  /** @param {Explorer} explorer */
  constructor(explorer) {
    this.explorer = explorer;
    this.name = "Move";
    this.saliency = element("input", { type: "checkbox" });
    this.saliency.addEventListener("change", () => this.send());
    this.sliders = element("div", { className: "sliders" });
    this.rate = element("p", { className: "small" });
    this.root = element("div", {},
      element("p", { className: "small" }, "Each slider moves the state along a direction of the state model’s latent space. Principal directions follow what varies most in the pictures of recorded states; the share of their variance is in brackets. The others change one action’s score most, near the current state; make the state that is shown the current one to compute them anew."),
      element("div", { className: "row" },
        button("Back to the current state", () => this.reset()),
        button("Make this the current state", () => this.settle()),
        element("label", { className: "check" }, this.saliency, "Saliency")),
      this.sliders, this.rate);
    /** @type {Map<string, HTMLInputElement>} */
    this.inputs = new Map();
    this.send = latest(() => this.explorer.attempt(async () => {
      const started = performance.now();
      const amounts = Object.fromEntries([...this.inputs].map(([name, input]) => [name, Number(input.value)]).filter(([, amount]) => amount));
      explorer.show(await explorer.server.ask({ do: "move", amounts, saliency: this.saliency.checked }));
      this.rate.textContent = `last move: ${Math.round(performance.now() - started)} ms`;
    }));
  }

  /** @param {{name: string, label: string}[]} directions */
  setDirections(directions) {
    this.inputs.clear();
    this.sliders.replaceChildren(...directions.map(({ name, label }) => {
      const input = element("input", { type: "range", min: "-4", max: "4", step: "0.1", value: "0" });
      const output = element("output", {}, "0");
      input.addEventListener("input", () => { output.textContent = input.value.replace("-", "−"); this.send(); });
      this.inputs.set(name, input);
      return element("label", { className: "slider" }, element("span", {}, label), input, output);
    }));
  }

  reset() {
    this.inputs.forEach((input) => { input.value = "0"; });
    this.sliders.querySelectorAll("output").forEach((output) => { output.textContent = "0"; });
    return this.send();
  }

  settle() {
    return this.explorer.attempt(async () => {
      const answer = await this.explorer.server.ask({ do: "settle" });
      this.explorer.show(answer);
      this.setDirections(answer.directions);
    });
  }
}

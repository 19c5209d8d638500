// @ts-check
// Interpolation between two states.
import { button, element, field, latest } from "./dom.js";

/** @typedef {import("./main.js").Explorer} Explorer */

export class BetweenPanel {
  /** @param {Explorer} explorer */
  constructor(explorer) {
    this.explorer = explorer;
    this.name = "Interpolate";
    this.pictures = { a: element("img", { className: "end", alt: "State A", hidden: true }), b: element("img", { className: "end", alt: "State B", hidden: true }) };
    this.share = element("input", { type: "range", min: "0", max: "1", step: "0.01", value: "0", disabled: true });
    this.sweeping = button("Sweep", () => this.sweep(), { disabled: true });
    this.send = latest(() => explorer.attempt(async () => explorer.show(await explorer.server.ask({ do: "interpolate", share: Number(this.share.value) }))));
    this.share.addEventListener("input", () => this.send());
    this.root = element("div", {},
      element("p", { className: "small" }, "Show a state, remember it as A; show another one, remember it as B. The states between lie on the arc between their latents."),
      element("div", { className: "row" }, button("Remember as A", () => this.remember("a")), button("Remember as B", () => this.remember("b"))),
      element("div", { className: "row" }, this.pictures.a, this.pictures.b),
      field("From A to B", this.share), this.sweeping);
  }

  /** @param {"a" | "b"} end */
  remember(end) {
    return this.explorer.attempt(async () => {
      const answer = await this.explorer.server.ask({ do: "remember", end });
      this.explorer.copy(this.pictures[end]);
      this.share.disabled = this.sweeping.disabled = !answer.ready;
    });
  }

  async sweep() {
    this.sweeping.disabled = true;
    for (let step = 0; step <= 40; step += 1) {
      this.share.value = String(step / 40);
      await this.send();
    }
    this.sweeping.disabled = false;
  }
}

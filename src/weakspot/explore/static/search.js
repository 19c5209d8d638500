// @ts-check
// Algorithm 1 from the state that is shown, for any target, with a region held fixed.
import { Curve } from "./curve.js";
import { button, element, field, number } from "./dom.js";
import { Painter } from "./paint.js";

/** @typedef {import("./main.js").Explorer} Explorer */

export class SearchPanel {
  /** @param {Explorer} explorer */
  constructor(explorer) {
    this.explorer = explorer;
    this.name = "Search";
    const { info } = explorer;
    const options = element("datalist", { id: "targets" }, ...info.targets.map((value) => element("option", { value })));
    const example = info.bounds ? `abs(mean["${info.actions[0]}"])` : `${info.scores_are === "q-values" ? "q" : "p"}["${info.actions[0]}"] - max(${info.scores_are === "q-values" ? "q" : "p"})`;
    this.target = element("input", { type: "text", value: info.targets[0] ?? "", spellcheck: false, autocomplete: "off" });
    this.target.setAttribute("list", "targets");
    this.sharpness = element("input", { type: "number", min: "0.1", step: "any", value: "10" });
    this.weight = element("input", { type: "number", min: "0", step: "any", value: "0.003" });
    this.rate = element("input", { type: "number", min: "0.001", step: "any", value: "0.05" });
    this.steps = element("input", { type: "number", min: "1", max: "2000", value: "60" });
    this.hold = element("input", { type: "number", min: "0", step: "any", value: "10" });
    this.holding = element("input", { type: "checkbox" });
    this.painter = new Painter(explorer.view.screen, info);
    this.holding.addEventListener("change", () => this.painter.show(this.holding.checked));
    this.curve = new Curve("Energy of each step");
    this.told = element("p", { className: "small", role: "status" });
    this.about = element("p", { className: "small" });
    this.start = button("Search from this state", () => this.run(), { className: "main" });
    this.stop = button("Stop", () => { this.running = false; }, { disabled: true });
    this.running = false;
    this.target.addEventListener("change", () => this.explorer.attempt(() => this.setTarget()));
    this.root = element("div", {},
      options,
      field("Target: a symbol, an action, or an expression that should be small", this.target),
      element("p", { className: "small" }, "Expressions: ", element("code", {}, example), " with q, p, logp, mean, V; + - * / ^; max, min, avg, sum, std, second, logsumexp, entropy, abs, exp, log, sqrt, tanh, sigmoid, relu."),
      this.about,
      element("div", { className: "fields" },
        field("Sharpness", this.sharpness), field("Weight of the prior (α)", this.weight), field("Step size (λ)", this.rate), field("Steps", this.steps)),
      element("label", { className: "check" }, this.holding, "Hold a painted region of the picture fixed"),
      this.painter.controls,
      element("div", { className: "fields" }, field("Weight of the region (β)", this.hold)),
      element("div", { className: "row" }, this.start, this.stop),
      this.curve.svg, this.told);
  }

  async setTarget() {
    const answer = await this.explorer.server.ask({ do: "target", target: this.target.value, sharpness: Number(this.sharpness.value) });
    if (answer.picture) this.explorer.show(answer);
    this.about.textContent = answer.target ? `T = ${answer.target.equation}; the best recorded state has ${number(answer.target.best)}` : "";
  }

  run() {
    return this.explorer.attempt(async () => {
      const { server } = this.explorer;
      await this.setTarget();
      const region = this.painter.region;
      await server.ask({ do: "search", regulariser: Number(this.weight.value), rate: Number(this.rate.value), region, hold: Number(this.hold.value) });
      this.curve.clear();
      this.running = true;
      this.start.disabled = true;
      this.stop.disabled = false;
      try {
        const total = Number(this.steps.value);
        for (let step = 0; step < total && this.running; step += 1) {
          const answer = await server.ask({ do: "search-step" });
          this.explorer.show(answer);
          const last = answer.search[answer.search.length - 1];
          this.curve.add([last.energy]);
          const held = region ? `, held region off by ${number(last.held)} levels` : "";
          this.told.textContent = `step ${last.step} of ${total}: energy ${number(last.energy)}, T = ${number(last.target)}, KL ${number(last.kl)} nats${held}`;
        }
      } finally {
        this.running = false;
        this.start.disabled = false;
        this.stop.disabled = true;
      }
      await this.explorer.move.settle();
    });
  }
}

// @ts-check
// The environment: a person plays by keyboard, or the agent plays on; variables can be changed.
import { button, element, field, number } from "./dom.js";
import { actionOf, plays } from "./keys.js";
import { StateView } from "./view.js";

/** @typedef {import("./main.js").Explorer} Explorer */

export class PlayPanel {
  /** @param {Explorer} explorer */
  constructor(explorer) {
    this.explorer = explorer;
    this.name = "Play";
    const { info } = explorer;
    this.view = new StateView(explorer.gameRoot, info, "The game");
    this.pressed = new Set();
    /** @type {"person" | "agent" | null} */
    this.player = null;
    this.view.screen.tabIndex = 0;
    this.view.screen.setAttribute("role", "application");
    this.view.screen.setAttribute("aria-label", "The game. Arrow keys and Space play, digits choose an action by its number, P pauses.");
    this.view.screen.addEventListener("keydown", (event) => this.key(event, true));
    this.view.screen.addEventListener("keyup", (event) => this.key(event, false));
    this.view.screen.addEventListener("blur", () => this.pressed.clear());
    this.told = element("p", { className: "small", role: "status" }, "no game yet");
    this.start = button("Start from the open state", () => this.begin(), { className: "main" });
    this.person = button("Play yourself", () => this.go("person"), { disabled: true, "aria-pressed": "false" });
    this.agent = button("Agent plays", () => this.go("agent"), { disabled: true, "aria-pressed": "false" });
    this.pause = button("Pause", () => this.halt(), { disabled: true });
    this.speed = element("input", { type: "range", min: "1", max: "20", value: "10" });
    this.steps = info.bounds ? this.dials(info) : this.buttons(info);
    this.variable = element("select");
    this.search = element("input", { type: "search", placeholder: "name" });
    this.amount = element("input", { type: "number", step: "any" });
    this.change = button("Change", () => this.edit());
    this.undo = button("Take back", () => this.takeBack(), { disabled: true });
    this.compared = element("div", { className: "row compared" });
    this.editor = element("fieldset", { hidden: true }, element("legend", {}, "Variables"),
      element("p", { className: "small" }, "A change is followed by as many decisions as a state has frames, those that the agent would have taken without it."),
      element("div", { className: "fields" }, field("Search", this.search), field("Variable", this.variable), field("New value", this.amount)),
      element("div", { className: "row" }, this.change, this.undo), this.compared);
    this.search.addEventListener("input", () => this.listVariables());
    this.variable.addEventListener("change", () => this.showValue());
    this.root = element("div", {},
      element("p", { className: "small" }, "Open a twin, a recorded state or the state of a weakness, and play on from it in the environment. While the game has the focus, arrow keys and Space play; digits choose an action by its number; P pauses."),
      element("div", { className: "row" }, this.start),
      element("div", { className: "row" }, this.person, this.agent, this.pause),
      field("Decisions per second", this.speed),
      element("fieldset", {}, element("legend", {}, "One decision"), this.steps),
      this.told, this.editor);
    /** @type {{name: string, value: number, low: number | null, high: number | null, whole: boolean, group: string}[]} */
    this.variables = [];
  }

  /** @param {import("./view.js").Info} info */
  buttons(info) {
    const agents = button("the agent’s", () => this.decide(null));
    return element("div", { className: "row" }, ...info.actions.map((action, index) => button(action, () => this.decide(index))), agents);
  }

  /** Sliders for continuous actions. @param {import("./view.js").Info} info */
  dials(info) {
    this.inputs = info.actions.map((_, index) => {
      const [low, high] = /** @type {number[][]} */ (info.bounds)[index];
      return element("input", { type: "range", min: String(low), max: String(high), step: String((high - low) / 100), value: String(Math.min(high, Math.max(low, 0))) });
    });
    return element("div", {}, ...info.actions.map((action, index) => field(action, /** @type {HTMLInputElement[]} */ (this.inputs)[index])),
      element("div", { className: "row" }, button("these values", () => this.decide(this.own())), button("the agent’s", () => this.decide(null))));
  }

  /** What the person does now. @returns {number | number[]} */
  own() {
    return this.inputs ? this.inputs.map((input) => Number(input.value)) : actionOf(this.pressed, this.explorer.info.actions);
  }

  /** @param {KeyboardEvent} event @param {boolean} down */
  key(event, down) {
    if (down && event.key.toLowerCase() === "p") this.halt();
    else if (plays(event.key)) {
      if (down) this.pressed.add(event.key);
      else this.pressed.delete(event.key);
    } else return;
    event.preventDefault();
  }

  begin() {
    return this.explorer.attempt(async () => {
      this.halt();
      const state = this.explorer.opened;
      if (!state) throw new Error("open a state first");
      const answer = await this.explorer.server.ask({ do: "play", state });
      this.compared.replaceChildren();
      this.undo.disabled = true;
      this.show(answer.shot);
      this.person.disabled = this.agent.disabled = this.pause.disabled = false;
      this.editor.hidden = !answer.editable;
      if (answer.editable) await this.readVariables();
    });
  }

  /** @param {any} shot */
  show(shot) {
    this.shot = shot;
    this.view.show(shot);
    const { actions, bounds } = this.explorer.info;
    const would = bounds ? shot.action.map((/** @type {number} */ value, /** @type {number} */ index) => `${actions[index]} ${number(value)}`).join(", ") : actions[shot.action];
    this.told.textContent = `decision ${shot.decision}, rewards ${number(shot.total)}; the agent would: ${would}${shot.ended ? `; ${shot.ended}` : ""}`;
    if (shot.ended) this.halt();
  }

  /** One decision. @param {number | number[] | null} action */
  decide(action) {
    return this.explorer.attempt(async () => {
      this.show((await this.explorer.server.ask({ do: "play-step", action })).shot);
      this.undo.disabled = true;
      if (!this.player && !this.editor.hidden) await this.readVariables();
    });
  }

  /** @param {"person" | "agent"} player */
  async go(player) {
    const running = this.player !== null;
    this.player = player;
    this.person.setAttribute("aria-pressed", String(player === "person"));
    this.agent.setAttribute("aria-pressed", String(player === "agent"));
    if (player === "person") this.view.screen.focus();
    if (running) return;
    while (this.player) {
      const started = performance.now();
      if (!(await this.decide(this.player === "agent" ? null : this.own()))) this.halt();
      const left = 1000 / Number(this.speed.value) - (performance.now() - started);
      await new Promise((resume) => { setTimeout(resume, Math.max(0, left)); });
    }
    if (!this.editor.hidden) await this.explorer.attempt(() => this.readVariables());
  }

  halt() {
    this.player = null;
    this.person.setAttribute("aria-pressed", "false");
    this.agent.setAttribute("aria-pressed", "false");
  }

  async readVariables() {
    this.variables = (await this.explorer.server.ask({ do: "variables" })).variables;
    this.listVariables();
  }

  listVariables() {
    const chosen = this.variable.value, wanted = this.search.value.toLowerCase();
    const shown = this.variables.map((variable, index) => ({ ...variable, index })).filter(({ name, group }) => `${group} ${name}`.toLowerCase().includes(wanted));
    this.variable.replaceChildren(...shown.map(({ name, value, index }) => element("option", { value: String(index) }, `${name} = ${number(value)}`)));
    if (shown.some(({ index }) => String(index) === chosen)) this.variable.value = chosen;
    this.showValue();
  }

  showValue() {
    const variable = this.variables[Number(this.variable.value)];
    this.change.disabled = !variable;
    if (!variable) return;
    if (document.activeElement !== this.amount) this.amount.value = String(variable.value);
    this.amount.min = variable.low === null ? "" : String(variable.low);
    this.amount.max = variable.high === null ? "" : String(variable.high);
  }

  edit() {
    return this.explorer.attempt(async () => {
      this.halt();
      const position = Number(this.variable.value), { actions } = this.explorer.info;
      const answer = await this.explorer.server.ask({ do: "edit", position, value: Number(this.amount.value) });
      this.show(answer.shot);
      this.undo.disabled = false;
      const best = (/** @type {any} */ shot) => (Array.isArray(shot.action) ? shot.action.map(number).join(", ") : actions[shot.action]);
      const half = (/** @type {any} */ shot, /** @type {string} */ title) => {
        const picture = element("div", { className: "screen small" }, element("img", { className: "strip", src: shot.picture, alt: title }));
        for (const name of ["--w", "--h", "--k"]) picture.style.setProperty(name, this.view.screen.style.getPropertyValue(name));
        picture.style.setProperty("--s", String(Math.max(1, Math.round(this.view.scale / 2))));
        return element("figure", {}, picture, element("figcaption", {}, `${title}: the agent would ${best(shot)}`));
      };
      this.compared.replaceChildren(half(answer.without, "without the change"), half(answer.shot, "with the change"));
      await this.readVariables();
    });
  }

  takeBack() {
    return this.explorer.attempt(async () => {
      this.show((await this.explorer.server.ask({ do: "undo-edit" })).shot);
      this.undo.disabled = true;
      this.compared.replaceChildren();
      await this.readVariables();
    });
  }
}

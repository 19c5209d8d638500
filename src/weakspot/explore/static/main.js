// @ts-check
// The page of the explorer: connects, lists the states of the run, and holds the panels of tools.
import { BetweenPanel } from "./between.js";
import { byId, element } from "./dom.js";
import { KeptPanel } from "./kept.js";
import { MovePanel } from "./move.js";
import { PlayPanel } from "./play.js";
import { SearchPanel } from "./search.js";
import { Server, ServerError } from "./server.js";
import { StateView } from "./view.js";

/** @typedef {import("./view.js").Info} Info */

export class Explorer {
  /** @param {Server} server @param {Info} info */
  constructor(server, info) {
    this.server = server;
    this.info = info;
    this.opened = "";
    this.gameRoot = byId("game-view");
    this.view = new StateView(byId("model-view"), info, "The state, decoded by the state model");
    this.move = new MovePanel(this);
    this.play = new PlayPanel(this);
    this.kept = new KeptPanel(this);
    this.panels = [this.move, new SearchPanel(this), new BetweenPanel(this), this.play, this.kept];
    this.source = /** @type {HTMLSelectElement} */ (byId("source"));
    this.source.addEventListener("change", () => this.attempt(() => this.list()));
    this.makeTabs();
    this.describe(info);
  }

  /** @param {Info} info */
  describe(info) {
    document.title = `weakspot explorer: ${info.agent}`;
    byId("title").textContent = `${info.agent} in ${info.environment}`;
    byId("report").hidden = !info.has_report;
    const chosen = this.source.value;
    this.source.replaceChildren(...info.sources.map(({ name, label, count }) => element("option", { value: name }, `${label} (${count})`)));
    if (info.sources.some(({ name }) => name === chosen)) this.source.value = chosen;
  }

  makeTabs() {
    const tabs = this.panels.map(({ name }, index) => element("button",
      { type: "button", role: "tab", id: `tab-${index}`, "aria-controls": `panel-${index}` }, name));
    const choose = (/** @type {number} */ chosen, focus = false) => {
      tabs.forEach((tab, index) => {
        tab.setAttribute("aria-selected", String(index === chosen));
        tab.tabIndex = index === chosen ? 0 : -1;
        byId(`panel-${index}`).hidden = index !== chosen;
      });
      if (focus) tabs[chosen].focus();
      const game = this.panels[chosen] === this.play;
      if (this.panels[chosen] !== this.kept) {
        byId("model-view").hidden = game;
        this.gameRoot.hidden = !game;
      }
      if (!game) this.play.halt();
      if (this.panels[chosen] === this.kept) this.attempt(() => this.kept.load());
    };
    byId("panels").replaceChildren(...this.panels.map(({ root }, index) =>
      element("div", { role: "tabpanel", id: `panel-${index}`, "aria-labelledby": `tab-${index}` }, root)));
    byId("tabs").replaceChildren(...tabs);
    tabs.forEach((tab, index) => {
      tab.addEventListener("click", () => choose(index));
      tab.addEventListener("keydown", (event) => {
        const to = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: tabs.length - 1 }[event.key];
        if (to === undefined) return;
        event.preventDefault();
        choose((to + tabs.length) % tabs.length, true);
      });
    });
    choose(0);
  }

  async list() {
    const { states } = await this.server.ask({ do: "list", source: this.source.value });
    byId("list").replaceChildren(...states.map((/** @type {any} */ state) => {
      const open = element("button", { type: "button", className: state.kind, title: state.label },
        element("img", { src: state.picture, alt: state.label }));
      open.dataset.state = state.state;
      open.addEventListener("click", () => this.open(state.state));
      return element("li", {}, open);
    }));
    this.mark();
  }

  /** @param {string} state */
  open(state) {
    return this.attempt(async () => {
      const answer = await this.server.ask({ do: "open", state });
      this.opened = state;
      history.replaceState(null, "", `#${encodeURIComponent(state)}`);
      this.place = answer.place;
      byId("view-title").textContent = `${answer.place.label[0].toUpperCase()}${answer.place.label.slice(1)}`;
      this.show(answer);
      this.view.extra.replaceChildren();
      if (answer.real) {
        const picture = element("div", { className: "screen small" }, element("img", { className: "strip", src: answer.real, alt: "The same state, drawn by the environment" }));
        for (const name of ["--w", "--h", "--k"]) picture.style.setProperty(name, this.view.screen.style.getPropertyValue(name));
        picture.style.setProperty("--s", "2");
        this.view.extra.append(element("figure", {}, picture, element("figcaption", {}, "The state as the environment draws it. Above: as the state model reconstructs it.")));
      }
      this.move.setDirections(answer.directions);
      this.play.start.disabled = !answer.place.playable;
      this.mark();
    });
  }

  mark() {
    byId("list").querySelectorAll("button").forEach((button) => {
      if (button.dataset.state === this.opened) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    });
  }

  /** @param {any} answer */
  show(answer) {
    this.view.show(answer);
  }

  /** Copies the newest frame of the state that is shown. @param {HTMLImageElement} image */
  copy(image) {
    const { width, height, frames } = this.info;
    const canvas = element("canvas", { width, height });
    canvas.getContext("2d")?.drawImage(this.view.image, -width * (frames - 1), 0);
    image.src = canvas.toDataURL();
    image.hidden = false;
  }

  /**
   * Runs an action and shows its error in words. Returns whether it succeeded.
   * @param {() => Promise<unknown>} action
   * @returns {Promise<boolean>}
   */
  async attempt(action) {
    const box = byId("error");
    try {
      await action();
      box.hidden = true;
      return true;
    } catch (error) {
      const problem = error instanceof ServerError ? error.problem : { seen: String(error), expected: "", todo: "" };
      box.replaceChildren(element("pre", {}, problem.seen));
      if (problem.expected) box.append(element("p", {}, `expected: ${problem.expected}`));
      if (problem.todo) box.append(element("p", {}, `to do: ${problem.todo}`));
      box.hidden = false;
      return false;
    }
  }

  /** Shows the first state, or the one in the address. */
  async begin() {
    const wanted = decodeURIComponent(location.hash.slice(1));
    const known = this.info.sources.find(({ name }) => wanted.startsWith(`${name}/`));
    if (known) this.source.value = known.name;
    await this.attempt(() => this.list());
    const first = byId("list").querySelector("button");
    if (!(wanted && (await this.open(wanted))) && first?.dataset.state) await this.open(first.dataset.state);
  }
}

/** @type {Explorer | undefined} */
let explorer;
const server = new Server(async (state) => {
  const status = byId("status");
  if (state !== "open") {
    status.textContent = state === "closed" ? "not connected: the server has ended or is busy" : "refused: open the address that weakspot explore printed";
    return;
  }
  status.textContent = "connected";
  if (location.search) history.replaceState(null, "", `/${location.hash}`); // the token is in a cookie now
  const info = await server.ask({ do: "hello" });
  if (explorer) {
    explorer.describe(info);
    if (explorer.opened) await explorer.open(explorer.opened);
    return;
  }
  explorer = new Explorer(server, info);
  await explorer.begin();
  document.body.dataset.ready = "true";
});

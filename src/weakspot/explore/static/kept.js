// @ts-check
// What a person keeps: stored by the server at once, and shown by the report.
import { button, element, field } from "./dom.js";

/** @typedef {import("./main.js").Explorer} Explorer */

export class KeptPanel {
  /** @param {Explorer} explorer */
  constructor(explorer) {
    this.explorer = explorer;
    this.name = "Keep";
    this.note = element("input", { type: "text", maxLength: 2000, placeholder: "what is remarkable about it" });
    this.list = element("ul", { className: "kept" });
    this.told = element("p", { className: "small", role: "status" });
    this.root = element("div", {},
      field("Note", this.note),
      element("div", { className: "row" },
        button("Keep the synthesised state", () => this.keep("state"), { className: "main" }),
        button("Keep the game as a clip", () => this.keep("game"))),
      element("p", { className: "small" }, "Everything kept is stored in the run folder at once. Run the same weakspot run command again, and the report contains it."),
      this.told, this.list);
  }

  /** @param {"state" | "game"} what */
  keep(what) {
    return this.explorer.attempt(async () => {
      const { kept } = await this.explorer.server.ask({ do: "keep", what, note: this.note.value });
      this.note.value = "";
      this.told.textContent = `kept: ${kept.origin}`;
      await this.load();
    });
  }

  async load() {
    const { kept } = await this.explorer.server.ask({ do: "kept" });
    this.list.replaceChildren(...kept.map((/** @type {any} */ one) => this.item(one)));
  }

  /** @param {any} one */
  item(one) {
    const note = element("input", { type: "text", value: one.note, maxLength: 2000 });
    note.addEventListener("change", () => this.explorer.attempt(() => this.explorer.server.ask({ do: "note", name: one.name, note: note.value })));
    return element("li", {},
      element("img", { src: one.picture, alt: "", className: "thumb" }),
      element("div", {},
        field("Note", note),
        element("p", { className: "small" }, `${one.origin} · ${one.created}`),
        element("div", { className: "row" },
          button("Open", () => this.explorer.open(`kept/${one.name}`)),
          button("Remove", () => this.explorer.attempt(async () => {
            await this.explorer.server.ask({ do: "remove", name: one.name });
            await this.load();
          })))));
  }
}

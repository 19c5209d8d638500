// @ts-check
// A slider over moments, for notebooks: the frames of one or more rows at the moment that is chosen, side by side.

/**
 * @typedef {{ name: string, frames: string[] }} Row
 * @typedef {{ get(name: "rows"): Row[], get(name: "moments"): string[], get(name: "at" | "width"): number,
 *   set(name: "at", value: number): void, save_changes(): void, on(name: string, call: () => void): void,
 *   off(name: string, call: () => void): void }} Model
 */

/** @param {{ model: any, el: HTMLElement }} place */
function render({ model: untyped, el }) {
  const model = /** @type {Model} */ (untyped);
  const rows = model.get("rows"), moments = model.get("moments");
  const pictures = rows.map((row) => {
    const figure = document.createElement("figure"), image = document.createElement("img"), caption = document.createElement("figcaption");
    figure.style.cssText = "margin: 0 12px 0 0; display: inline-block";
    image.style.cssText = "image-rendering: pixelated; display: block; background: #000";
    image.width = model.get("width");
    caption.textContent = row.name;
    figure.append(image, caption);
    return image;
  });
  const label = document.createElement("label"), slider = document.createElement("input"), text = document.createElement("output");
  Object.assign(slider, { type: "range", min: "0", max: String(moments.length - 1), step: "1" });
  slider.style.cssText = "vertical-align: middle; width: 300px; margin: 8px";
  label.append("Moment ", slider, text);
  el.append(...pictures.map((picture) => /** @type {HTMLElement} */ (picture.parentElement)), document.createElement("br"), label);

  const show = () => {
    const at = model.get("at");
    slider.value = String(at);
    text.textContent = moments[at];
    rows.forEach((row, number) => {
      pictures[number].src = row.frames[Math.min(at, row.frames.length - 1)];
      pictures[number].alt = `${row.name}, ${moments[at]}`;
    });
  };
  slider.addEventListener("input", () => {
    model.set("at", Number(slider.value));
    model.save_changes();
    show();
  });
  model.on("change:at", show);
  show();
  return () => model.off("change:at", show);
}

export default { render };

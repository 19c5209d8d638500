"use strict";
// The page works without scripts. This adds an enlarged view that plays and compares states, the current entry of the contents, and copying.
(() => {
  const box = document.getElementById("lightbox");
  const find = (selector, root = document) => [...root.querySelectorAll(selector)];
  const screen = box.querySelector(".screen"), views = box.querySelector(".views"), copy = box.querySelector(".copy"), frames = box.querySelector(".frames");
  const play = box.querySelector('[data-do="play"]');
  let cards = [], place = 0, films = [], view = 0;
  let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;

  // every state of a card, and once more with its saliency if it has some
  const viewsOf = (card) => find(".film", card).flatMap((film) => {
    const plain = { film, name: film.dataset.label, salient: false };
    return film.querySelector(".saliency") ? [plain, { film, name: `${plain.name} + saliency`, salient: true }] : [plain];
  });

  function show() {
    const chosen = films[view];
    const shown = document.createElement("div");
    shown.className = chosen.film.className;
    shown.append(...[...chosen.film.children].map((child) => child.cloneNode()));
    shown.classList.toggle("playing", playing);
    screen.classList.toggle("salient", chosen.salient);
    screen.replaceChildren(shown);
    const all = chosen.film.querySelector(".strip").cloneNode();
    all.className = "contact";
    frames.replaceChildren(all);
    play.setAttribute("aria-pressed", String(playing));
    [...views.children].forEach((button, index) => button.setAttribute("aria-pressed", String(index === view)));
  }

  function open(card, film) {
    place = cards.indexOf(card);
    films = viewsOf(card);
    view = film ? films.findIndex((entry) => entry.film === film) : Math.min(view, films.length - 1);
    box.querySelector(".what").textContent = card.dataset.card;
    views.replaceChildren(...films.map((entry, index) => {
      const button = document.createElement("button"), key = document.createElement("kbd");
      button.type = "button";
      key.textContent = String(index + 1);
      button.append(entry.name, key);
      button.addEventListener("click", () => { view = index; show(); });
      return button;
    }));
    views.hidden = films.length < 2;
    copy.replaceChildren(...find(".scores, figcaption", card).slice(-1).map((node) => node.cloneNode(true)));
    show();
    if (!box.open) box.showModal();
  }

  function move(by) {
    const next = cards[(place + by + cards.length) % cards.length];
    open(next, null);
  }

  document.addEventListener("click", (event) => {
    const film = event.target.closest("button.film");
    if (!film) return;
    const card = film.closest("[data-card]");
    cards = find("[data-card]", film.closest(".section")).filter((other) => other.offsetParent !== null);
    open(card, film);
  });
  const actions = { previous: () => move(-1), next: () => move(1), play: () => { playing = !playing; show(); } };
  find("[data-do]", box).forEach((button) => button.addEventListener("click", actions[button.dataset.do]));
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  box.addEventListener("close", () => { screen.replaceChildren(); frames.replaceChildren(); copy.replaceChildren(); });
  box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") move(-1);
    else if (event.key === "ArrowRight") move(1);
    else if (event.key === " " && event.target.closest("button") === null) actions.play();
    else if (/^[1-9]$/.test(event.key) && films[event.key - 1]) { view = event.key - 1; show(); }
    else return;
    event.preventDefault();
  });

  const links = new Map(find(".toc a").map((link) => [link.hash.slice(1), link]));
  const sections = find(".section");
  const mark = () => {
    const current = sections.filter((section) => section.getBoundingClientRect().top < innerHeight / 3).pop() || sections[0];
    links.forEach((link, id) => {
      if (id === current.id) {
        if (link.getAttribute("aria-current")) return;
        link.setAttribute("aria-current", "true");
        const list = link.closest("ol");
        if (list.scrollWidth > list.clientWidth) list.scrollTo({ left: link.offsetLeft - 24, behavior: "instant" });
      } else link.removeAttribute("aria-current");
    });
  };
  addEventListener("scroll", mark, { passive: true });
  mark();

  addEventListener("beforeprint", () => find("details").forEach((details) => { details.open = true; }));
  find(".copy-command").forEach((button) => {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  });
})();

"use strict";
// The page works without scripts. This adds an enlarged view that plays, scrubs and compares states and has a link of its own, filters, the
// current entry of the contents, and copying.
(() => {
  const box = document.getElementById("lightbox");
  const find = (selector, root = document) => [...root.querySelectorAll(selector)];
  const part = (selector) => box.querySelector(selector);
  const screen = part(".screen"), views = part(".views"), copy = part(".copy"), frames = part(".frames"), ends = part(".ends"), link = part(".link");
  const scrub = part(".scrub input"), moment = part(".scrub output"), play = part('[data-do="play"]');
  const MOST_FRAMES = 12;  // that are shown side by side below an enlarged state
  let cards = [], place = 0, films = [], view = 0, before = "";
  let playing = !matchMedia("(prefers-reduced-motion: reduce)").matches;

  // every state of a card, and once more with its saliency if it has some
  const viewsOf = (card) => find(".film", card).flatMap((film) => {
    const plain = { film, name: film.dataset.label, salient: false };
    return film.querySelector(".saliency") ? [plain, { film, name: `${plain.name} + saliency`, salient: true }] : [plain];
  });
  const countOf = (film) => Number(getComputedStyle(film).getPropertyValue("--k"));
  const goTo = (hash) => history.replaceState(null, "", hash || location.pathname + location.search);

  function show() {
    const chosen = films[view], count = countOf(chosen.film);
    const shown = document.createElement("div");
    shown.className = chosen.film.className;
    shown.classList.remove("clip");  // which plays on the page by itself
    shown.style.setProperty("--k", count);
    const pace = chosen.film.style.getPropertyValue("--pace");
    if (pace) shown.style.setProperty("--pace", pace);
    shown.append(...[...chosen.film.children].map((child) => child.cloneNode()));
    screen.classList.toggle("salient", chosen.salient);
    screen.replaceChildren(shown);
    const all = chosen.film.querySelector(".strip").cloneNode();
    all.className = "contact";
    frames.replaceChildren(all);
    const named = chosen.film.dataset.ends || (chosen.film.dataset.moments ? "start of the search|end" : "oldest|newest");
    [ends.firstChild.textContent, ends.lastChild.textContent] = named.split("|");
    scrub.max = scrub.value = String(count);
    part(".scrub").hidden = play.hidden = count < 2;
    ends.hidden = frames.hidden = count < 2 || count > MOST_FRAMES;
    const caption = chosen.film.closest(".clips figure")?.querySelector("figcaption");
    if (caption) copy.replaceChildren(caption.cloneNode(true));
    [...views.children].forEach((button, index) => button.setAttribute("aria-pressed", String(index === view)));
    run(playing);
  }

  function run(on) {
    const shown = screen.firstElementChild, chosen = films[view];
    shown.classList.toggle("playing", on);
    play.setAttribute("aria-pressed", String(on));
    if (on) shown.style.removeProperty("--at");
    else shown.style.setProperty("--at", scrub.value);
    const moments = chosen.film.dataset.moments?.split("|");
    moment.textContent = on ? "" : moments ? moments[scrub.value - 1] : `${scrub.value} of ${scrub.max}`;
  }

  function open(card, film) {
    place = cards.indexOf(card);
    films = viewsOf(card);
    view = film ? films.findIndex((entry) => entry.film === film) : Math.min(view, films.length - 1);
    part(".what").textContent = card.dataset.card;
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
    find(".how", copy).forEach((node) => { node.tabIndex = 0; });
    link.hidden = !card.id;
    link.href = `#${card.id}`;
    if (card.id) goTo(`#${card.id}`);
    if (!box.open) box.showModal();
    show();
  }

  const around = (card) => find("[data-card]", card.closest(".section")).filter((other) => other.offsetParent !== null);
  function move(by) {
    open(cards[(place + by + cards.length) % cards.length], null);
  }

  document.addEventListener("click", (event) => {
    const film = event.target.closest("button.film");
    if (!film) return;
    const card = film.closest("[data-card]");
    cards = around(card);
    before = location.hash;
    open(card, film);
  });
  const actions = { previous: () => move(-1), next: () => move(1), play: () => { playing = !playing; run(playing); } };
  find("[data-do]", box).forEach((button) => button.addEventListener("click", actions[button.dataset.do]));
  scrub.addEventListener("input", () => { playing = false; run(false); });
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  box.addEventListener("close", () => {
    screen.replaceChildren(); frames.replaceChildren(); copy.replaceChildren();
    goTo(before);
  });
  document.addEventListener("keydown", (event) => {  // of the page: a page opened at a state has no focus yet
    if (!box.open || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === scrub && event.key.startsWith("Arrow")) return;
    if (event.key === "ArrowLeft") move(-1);
    else if (event.key === "ArrowRight") move(1);
    else if (event.key === " " && event.target.closest("button, a") === null) actions.play();
    else if (/^[1-9]$/.test(event.key) && films[event.key - 1]) { view = event.key - 1; show(); }
    else return;
    event.preventDefault();
  });

  // the address of a state opens it
  function followAddress() {
    const card = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!card?.matches("[data-card]")) return;
    card.closest("details")?.setAttribute("open", "");
    cards = around(card);
    before = "";
    open(card, card.querySelector(".film"));
  }
  link.addEventListener("click", (event) => {
    event.preventDefault();
    navigator.clipboard?.writeText(link.href).then(() => { link.textContent = "Address copied"; }, () => {});
    setTimeout(() => { link.textContent = "Link to this view"; }, 1500);
  });
  addEventListener("hashchange", followAddress);
  followAddress();

  // filters
  find(".filters").forEach((filters) => {
    filters.hidden = false;
    const fields = find("[data-filter]", filters), told = filters.querySelector("output");
    const shown = find("[data-verdict]", filters.parentElement);
    const apply = () => {
      const wanted = Object.fromEntries(fields.map((field) => [field.dataset.filter, field.value]));
      const fits = (item) => (!wanted.kind || item.dataset.kind === wanted.kind) && (!wanted.verdict || item.dataset.verdict === wanted.verdict)
        && (!wanted.distance || (item.dataset.distance && Number(item.dataset.distance) <= Number(wanted.distance)));
      shown.forEach((item) => { item.hidden = !fits(item); });
      const left = shown.filter((item) => !item.hidden).length;
      if (left < shown.length) find("details", filters.parentElement).forEach((details) => { details.open ||= Boolean(details.querySelector("[data-verdict]:not([hidden])")); });
      told.textContent = left === shown.length ? "" : `${left} of ${shown.length} shown`;
    };
    fields.forEach((field) => field.addEventListener("input", apply));
  });

  const links = new Map(find(".toc a").map((entry) => [entry.hash.slice(1), entry]));
  const sections = find(".section");
  const mark = () => {
    const current = sections.filter((section) => section.getBoundingClientRect().top < innerHeight / 3).pop() || sections[0];
    links.forEach((entry, id) => {
      if (id === current.id) {
        if (entry.getAttribute("aria-current")) return;
        entry.setAttribute("aria-current", "true");
        const list = entry.closest("ol");
        if (list.scrollWidth > list.clientWidth) list.scrollTo({ left: entry.offsetLeft - 24, behavior: "instant" });
      } else entry.removeAttribute("aria-current");
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

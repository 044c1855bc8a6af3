// An evidence sheet at work: what is asked (a sentence or a finding), which kind of map, and which side it names.
"use strict";
(() => {
  const shown = document.getElementById("shown");
  const says = document.getElementById("says");
  const asks = [...document.querySelectorAll("[data-ask]")];
  const modes = [...document.querySelectorAll("[data-kind]")];
  const swap = document.getElementById("swap");
  const silence = says.innerHTML;
  const state = { asked: null, pinned: null, kind: modes[0].dataset.kind, other: false };

  const layer = (ask, kind, other) => document.getElementById(`${ask}-${kind}${other ? "-other" : ""}`);
  const kinds = modes.map((mode) => mode.dataset.kind);

  // A finding has one kind of map, and a sentence not always all: where the chosen one is absent, the first that is there.
  const kindOf = (ask) => [state.kind, ...kinds].find((kind) => layer(ask, kind, false));

  function draw() {
    const ask = state.asked;
    const kind = ask && kindOf(ask);
    const control = kind && layer(ask, kind, true);
    const chosen = kind && (state.other && control ? control : layer(ask, kind, false));
    shown.setAttribute("href", chosen ? `#${chosen.id}` : "#nothing");
    says.classList.toggle("swapped", Boolean(chosen && chosen === control));
    if (chosen) {
      const title = document.createElement("b");
      title.textContent = chosen.dataset.title;
      const text = document.createElement("span");
      text.dir = "auto";
      text.textContent = ` ${chosen.dataset.says}`;
      says.replaceChildren(title, text);
      if (state.other && !control) {
        says.append(` No other side here: ${chosen.dataset.alone}.`);
      }
    } else {
      says.innerHTML = silence;
    }
    asks.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.ask === state.pinned)));
    modes.forEach((mode) => mode.setAttribute("aria-pressed", String(mode.dataset.kind === (kind || state.kind))));
    swap.setAttribute("aria-pressed", String(state.other));
    near(ask && ask[0] === "f" ? document.getElementById(ask).dataset.sentences.split(" ") : []);
  }

  function near(names) {
    asks.forEach((button) => button.classList.toggle("near", names.includes(button.dataset.ask)));
  }

  function ask(name, pin) {
    state.asked = name;
    if (pin) state.pinned = name;
    draw();
  }

  asks.forEach((button) => {
    button.addEventListener("mouseenter", () => ask(button.dataset.ask, false));
    button.addEventListener("mouseleave", () => ask(state.pinned, false));
    button.addEventListener("focus", () => ask(button.dataset.ask, true));
    button.addEventListener("click", () => ask(button.dataset.ask, true));
  });

  function choose(kind) {
    state.kind = kind;
    draw();
  }

  function exchange() {
    state.other = !state.other;
    draw();
  }

  modes.forEach((mode) => mode.addEventListener("click", () => choose(mode.dataset.kind)));
  swap.addEventListener("click", exchange);

  // From the film to the report: which sentences have their region here?
  document.querySelectorAll(".cell").forEach((cell) => {
    const here = () => (cell.dataset[state.kind] || "").split(" ");
    cell.addEventListener("mouseenter", () => near(here()));
    cell.addEventListener("mouseleave", draw);
    cell.addEventListener("click", () => {
      const first = asks.find((button) => here().includes(button.dataset.ask));
      if (first) first.focus();
    });
  });

  const step = (by) => {
    const sentences = asks.filter((button) => button.dataset.ask[0] === "s");
    const place = sentences.findIndex((button) => button.dataset.ask === state.pinned);
    const next = place < 0 && by < 0 ? sentences.length - 1 : place + by;
    if (sentences[next]) sentences[next].focus();
  };

  const keys = {
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    s: exchange,
    m: () => choose(kinds[(kinds.indexOf(state.kind) + 1) % kinds.length]),
    Escape: () => {
      state.other = false;
      if (document.activeElement) document.activeElement.blur();
      ask(null, true);
    },
    n: () => document.querySelector("a[rel=next]")?.click(),
    p: () => document.querySelector("a[rel=prev]")?.click(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  draw();
})();

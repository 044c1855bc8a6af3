// The page: a film is chosen, the model looks, a phrase is asked, and its maps stand beside their controls.
"use strict";
(() => {
  const byId = (name) => document.getElementById(name);
  const status = byId("status");
  const progress = byId("progress");
  const SERVE = "This folder has to be served: run “python -m http.server” in it and open the address that it prints. Or open ";

  let at; // the loaded model
  let subject; // the film at hand
  let looked; // what the model has seen of it: film, moved, blank
  let turn = 0; // counts films, so that what was begun for another one ends
  let asking = 0; // counts questions

  class Stopped extends Error {}

  function element(name, properties = {}, ...children) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  function labelled(canvas, words) {
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", words);
    return canvas;
  }

  const generated = () => at.films.includes(subject); // then it is known what is true of the film
  const known = (phrase) => subject.phrases.find((one) => one.text.toLowerCase() === phrase.trim().toLowerCase());

  // ---- 1 films
  function showFilms() {
    const size = at.facts.imageSize;
    byId("films-about").textContent =
      `A dozen phantom patients (generated), as the model reads films: ${size} × ${size} pixels.`;
    at.films.forEach((film) => {
      const canvas = element("canvas");
      draw.film(canvas, film.image, size, size);
      canvas.setAttribute("aria-hidden", "true");
      const button = element("button", { type: "button" }, canvas, film.findings.join(", ") || "no finding");
      button.setAttribute("aria-label", `Phantom ${film.id}: ${film.words}`);
      button.dataset.id = film.id;
      button.addEventListener("click", () => choose(film));
      byId("films").append(button);
    });
  }

  async function chooseFile(file) {
    if (!file) return;
    byId("trouble").textContent = "";
    try {
      const { image, inside } = await film.read(file, at.facts.imageSize);
      await choose({ ...at.own, image, inside, id: file.name, words: `${file.name}, of which nothing else is known` });
    } catch (error) {
      byId("trouble").textContent = error.message;
    }
  }

  async function choose(film) {
    turn += 1;
    const mine = turn;
    subject = film;
    looked = null; // until this film has been seen, there is nothing to ask
    document.body.dataset.whole = false;
    const { facts } = at;
    for (const button of byId("films").children) button.setAttribute("aria-pressed", String(button.dataset.id === film.id));
    draw.film(byId("film"), film.image, facts.imageSize, 2 * 288);
    labelled(byId("film"), `Chest film: ${film.words}`);
    byId("film-words").textContent = film.words;
    byId("maps").replaceChildren();
    byId("asked").textContent = "Maps follow when the film has been seen under all masks.";
    showPhrases();
    try {
      const whole = await model.whole(at, film.image);
      if (mine !== turn) return;
      subject.seen = whole;
      showFindings(whole.probabilities);
      showAttention();
      looked = { film: null, moved: null, blank: at.blank };
      const image = maps.shift(film.image, facts.imageSize, film.columns, true);
      const wholeMoved = await model.whole(at, image);
      const masked = await model.masked(at, film.image, step(mine, "The film", 0));
      looked.film = { image: film.image, masked, patches: whole.patches };
      await ask(byId("phrase").value);
      const moved = await model.masked(at, image, step(mine, "The moved film", 0.5));
      looked.moved = { image, masked: moved, patches: wholeMoved.patches };
      await ask(byId("phrase").value);
      say("Ready: ask for another phrase, or choose another film.", 1);
    } catch (error) {
      if (!(error instanceof Stopped)) throw error;
    }
  }

  // Between two passes: the page may draw and answer, and what was begun for another film stops.
  function step(mine, name, before) {
    let drawn = performance.now();
    return async (share) => {
      if (mine !== turn) throw new Stopped();
      if (performance.now() - drawn < 40) return;
      say(`${name} under masks: ${Math.round(share * at.facts.masks)} of ${at.facts.masks}`, before + share / 2);
      await new Promise((resolve) => setTimeout(resolve));
      drawn = performance.now();
      if (mine !== turn) throw new Stopped();
    };
  }

  function say(words, share) {
    status.textContent = words;
    progress.value = share;
    progress.style.visibility = share < 1 ? "visible" : "hidden";
  }

  // ---- 2 findings
  function showFindings(probabilities) {
    const { findings, thresholds } = at.facts;
    byId("truth-head").textContent = generated() ? "In the film" : "";
    byId("findings").replaceChildren(
      ...findings.map((name, number) => {
        const [probability, threshold] = [probabilities[number], thresholds[number]];
        const bar = element("div", { className: "bar" }, element("i"), element("b"));
        bar.children[0].style.width = `${100 * probability}%`;
        bar.children[1].style.left = `${100 * threshold}%`;
        bar.title = `threshold ${threshold.toFixed(2)}`;
        const button = element("button", { type: "button" }, name);
        button.addEventListener("click", () => {
          byId("phrase").value = phraseOf(name);
          ask(byId("phrase").value);
        });
        const there = subject.findings.includes(name) ? "yes" : "";
        const cells = [button, bar, probability.toFixed(2) + (probability >= threshold ? ", found" : ""), there];
        const row = element("tr", { className: probability >= threshold ? "found" : "" });
        cells.forEach((cell, column) => row.append(element("td", { className: column > 1 ? "number" : "" }, cell)));
        row.dataset.probability = probability;
        return row;
      }),
    );
  }

  // The phrase of a finding: the film's own, else a usual one, else its name.
  function phraseOf(name) {
    const own = subject.phrases.find((one) => one.finding === name);
    return own ? own.text : at.facts.examples[name] || name.toLowerCase();
  }

  // ---- 3 phrases
  function showPhrases() {
    const options = subject.phrases.map(({ text }) => element("option", { value: text }));
    byId("phrases").replaceChildren(...options);
    byId("phrase").value = subject.first;
    const offered = subject.phrases.filter((one) => one.region !== null || Object.values(at.facts.examples).includes(one.text));
    byId("chips").replaceChildren(
      ...offered.map(({ text, region }) => {
        const chip = element("button", { type: "button", className: region === null ? "" : "true" }, text);
        if (region !== null) chip.title = "true of this film";
        chip.addEventListener("click", () => {
          byId("phrase").value = text;
          ask(text);
        });
        return chip;
      }),
    );
  }

  async function ask(phrase) {
    asking += 1;
    const [mine, begun] = [asking, turn];
    if (!phrase.trim() || !looked || !looked.film) return;
    const here = known(phrase);
    const asked = views.texts(phrase.trim(), here, subject, at.facts);
    const found = await model.embedded(at, Object.values(asked));
    if (mine !== asking || begun !== turn) return;
    const vectors = Object.fromEntries(Object.keys(asked).map((control, number) => [control, found[number]]));
    const region = here && here.region !== null ? subject.regions[here.region] : null;
    const all = views.panels(asked, vectors, looked, subject, region, at.facts, at.keeps);
    showMaps(all, Boolean(here) || !generated());
    for (const chip of byId("chips").children) {
      chip.setAttribute("aria-pressed", String(chip.textContent.toLowerCase() === phrase.trim().toLowerCase()));
    }
    Object.assign(document.body.dataset, { asked: phrase.trim(), whole: Boolean(looked.moved) }); // for whoever waits for it
  }

  function showMaps(all, tells) {
    const whole = Boolean(looked.moved);
    const spelt = all[views.OWN].text;
    const strange = tells ? "" : " It is not on the list, so where it is true is not known here.";
    byId("asked").textContent = whole ? `“${spelt}”.${strange}` : `“${spelt}”: the verdict follows when the moved film has been seen.`;
    byId("maps").replaceChildren(
      ...Object.entries(at.facts.kinds).map(([kind, title]) => {
        const { controls, sentence } = views.reading(all, kind, at.facts, tells);
        const panels = Object.entries(all).map(([control, view]) => panel(control, view, kind, controls[control]));
        const section = element("section", {}, element("h3", {}, title[0].toUpperCase() + title.slice(1)));
        section.dataset.kind = kind;
        if (whole) section.append(element("p", { className: "verdict" }, sentence));
        section.append(element("div", { className: "panels" }, ...panels));
        return section;
      }),
    );
  }

  function panel(control, view, kind, judged) {
    const { imageSize, colours } = at.facts;
    const canvas = element("canvas");
    draw.film(canvas, view.image, imageSize);
    draw.heat(canvas, view.maps[kind], imageSize, colours.heat);
    if (view.mask) draw.outline(canvas, view.mask, imageSize, colours.region);
    const numbers = [];
    if (judged) numbers.push(`likeness ${view.likeness[kind].toFixed(2)}`);
    const scores = view.scores[kind];
    if (scores) numbers.push(`${scores.pointing > 0.5 ? "hit" : "miss"}, CNR ${scores.cnr.toFixed(2)}`);
    const mark = judged ? element("span", { className: judged.passed ? "passes" : "fails" }, judged.passed ? "passes" : "FAILS") : "";
    const said = [judged ? judged.words : "", ...numbers].filter(Boolean).join("; ");
    labelled(canvas, `${at.facts.kinds[kind]}, ${control}: “${view.text}”. ${said}`);
    const marks = element("div", { className: "marks" }, mark);
    numbers.forEach((one) => marks.append(element("div", {}, one)));
    return element("figure", {}, element("figcaption", {}, element("b", {}, control), `“${view.text}”`), canvas, marks);
  }

  // ---- 4 anatomies
  function showAttention() {
    const { facts } = at;
    const node = facts.nodes[byId("node").selectedIndex];
    const canvas = byId("attention");
    draw.film(canvas, subject.image, facts.imageSize, 2 * 288);
    const values = maps.attention(subject.seen.attention, node.leaves, facts);
    draw.attention(canvas, values, facts.imageSize, facts.grid ** 2, facts.colours.attention);
    const words = node.leaves.length > 1 ? `${node.name}: mean of the prompts of its ${node.leaves.length} leaves` : node.name;
    byId("attention-words").textContent = words;
    labelled(canvas, `Attention over the film: ${words}`);
  }

  // ---- beginning
  function showAbout() {
    const { facts } = at;
    const rows = {
      Checkpoint: `${facts.checkpoint.name} (ssacl ${facts.checkpoint.version}), SHA-256 ${facts.checkpoint.sha256}`,
      "Masked evidence": facts.about.masked,
      Masks: `${facts.masks}, ${Math.round(100 * facts.maskRatio)} % of ${facts.grid} × ${facts.grid} patches hidden, seed ${facts.seed}: the same as in PyTorch`,
      Numbers: "float32, equal to PyTorch's within 1e-4 (tested)",
      Network: "after its own files this page asks for nothing",
    };
    byId("about").replaceChildren(...Object.entries(rows).flatMap(([name, words]) => [element("dt", {}, name), element("dd", {}, words)]));
  }

  function listen() {
    byId("file").addEventListener("change", (event) => chooseFile(event.target.files[0]));
    const drop = byId("drop");
    for (const name of ["dragover", "dragenter"]) {
      document.addEventListener(name, (event) => {
        event.preventDefault();
        drop.classList.add("over");
      });
    }
    document.addEventListener("dragleave", () => drop.classList.remove("over"));
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      chooseFile(event.dataTransfer.files[0]);
    });
    byId("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      ask(byId("phrase").value);
    });
    byId("node").append(...at.facts.nodes.map(({ name }) => element("option", {}, name)));
    byId("node").addEventListener("change", () => subject.seen && showAttention());
  }

  // A film of which every control can be asked.
  const tellsASide = ({ first, phrases }) => views.swapSide(first) && phrases[0].region !== null;

  async function begin() {
    try {
      at = await model.load();
    } catch (error) {
      progress.hidden = true;
      status.className = "trouble";
      status.textContent = `The model could not be loaded (${error.message}).`;
      if (location.protocol === "file:" && !document.getElementById("file:model.json")) {
        const whole = element("a", { href: "ssacl-browser.html" }, "ssacl-browser.html");
        status.replaceChildren(SERVE, whole, ", which holds everything.");
      }
      return;
    }
    window.ssacl = { at, choose, looked: () => looked }; // for the browser's console, and for tests
    listen();
    showAbout();
    showFilms();
    byId("main").hidden = false;
    await choose(at.films.find(tellsASide) || at.films[0]);
  }

  begin();
})();

// A phrase beside its controls and what they say of its map, as evaluation/phrase_views.py.
"use strict";
var views = (() => {
  const calculate = typeof module === "object" ? require("./maps.js") : maps;
  const SIDE = /\b(right|left)\b/gi;
  const OTHER = { right: "left", left: "right", Right: "Left", Left: "Right", RIGHT: "LEFT", LEFT: "RIGHT" };
  const PLACES = /^(right|left|upper|middle|lower|mid|lobe|zone|side|small|large|mild|severe|with|and|the|of|in|at)$/;
  const [OWN, SWAPPED, OTHER_SIDE, SHIFTED, BLANK] = ["own", "swapped phrase", "swapped side", "shifted", "blank film"];

  // Right and left exchanged; null where the phrase names no side, or both.
  function swapSide(phrase) {
    const sides = new Set((phrase.match(SIDE) || []).map((side) => side.toLowerCase()));
    return sides.size === 1 ? phrase.replace(SIDE, (side) => OTHER[side] || OTHER[side.toLowerCase()]) : null;
  }

  // The phrase that is swapped in. Of a listed phrase it is known; of another one it is the first usual phrase of a finding that
  // the film has not, and that shares no word with it.
  function swappedPhrase(phrase, known, subject, facts) {
    if (known) return known.swapped;
    const words = (text) => text.toLowerCase().split(/[^\p{L}]+/u).filter((word) => word && !PLACES.test(word));
    const said = new Set(words(phrase));
    const usual = Object.entries(facts.examples).filter(([finding]) => !subject.findings.includes(finding));
    const other = usual.find(([, text]) => !words(text).some((word) => said.has(word)));
    return (other || usual[0] || Object.entries(facts.examples)[0])[1];
  }

  // What is asked: control -> text. A control of the film asks the phrase itself.
  function texts(phrase, known, subject, facts) {
    const asked = { [OWN]: phrase, [SWAPPED]: swappedPhrase(phrase, known, subject, facts), [OTHER_SIDE]: swapSide(phrase) };
    return Object.fromEntries(Object.entries(asked).filter(([, text]) => text));
  }

  function movedInside(inside, columns, size) {
    const left = Math.min(Math.max(inside.left + columns, 0), size);
    return { ...inside, left, right: Math.min(Math.max(inside.right + columns, 0), size) };
  }

  function movedRegion(region, columns, size) {
    if (!region) return null;
    const count = (mask) => mask.reduce((all, one) => all + one, 0);
    const moved = calculate.shift(region, size, columns, false);
    return 2 * count(moved) >= count(region) ? moved : null;
  }

  // All panels of a phrase. vectors: control -> unit vector of its text. looked: film, moved film (or null while it is not
  // there) and blank film, each { image, masked, patches } with unit vectors. Returns control -> view.
  function panels(asked, vectors, looked, subject, region, facts, keeps) {
    const size = facts.imageSize;
    const { columns, inside } = subject;
    const mapsOf = (seen, vector) => ({
      masked: calculate.masked(seen.masked, keeps, vector, facts),
      similarity: calculate.similarity(seen.patches, vector, facts),
    });
    const own = mapsOf(looked.film, vectors[OWN]);
    const view = (text, image, found, reference, mask, where) => {
      const over = (make) => Object.fromEntries(Object.keys(found).map((kind) => [kind, make(kind)]));
      return {
        text, image, mask, maps: found,
        scores: over((kind) => calculate.scores(found[kind], mask, size, where)),
        likeness: over((kind) => calculate.likeness(found[kind], reference[kind], size, where)),
      };
    };
    const all = {};
    for (const [control, text] of Object.entries(asked)) {
      const found = control === OWN ? own : mapsOf(looked.film, vectors[control]);
      all[control] = view(text, looked.film.image, found, own, region, inside);
    }
    if (looked.moved) {
      const reference = Object.fromEntries(Object.entries(own).map(([k, map]) => [k, calculate.shift(map, size, columns, true)]));
      const where = movedInside(inside, columns, size);
      const mask = movedRegion(region, columns, size);
      all[SHIFTED] = view(asked[OWN], looked.moved.image, mapsOf(looked.moved, vectors[OWN]), reference, mask, where);
    }
    const whole = { top: 0, bottom: size, left: 0, right: size };
    all[BLANK] = view(asked[OWN], looked.blank.image, mapsOf(looked.blank, vectors[OWN]), own, region, whole);
    return Object.fromEntries(facts.views.filter((name) => all[name]).map((name) => [name, all[name]]));
  }

  const hits = (view, kind) => Boolean(view.scores[kind] && view.scores[kind].pointing > 0.5);

  // Which controls a kind of map passes, and what follows. tells: is it known where the phrase is true, or that it is not?
  function reading(all, kind, facts, tells = true) {
    const own = all[OWN];
    const whole = { top: 0, bottom: facts.imageSize, left: 0, right: facts.imageSize };
    const controls = {};
    for (const [control, view] of Object.entries(all)) {
      if (control === OWN) continue;
      const alike = view.likeness[kind];
      const stayed = () => calculate.likeness(view.maps[kind], own.maps[kind], facts.imageSize, whole);
      const passed =
        control === SHIFTED ? alike > stayed() : alike < facts.stays && !(hits(own, kind) && hits(view, kind));
      controls[control] = { passed, words: facts.words[control][Number(passed)] };
    }
    return { controls, sentence: sentence(controls, own.scores[kind], tells) };
  }

  function sentence(controls, scores, tells) {
    const failed = Object.values(controls).filter((one) => !one.passed).map((one) => one.words);
    let verdict;
    if (failed.length) {
      const [first, ...others] = failed;
      const reasons = [first[0].toUpperCase() + first.slice(1), ...others.map((words) => words.replace(/^the map /, ""))];
      verdict = `${reasons.join("; ")}: position, not evidence`;
    } else {
      verdict = `The map follows ${OTHER_SIDE in controls ? "phrase, side and film" : "phrase and film"}`;
    }
    if (!tells) return `${verdict}.`;
    if (!scores) return `${verdict}. The phrase has no true region on this film to compare with.`;
    const hit = scores.pointing > 0.5;
    const placed = `its maximum lies ${hit ? "inside" : "outside of"} the true region (CNR ${scores.cnr.toFixed(2)})`;
    return `${verdict}${Boolean(failed.length) === hit ? "; yet " : "; "}${placed}.`;
  }

  return { texts, panels, reading, sentence, swapSide, swappedPhrase, OWN, SHIFTED };
})();
if (typeof module === "object") module.exports = views;

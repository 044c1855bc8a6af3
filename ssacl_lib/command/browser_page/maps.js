// From what the model has seen to maps and their scores, as model/maps.py, metrics/grounding.py and evaluation/targets.py.
// A map is a Float64Array [size * size]; values per patch are [grid * grid].
"use strict";
var maps = (() => {
  const ROUNDING = 1e-6; // values closer than this share of the largest magnitude are equal

  const dot = (first, second) => {
    let sum = 0;
    for (let at = 0; at < first.length; at += 1) sum += first[at] * second[at];
    return sum;
  };

  function unit(vector) {
    const length = Math.max(Math.sqrt(dot(vector, vector)), 1e-12);
    return Float64Array.from(vector, (value) => value / length);
  }

  const mean = (values) => values.reduce((all, one) => all + one, 0) / values.length;

  // One pass of a Gaussian along lines of a square grid; beyond the edge its border is repeated, or there is 0.
  function smoothLines(values, grid, kernel, radius, repeats, step, line) {
    const done = new Float64Array(values.length);
    for (let row = 0; row < grid; row += 1) {
      for (let at = 0; at < grid; at += 1) {
        let sum = 0;
        for (let k = -radius; k <= radius; k += 1) {
          const place = repeats ? Math.min(Math.max(at + k, 0), grid - 1) : at + k;
          if (place >= 0 && place < grid) sum += kernel[k + radius] * values[row * line + place * step];
        }
        done[row * line + at * step] = sum;
      }
    }
    return done;
  }

  function smooth(values, grid, sigma, repeats) {
    if (sigma <= 0) return values;
    const radius = Math.max(1, Math.trunc(3 * sigma + 0.5));
    const raw = Array.from({ length: 2 * radius + 1 }, (_, k) => Math.exp(-((k - radius) ** 2) / (2 * sigma ** 2)));
    const sum = raw.reduce((all, one) => all + one, 0);
    const kernel = raw.map((one) => one / sum);
    const down = smoothLines(values, grid, kernel, radius, repeats, grid, 1);
    return smoothLines(down, grid, kernel, radius, repeats, 1, grid);
  }

  // Bilinear, as torch's interpolate with align_corners=False.
  function enlarge(values, grid, size) {
    const places = Array.from({ length: size }, (_, at) => {
      const from = Math.max(((at + 0.5) * grid) / size - 0.5, 0);
      const low = Math.min(Math.floor(from), grid - 1);
      return { low, high: Math.min(low + 1, grid - 1), part: from - low };
    });
    const done = new Float64Array(size * size);
    places.forEach((row, y) => {
      places.forEach((column, x) => {
        const line = (at) =>
          values[at * grid + column.low] * (1 - column.part) + values[at * grid + column.high] * column.part;
        done[y * size + x] = line(row.low) * (1 - row.part) + line(row.high) * row.part;
      });
    });
    return done;
  }

  // Cosine of every projected patch (unit length) with a text (unit length), smoothed.
  function similarity(patches, text, facts) {
    const values = Float64Array.from(patches, (patch) => dot(patch, text));
    return enlarge(smooth(values, facts.grid, facts.smoothing.similarity, true), facts.grid, facts.imageSize);
  }

  // Mean fit under the masks that show a patch minus mean fit under those that hide it.
  function visibilityEffect(scores, keeps, patches) {
    const seen = new Float64Array(patches);
    const shown = new Float64Array(patches);
    let all = 0;
    keeps.forEach((kept, mask) => {
      all += scores[mask];
      kept.forEach((patch) => {
        seen[patch] += 1;
        shown[patch] += scores[mask];
      });
    });
    return seen.map((count, patch) => {
      const hidden = keeps.length - count;
      return shown[patch] / Math.max(count, 1) - (all - shown[patch]) / Math.max(hidden, 1);
    });
  }

  // Masked evidence: vectors of the film under the masks and of the text, all of unit length.
  function masked(vectors, keeps, text, facts) {
    const scores = vectors.map((vector) => dot(vector, text));
    const effect = visibilityEffect(scores, keeps, facts.grid ** 2);
    const middle = mean(effect);
    const values = effect.map((value) => value - middle);
    return enlarge(smooth(values, facts.grid, facts.smoothing.masked, false), facts.grid, facts.imageSize);
  }

  // Attention of a node's prompt: the mean of its leaves' rows.
  function attention(rows, leaves, facts) {
    const values = rows[0].map((_, patch) => mean(leaves.map((leaf) => rows[leaf][patch])));
    return enlarge(Float64Array.from(values), facts.grid, facts.imageSize);
  }

  // Move an image, a mask or a map to the right (negative: to the left); what comes in repeats the border or is 0.
  function shift(values, size, columns, repeats) {
    const done = new values.constructor(values.length);
    for (let y = 0; y < size; y += 1) {
      for (let x = 0; x < size; x += 1) {
        const from = x - columns;
        const there = from >= 0 && from < size;
        const edge = values[y * size + (from < 0 ? 0 : size - 1)];
        done[y * size + x] = there ? values[y * size + from] : repeats ? edge : 0;
      }
    }
    return done;
  }

  // The values of a map within the rows and columns of the film.
  function within(values, size, { top, bottom, left, right }) {
    const found = [];
    for (let y = top; y < bottom; y += 1) for (let x = left; x < right; x += 1) found.push(values[y * size + x]);
    return found;
  }

  // Correlation of two maps over the film; 0 for a constant one.
  function likeness(first, second, size, inside) {
    const [one, two] = [first, second].map((values) => {
      const kept = within(values, size, inside);
      const middle = mean(kept);
      return kept.map((value) => value - middle);
    });
    const length = Math.sqrt(dot(one, one) * dot(two, two));
    return length > 1e-12 ? dot(one, two) / length : 0;
  }

  const extremes = (values) => values.reduce(([low, high], one) => [Math.min(low, one), Math.max(high, one)], [Infinity, -Infinity]);

  function variance(values) {
    const [low, high] = extremes(values);
    const middle = mean(values);
    return low === high ? 0 : mean(values.map((value) => (value - middle) ** 2));
  }

  // Pointing share and contrast-to-noise ratio against a region; null where none is inside of the film, or nothing else.
  function scores(values, region, size, inside) {
    if (!region) return null;
    const all = within(values, size, inside);
    const there = within(region, size, inside);
    const marked = all.filter((_, at) => there[at]);
    const others = all.filter((_, at) => !there[at]);
    if (!marked.length || !others.length) return null;
    const [low, high] = extremes(all);
    const least = high - ROUNDING * Math.max(Math.abs(low), Math.abs(high));
    const pointing = marked.filter((value) => value >= least).length / all.filter((value) => value >= least).length;
    const contrast = mean(marked) - mean(others);
    const noise = Math.sqrt(variance(marked) + variance(others));
    const cnr = contrast === 0 ? 0 : contrast / noise;
    return { pointing, cnr: Math.min(Math.max(cnr, -100), 100) };
  }

  return { unit, similarity, masked, visibilityEffect, attention, shift, likeness, scores, extremes };
})();
if (typeof module === "object") module.exports = maps;

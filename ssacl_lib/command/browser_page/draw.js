// Pictures: a film, a map over it, the edge of a region. Colours and opacity are those of the figures (plots/style.py).
"use strict";
var draw = (() => {
  const SIDE = 288; // pixels of a canvas
  const OPACITY = 0.7;

  const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

  // A square of RGBA pixels over the canvas, smoothed. colour(place) -> [red, green, blue, opacity 0..1].
  function layer(canvas, size, colour) {
    const small = new OffscreenCanvas(size, size);
    const context = small.getContext("2d");
    const data = context.createImageData(size, size);
    for (let at = 0; at < size * size; at += 1) {
      const [red, green, blue, opacity] = colour(at);
      data.data.set([red, green, blue, Math.round(opacity * 255)], 4 * at);
    }
    context.putImageData(data, 0, 0);
    canvas.getContext("2d").drawImage(small, 0, 0, canvas.width, canvas.height);
  }

  function film(canvas, image, size, side = SIDE) {
    canvas.width = canvas.height = side;
    layer(canvas, size, (at) => [image[at], image[at], image[at], 1]);
  }

  // A map from its minimum to its maximum; a constant one is its minimum everywhere.
  function heat(canvas, values, size, colours) {
    const [low, high] = maps.extremes(values);
    const lut = colours.map(rgb);
    layer(canvas, size, (at) => {
      const value = high - low < 1e-12 ? 0 : (values[at] - low) / (high - low);
      return [...lut[Math.min(Math.floor(value * 256), 255)], OPACITY * (0.3 + 0.7 * value)];
    });
  }

  // Attention as a multiple of the uniform one, from a quarter to four times.
  function attention(canvas, values, size, patches, colours) {
    const lut = colours.map(rgb);
    layer(canvas, size, (at) => {
      const ratio = Math.min(Math.max(Math.log2(Math.max(values[at] * patches, 1e-6)), -2), 2);
      const value = (ratio + 2) / 4;
      return [...lut[Math.min(Math.floor(value * 256), 255)], OPACITY * Math.abs(value - 0.5) * 2];
    });
  }

  // The edge of a region along its pixels.
  function outline(canvas, region, size, colour) {
    const context = canvas.getContext("2d");
    const scale = canvas.width / size;
    const there = (x, y) => x >= 0 && y >= 0 && x < size && y < size && region[y * size + x] === 1;
    context.strokeStyle = colour;
    context.lineWidth = 2.5;
    context.beginPath();
    const edge = (x1, y1, x2, y2) => {
      context.moveTo(x1 * scale, y1 * scale);
      context.lineTo(x2 * scale, y2 * scale);
    };
    for (let y = 0; y <= size; y += 1) {
      for (let x = 0; x <= size; x += 1) {
        if (there(x, y) !== there(x - 1, y)) edge(x, y, x, y + 1);
        if (there(x, y) !== there(x, y - 1)) edge(x, y, x + 1, y);
      }
    }
    context.stroke();
  }

  return { film, heat, attention, outline };
})();

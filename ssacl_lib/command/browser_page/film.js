// A picture file as the film that the model takes: grey, squared, as images.py does it to the last bit.
"use strict";
var film = (() => {
  const MOST_PIXELS = 100e6;
  const PRECISION = 2 ** 22; // Pillow weighs pixels of 8 bits with whole numbers

  const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
  const LANCZOS = { reach: 3, at: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0) };
  const BICUBIC = {
    reach: 2,
    at: (x) => {
      const d = Math.abs(x);
      if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
      return d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
    },
  };

  // To the nearest, halves to the even number, as Python rounds.
  function round(value) {
    const below = Math.floor(value);
    const part = value - below;
    return part > 0.5 || (part === 0.5 && below % 2 !== 0) ? below + 1 : below;
  }

  // For each of `after` places along a line of `before` pixels: the first pixel that counts, and whole-number weights.
  function weights(before, after, filter) {
    const scale = before / after;
    const wide = Math.max(scale, 1);
    return Array.from({ length: after }, (_, place) => {
      const centre = (place + 0.5) * scale;
      const first = Math.max(Math.trunc(centre - filter.reach * wide + 0.5), 0);
      const end = Math.min(Math.trunc(centre + filter.reach * wide + 0.5), before);
      const line = Array.from({ length: end - first }, (_, at) => filter.at((at + first - centre + 0.5) / wide));
      const sum = line.reduce((all, one) => all + one, 0);
      return { first, line: line.map((one) => Math.trunc((one / sum) * PRECISION + (one < 0 ? -0.5 : 0.5))) };
    });
  }

  const level = (sum) => Math.min(Math.max(Math.floor((sum + PRECISION / 2) / PRECISION), 0), 255);

  // Grey levels [height * width] to [newHeight * newWidth], along rows first.
  function resize(pixels, width, height, newWidth, newHeight, filter) {
    const across = weights(width, newWidth, filter);
    const narrow = new Uint8Array(newWidth * height);
    for (let y = 0; y < height; y += 1) {
      across.forEach(({ first, line }, x) => {
        let sum = 0;
        for (let k = 0; k < line.length; k += 1) sum += pixels[y * width + first + k] * line[k];
        narrow[y * newWidth + x] = level(sum);
      });
    }
    const done = new Uint8Array(newWidth * newHeight);
    weights(height, newHeight, filter).forEach(({ first, line }, y) => {
      for (let x = 0; x < newWidth; x += 1) {
        let sum = 0;
        for (let k = 0; k < line.length; k += 1) sum += narrow[(first + k) * newWidth + x] * line[k];
        done[y * newWidth + x] = level(sum);
      }
    });
    return done;
  }

  // The longest side becomes `size`; the square is filled with black. `inside`: rows and columns of the film in it.
  function letterbox(pixels, width, height, size) {
    const scale = size / Math.max(height, width);
    const newWidth = Math.max(1, round(width * scale));
    const newHeight = Math.max(1, round(height * scale));
    const left = Math.floor((size - newWidth) / 2);
    const top = Math.floor((size - newHeight) / 2);
    const small = resize(pixels, width, height, newWidth, newHeight, scale < 1 ? LANCZOS : BICUBIC);
    const image = new Uint8Array(size * size);
    for (let y = 0; y < newHeight; y += 1) {
      image.set(small.subarray(y * newWidth, (y + 1) * newWidth), (top + y) * size + left);
    }
    return { image, inside: { top, bottom: top + newHeight, left, right: left + newWidth } };
  }

  function grey(rgba) {
    const levels = new Uint8Array(rgba.length / 4);
    for (let at = 0; at < levels.length; at += 1) {
      const [red, green, blue] = [rgba[4 * at], rgba[4 * at + 1], rgba[4 * at + 2]];
      levels[at] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    }
    return levels;
  }

  // Why a file can't be read here, from its first bytes; null where it can.
  function refusal(name, head) {
    const begins = (...bytes) => bytes.every((byte, at) => head[at] === byte);
    if (String.fromCharCode(...head.slice(128, 132)) === "DICM") {
      return `${name}: a DICOM file; this page reads PNG and JPEG, the command ssacl report reads DICOM`;
    }
    if (begins(0x89, 0x50, 0x4e, 0x47)) {
      return head[24] === 16 ? `${name}: a PNG of 16 bits, of which a browser reads 8; save it with 8 bits` : null;
    }
    return begins(0xff, 0xd8, 0xff) ? null : `${name}: not a PNG or JPEG picture; convert it to one of these`;
  }

  // Read a file that was dropped or chosen. Nothing of it leaves the page.
  async function read(file, size) {
    const why = refusal(file.name, new Uint8Array(await file.slice(0, 132).arrayBuffer()));
    if (why) throw new Error(why);
    let picture;
    try {
      picture = await createImageBitmap(file, { colorSpaceConversion: "none" });
    } catch {
      throw new Error(`${file.name}: can't read this picture, it may be cut off; copy it again from its source`);
    }
    const { width, height } = picture;
    if (width * height > MOST_PIXELS) throw new Error(`${file.name}: too large; scale it down first`);
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillRect(0, 0, width, height); // black shows through what is transparent
    context.drawImage(picture, 0, 0);
    return letterbox(grey(context.getImageData(0, 0, width, height).data), width, height, size);
  }

  return { read, letterbox, grey, refusal };
})();
if (typeof module === "object") module.exports = film;

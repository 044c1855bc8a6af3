// The graphs at work: files, sessions, what the model sees of a film and of texts.
"use strict";
var model = (() => {
  function bytes(text) {
    const letters = atob(text);
    const found = new Uint8Array(letters.length);
    for (let at = 0; at < letters.length; at += 1) found[at] = letters.charCodeAt(at);
    return found;
  }

  const held = (name) => document.getElementById(`file:${name}`);

  // A file of the folder, or one that the page itself holds (as base64).
  async function file(name) {
    if (held(name)) return bytes(held(name).textContent).buffer;
    const answer = await fetch(name);
    if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
    return answer.arrayBuffer();
  }

  const json = async (name) => JSON.parse(new TextDecoder().decode(await file(name)));

  const rows = (values, count) => {
    const width = values.length / count;
    return Array.from({ length: count }, (_, at) => values.slice(at * width, (at + 1) * width));
  };

  function bits(text, count) {
    const packed = bytes(text);
    return Uint8Array.from({ length: count }, (_, at) => (packed[at >> 3] >> (7 - (at & 7))) & 1);
  }

  async function sessions() {
    const glue = "ort-wasm-simd-threaded.mjs";
    ort.env.wasm.numThreads = 1; // more need headers that plain servers and files do not send
    ort.env.logLevel = "error";
    ort.env.wasm.wasmBinary = await file("ort-wasm-simd-threaded.wasm");
    ort.env.wasm.wasmPaths = {
      mjs: held(glue)
        ? URL.createObjectURL(new Blob([await file(glue)], { type: "text/javascript" }))
        : new URL(glue, location.href).href,
    };
    const load = async (name) => ort.InferenceSession.create(await file(name), { executionProviders: ["wasm"] });
    return { encoder: await load("encoder.onnx"), text: await load("text.onnx") };
  }

  async function load() {
    const facts = await json("model.json");
    const { encoder, text } = await sessions();
    const vocabulary = (await json("tokenizer.json")).model.vocab;
    const queries = new Float32Array(await file("queries.bin"));
    const keeps = rows(new Uint16Array(await file("masks.bin")), facts.masks).map((kept) => Int32Array.from(kept));
    const blank = new Float32Array(await file("blank.bin"));
    const patches = facts.grid ** 2;
    const border = facts.masks * facts.textWidth;
    const { films, own } = await json("phantoms.json");
    const size = facts.imageSize;
    const ready = (film) => ({
      ...film,
      image: bytes(film.image),
      regions: film.regions.map((region) => bits(region, size * size)),
      inside: { top: 0, bottom: size, left: 0, right: size },
    });
    return {
      facts, keeps, vocabulary, encoder, text, queries, films: films.map(ready), own: ready(own),
      blank: {
        image: new Uint8Array(size * size).fill(facts.grey),
        masked: rows(blank.slice(0, border), facts.masks).map(maps.unit),
        patches: rows(blank.slice(border), patches).map(maps.unit),
      },
    };
  }

  // One run after the other: the runtime does one thing at a time.
  let last = Promise.resolve();
  function run(session, inputs) {
    const done = last.then(() => session.run(inputs));
    last = done.catch(() => {});
    return done;
  }

  const tensor = (type, values, shape) => new ort.Tensor(type, values, shape);

  function pixels(image, facts) {
    const values = Float32Array.from(image, (level) => (level / 255 - facts.mean) / facts.deviation);
    return tensor("float32", values, [1, 1, facts.imageSize, facts.imageSize]);
  }

  // One pass of the encoder: a film of which the patches `keep` are visible, with the first `count` leaf queries.
  async function pass(at, film, keep, count) {
    const queries = tensor("float32", at.queries.slice(0, count * at.facts.width), [count, at.facts.width]);
    const keeps = tensor("int32", keep, [1, keep.length]);
    return run(at.encoder, { pixels: film, keep: keeps, queries });
  }

  // The whole film: probabilities of the findings, projected patches (unit length), attention of the leaves' prompts.
  async function whole(at, image) {
    const all = Int32Array.from({ length: at.facts.grid ** 2 }, (_, patch) => patch);
    const leaves = at.queries.length / at.facts.width;
    const found = await pass(at, pixels(image, at.facts), all, leaves);
    return {
      probabilities: Array.from(found.logits.data, (logit) => 1 / (1 + Math.exp(-logit))),
      patches: rows(found.patches.data, all.length).map(maps.unit),
      attention: rows(found.attention.data, leaves),
    };
  }

  // The film under all masks: image vectors of unit length. step(share) is called between passes and may stop by throwing.
  async function masked(at, image, step = async () => {}) {
    const film = pixels(image, at.facts);
    const vectors = [];
    for (const keep of at.keeps) {
      vectors.push(maps.unit((await pass(at, film, keep, 1)).vector.data));
      await step(vectors.length / at.keeps.length);
    }
    return vectors;
  }

  // Vectors of texts, of unit length.
  async function embedded(at, texts) {
    const { ids, mask, shape } = wordpiece.batch(texts, at.vocabulary, at.facts.textTokens);
    const found = await run(at.text, { ids: tensor("int32", ids, shape), mask: tensor("int32", mask, shape) });
    return rows(found.vectors.data, texts.length).map(maps.unit);
  }

  return { load, whole, masked, embedded };
})();

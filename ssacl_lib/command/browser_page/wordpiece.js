// The text encoder's tokenizer: texts to ids, as text/tokenizer.py's WordPiece gives them.
"use strict";
var wordpiece = (() => {
  const LONGEST_WORD = 100; // characters; a longer word is unknown as a whole
  const SPACE = /\p{White_Space}/u;
  const PUNCTUATION = /[!-/:-@[-`{-~]|\p{P}/u;

  // Special tokens are found before anything else is read; the newline's own name only where the text is normalised.
  const SPECIAL = /(\[PAD\]|\[UNK\]|\[CLS\]|\[MASK\])/;

  function normalised(text) {
    return text.replace(/\n/g, " [NEWLINE] ").normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  }

  // Words of a text: cut at white space, and at every punctuation mark, which is a word of its own.
  function words(text) {
    const found = [];
    let word = "";
    const end = () => {
      if (word) found.push(word);
      word = "";
    };
    for (const letter of text) {
      if (SPACE.test(letter)) end();
      else if (PUNCTUATION.test(letter)) {
        end();
        found.push(letter);
      } else word += letter;
    }
    end();
    return found;
  }

  // The longest piece of the vocabulary first; a word that can't be spelt is unknown.
  function pieces(word, vocabulary) {
    const letters = [...word];
    if (letters.length > LONGEST_WORD) return [vocabulary["[UNK]"]];
    const found = [];
    let start = 0;
    while (start < letters.length) {
      let end = letters.length;
      let id;
      for (; end > start; end -= 1) {
        const piece = (start ? "##" : "") + letters.slice(start, end).join("");
        id = Object.hasOwn(vocabulary, piece) ? vocabulary[piece] : undefined;
        if (id !== undefined) break;
      }
      if (id === undefined) return [vocabulary["[UNK]"]];
      found.push(id);
      start = end;
    }
    return found;
  }

  function encode(text, vocabulary) {
    const found = [];
    for (const part of text.split(SPECIAL)) {
      if (SPECIAL.test(part)) {
        found.push(vocabulary[part]);
        continue;
      }
      normalised(part).split("[newline]").forEach((line, number) => {
        if (number) found.push(vocabulary["[NEWLINE]"]);
        for (const word of words(line)) found.push(...pieces(word, vocabulary));
      });
    }
    return found;
  }

  // Phrases as the text encoder takes them: [CLS] in front, lower case, cut to `longest`, padded to the longest of them.
  function batch(texts, vocabulary, longest) {
    const rows = texts.map((text) => encode(`[CLS] ${text.toLowerCase()}`, vocabulary).slice(0, longest));
    const tokens = Math.max(...rows.map((row) => row.length));
    const ids = new Int32Array(texts.length * tokens).fill(vocabulary["[PAD]"]);
    const mask = new Int32Array(texts.length * tokens);
    rows.forEach((row, number) => {
      ids.set(row, number * tokens);
      mask.fill(1, number * tokens, number * tokens + row.length);
    });
    return { ids, mask, shape: [texts.length, tokens] };
  }

  return { encode, batch };
})();
if (typeof module === "object") module.exports = wordpiece;

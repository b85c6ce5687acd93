"use strict";
// What ids, names and paths may hold, as castsearch/identifiers.py has it: what a page saves is read again. Each function
// tells what is wrong as the end of a sentence, or "".

(() => {
  const size = (word) => new TextEncoder().encode(word).length;
  const characterFault = (word) => (/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u.test(word) ? "holds a line break or another control character" : "");

  /** What keeps a word from being an id. @param {string} word */
  castsearch.idFault = (word) => {
    if (!word) return "is empty";
    if (/[,\p{Z}]/u.test(word)) return "holds a comma or a blank";
    return size(word) > 255 ? "is longer than 255 bytes" : characterFault(word);
  };

  /** What keeps a word from being the name of a movie, or of a group. @param {string} word */
  castsearch.movieFault = (word) => {
    if (!word) return "is empty";
    if (word.includes("/") || word === "." || word === "..") return "holds a path";
    if (/^\p{Z}|\p{Z}$/u.test(word)) return "begins or ends with a blank";
    return characterFault(word) || (size(word) > 200 ? "is longer than 200 bytes" : "");
  };

  /** What keeps a word from being a crop's path below its folder. @param {unknown} word */
  castsearch.pathFault = (word) => {
    if (typeof word !== "string" || !word) return "is empty";
    const parts = word.split("/");
    if (parts.some((part) => ["", ".", ".."].includes(part)) || /^([A-Za-z]:|[\p{L}\p{N}_]+:\/)\//u.test(word)) return "must stay below its folder";
    if (parts.length === 1 && word.includes("\\")) return "parts its folders by backslashes";
    return parts.some((part) => size(part) > 255) || size(word) > 3000 ? "is too long" : characterFault(word);
  };

  /** What keeps a word from being a person's name. @param {string} word "" gives no name */
  castsearch.nameFault = (word) =>
    /^(unknown-\d+|others)$/iu.test(word) ? "is what people are called whom nobody knows" : word && castsearch.movieFault(word);
})();

"use strict";
// Words, numbers and elements, as all pages need them.
window.castsearch = {};

/** The way from this page to the gallery's folder. */
castsearch.root = document.documentElement.dataset.root;

/** @param {string} id @returns {any} the element of that id, or null */
castsearch.byId = (id) => document.getElementById(id);

/** @param {number} n @returns {string} "4,000" */
castsearch.number = (n) => n.toLocaleString("en");

/** @param {number} n @param {string} one @param {string} [many] @returns {string} "1 box", "4,000 boxes" */
castsearch.count = (n, one, many = `${one}s`) => `${castsearch.number(n)} ${n === 1 ? one : many}`;

/** @param {number} share ten thousandths @returns {string} "93.1 %"; what is neither sure nor impossible is not told as such */
castsearch.percent = (share) => {
  if (share > 9990 && share < 10000) return "> 99.9 %";
  if (share > 0 && share < 10) return "< 0.1 %";
  return `${(share / 100).toFixed(1)} %`;
};

/** @param {number} seconds @returns {string} "1:02:03.500" */
castsearch.moment = (seconds) => {
  const all = Math.round(1000 * seconds);
  const two = (n) => String(n).padStart(2, "0");
  const rest = String(all % 1000).padStart(3, "0");
  return `${Math.floor(all / 3600000)}:${two(Math.floor(all / 60000) % 60)}:${two(Math.floor(all / 1000) % 60)}.${rest}`;
};

/**
 * An element with what is in it; texts are text, whatever they hold.
 * @param {string} tag
 * @param {Object<string, any>} properties of the element; those with a dash or "role" are attributes
 * @param {...(Node|string)} content
 */
castsearch.element = (tag, properties = {}, ...content) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...content);
  return made;
};

/** Orders words as Python does: by their code points. @param {string} a @param {string} b */
castsearch.byCodePoint = (a, b) => {
  const ours = Array.from(a, (sign) => sign.codePointAt(0));
  const theirs = Array.from(b, (sign) => sign.codePointAt(0));
  const at = ours.findIndex((point, place) => point !== theirs[place]);
  return at < 0 ? ours.length - theirs.length : ours[at] - (theirs[at] ?? -1);
};

/**
 * JSON of maps, lists and plain values, the names of maps in order. Objects will not do: they move names that look like numbers.
 * @param {any} value @param {string} indent @returns {string}
 */
castsearch.json = (value, indent = "") => {
  const deeper = `${indent}  `;
  if (value instanceof Map) {
    const lines = [...value].sort(([a], [b]) => castsearch.byCodePoint(a, b))
      .map(([name, item]) => `${deeper}${JSON.stringify(name)}: ${castsearch.json(item, deeper)}`);
    return lines.length ? `{\n${lines.join(",\n")}\n${indent}}` : "{}";
  }
  if (Array.isArray(value)) {
    return value.length ? `[\n${value.map((item) => deeper + castsearch.json(item, deeper)).join(",\n")}\n${indent}]` : "[]";
  }
  return JSON.stringify(value);
};

"use strict";
// Where the browser keeps decisions. Some browsers keep nothing for pages from the disk, some keep it for each page alone.

castsearch.shelf = (() => {
  const texts = new Map(); // what the browser would not keep, for as long as the page lives
  const shelf = {
    /** Whether what is put here outlives the page. */
    lasting: true,
    /** Whether other pages of the gallery may not see it: the browser gives each page from the disk a world of its own. */
    alone: location.protocol === "file:" && location.origin === "null",

    /** @param {string} key @returns {string|null} */
    get(key) {
      if (texts.has(key)) return texts.get(key);
      try {
        return localStorage.getItem(key);
      } catch {
        shelf.lasting = false;
        return null;
      }
    },

    /** @param {string} key @param {string} text "" to forget it */
    set(key, text) {
      try {
        if (text) localStorage.setItem(key, text);
        else localStorage.removeItem(key);
        texts.delete(key);
      } catch {
        shelf.lasting = false;
        texts.set(key, text);
      }
    },
  };
  return shelf;
})();

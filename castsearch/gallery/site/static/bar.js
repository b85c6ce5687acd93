"use strict";
// The bar of decisions at the foot of each page: how many there are; save, load, clear.

castsearch.book = new castsearch.Book(window.castsearchGallery, castsearch.shelf);

/** Tell something, to eyes and to screen readers. @param {string} text */
castsearch.say = (() => {
  let timer = 0;
  return (text) => {
    const place = castsearch.byId("message");
    // What lies below an open dialog is neither seen nor read out.
    const home = document.querySelector("dialog[open]") ?? document.querySelector(".foot");
    if (place.parentElement !== home) home.append(place);
    place.textContent = text;
    place.classList.add("shown");
    clearTimeout(timer);
    timer = setTimeout(() => place.classList.remove("shown"), 4000 + 60 * text.length);
  };
})();

(() => {
  const { book, shelf, byId, count, say } = castsearch;

  function show() {
    const { confirmed, rejected, portrait, named } = book.counts();
    const parts = [];
    if (confirmed + portrait) parts.push(`${castsearch.number(confirmed + portrait)} confirmed`);
    if (rejected) parts.push(`${castsearch.number(rejected)} rejected`);
    if (portrait) parts.push(count(portrait, "portrait"));
    if (named) parts.push(`${castsearch.number(named)} named`);
    byId("bar-count").textContent = parts.join(" · ") || "No decisions yet";
    const unsaved = !book.isSaved();
    byId("bar-unsaved").hidden = !unsaved;
    byId("bar-save").disabled = !parts.length && !unsaved;
    byId("bar-clear").disabled = !book.over.verdicts.size && !book.over.named.size && !book.over.replace.size;
    const note = !shelf.lasting
      ? "This browser keeps nothing for these pages: decisions last until this page is left. Save them before."
      : shelf.alone
        ? "This browser may keep decisions for each page alone: save them before you leave this page."
        : "";
    byId("bar-note").textContent = note;
    byId("bar-note").hidden = !note;
  }

  function save() {
    const address = URL.createObjectURL(new Blob([book.text()], { type: "application/json" }));
    const link = castsearch.element("a", { href: address, download: "decisions.json" });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
    book.markSaved();
    say("Saved as decisions.json, among this browser's downloads.");
  }

  /** @param {File[]} files */
  async function load(files) {
    const told = [];
    const read = [];
    for (const file of files) {
      try {
        read.push(castsearch.readLedger(await file.text(), file.name));
      } catch (error) {
        told.push(error instanceof castsearch.DecisionError ? error.message : `${file.name} cannot be read.`);
      }
    }
    const nothingToLose = book.isSaved();
    for (const ledger of read) book.merge(ledger);
    if (read.length === 1 && nothingToLose && book.text() === book.text(read[0])) book.markSaved();
    if (read.length) told.unshift(`Loaded ${count(read.length, "file")} of decisions.`, ...strangers(read));
    say(told.join(" "));
  }

  /** What of files is not in this gallery, in a sentence. */
  function strangers(ledgers) {
    const here = window.castsearchMovie && new Set(window.castsearchMovie.boxes.file);
    let [people, boxes] = [0, 0];
    for (const { verdicts } of ledgers) {
      for (const [person, files] of verdicts) {
        const key = book.keyOfPerson.get(person);
        if (key === undefined) people += 1;
        else if (here && key === window.castsearchMovie.key) boxes += [...files.keys()].filter((file) => !here.has(file)).length;
      }
    }
    const parts = [];
    if (people) parts.push(count(people, "person", "people"));
    if (boxes) parts.push(count(boxes, "box", "boxes"));
    return parts.length ? [`${parts.join(" and ")} of them not in this gallery: kept for saving.`] : [];
  }

  function clear() {
    const ask = byId("ask");
    const given = book.text(book.base) !== book.text(new castsearch.Ledger());
    byId("ask-text").textContent =
      "Forgets, in all movies of this gallery, what was decided in this browser since." +
      (given ? " What the ranking was given already stays." : "") +
      (book.isSaved() ? "" : " It was not saved.");
    ask.returnValue = "";
    ask.showModal();
    ask.addEventListener("close", () => {
      if (ask.returnValue !== "yes") return;
      book.clear();
      byId("bar-load").focus(); // the button is disabled now
      say("Decisions cleared.");
    }, { once: true });
  }

  byId("bar-save").addEventListener("click", save);
  byId("bar-load").addEventListener("click", () => byId("bar-files").click());
  byId("bar-clear").addEventListener("click", clear);
  byId("bar-files").addEventListener("change", async (event) => {
    const chosen = [...event.target.files];
    await load(chosen);
    event.target.value = ""; // so that the same file can be chosen again
  });

  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    byId("drop").hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) byId("drop").hidden = true;
  });
  addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    byId("drop").hidden = true;
    load([...event.dataTransfer.files]);
  });

  addEventListener("storage", (event) => {
    if (event.key === null || event.key.startsWith(castsearch.shelfKey(""))) book.reload();
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) book.reload(); // a page that was put aside heard nothing
  });
  addEventListener("beforeunload", (event) => {
    if ((!shelf.lasting || shelf.alone) && !book.isSaved()) event.preventDefault();
  });

  book.onChange(show);
  show();
})();

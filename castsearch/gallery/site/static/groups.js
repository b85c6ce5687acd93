"use strict";
// Groups of unknown people: fields that give them names.

(() => {
  const { book, say, count } = castsearch;
  const movie = window.castsearchMovie;
  const forms = [...document.querySelectorAll("form.naming")];

  const boxesOf = (form) => movie.people[Number(form.dataset.place)].boxes;

  function show() {
    for (const form of forms) {
      const name = castsearch.groupName(movie, boxesOf(form));
      if (document.activeElement !== form.elements.name) form.elements.name.value = name;
      form.querySelector(".given").textContent = name ? `✓ named ${name}` : "";
      form.querySelector("[name=forget]").hidden = !name;
    }
  }

  /** Names a group; boxes that were taken out of it stay out. */
  function rename(form, name) {
    const boxes = boxesOf(form);
    const before = castsearch.groupName(movie, boxes);
    const nameOf = (box) => book.nameOf(movie.name, movie.boxes.file[box]);
    const meant = before ? boxes.filter((box) => nameOf(box) === before) : boxes;
    book.name(movie.name, meant.map((box) => ({ id: movie.boxes.id[box], file: movie.boxes.file[box] })), name);
    say(name ? `${count(meant.length, "box", "boxes")} named ${name}.` : "The name is forgotten.");
  }

  for (const form of forms) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = form.elements.name.value.trim().normalize("NFC");
      const fault = castsearch.nameFault(name);
      if (fault) say(`The name ${fault}; choose another.`);
      else if (name || castsearch.groupName(movie, boxesOf(form))) rename(form, name);
      else say("Type a name first.");
    });
    form.elements.forget.addEventListener("click", () => {
      form.elements.name.value = "";
      rename(form, "");
    });
  }

  book.onChange(show);
  show();
})();

"use strict";
// The index: people and movies by name.

(() => {
  const { byId } = castsearch;
  const field = byId("filter");
  if (!field) return;

  const folded = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const movies = [...document.querySelectorAll("section.movie")].map((section) => ({
    section,
    name: folded(section.dataset.name),
    people: [...section.querySelectorAll(".person")].map((card) => ({ card, name: folded(card.dataset.name) })),
  }));
  const all = movies.reduce((sum, movie) => sum + movie.people.length, 0);

  /** Shows people whose name, or whose movie's, holds what was typed. */
  function filter() {
    const wanted = folded(field.value.trim());
    let shown = 0;
    for (const { section, name, people } of movies) {
      const whole = name.includes(wanted);
      let any = whole;
      for (const person of people) {
        const fits = whole || person.name.includes(wanted);
        person.card.hidden = !fits;
        any ||= fits;
        shown += fits;
      }
      section.hidden = !any;
    }
    byId("count").textContent = wanted ? `${castsearch.number(shown)} of ${castsearch.count(all, "person", "people")}` : "";
  }

  field.addEventListener("input", filter);
  byId("names").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("keydown", (event) => {
    if (event.key === "/" && event.target !== field && !document.querySelector("dialog[open]")) {
      event.preventDefault();
      field.focus();
    }
  });
  filter();
})();

"use strict";
// Whom a person's page is about: somebody of the cast, for whom boxes are confirmed or rejected; or a group of unknown
// people, whose boxes bear the group's name or do not.

castsearch.readPerson = () => JSON.parse(castsearch.byId("person-data").textContent);

/** @param {{id: string, name: string}} person @param {any} movie */
castsearch.CastSubject = class {
  constructor(person, movie) {
    this.person = person;
    this.movie = movie;
  }

  /** @param {number} box @returns {KnownBox} */
  known(box) {
    return { id: this.movie.boxes.id[box], file: this.movie.boxes.file[box] };
  }

  state(box) {
    return castsearch.book.state(this.person.id, this.movie.boxes.file[box]);
  }

  /** Decide on boxes. @param {number[]} boxes @param {string} action @returns {string} what happened, in a sentence */
  act(boxes, action) {
    const { book, count } = castsearch;
    const known = boxes.map((box) => this.known(box));
    const what = count(boxes.length, "box", "boxes");
    if (action === "only") return `${what} only as ${this.person.name}'s portrait.${this.#moved(book.onlyPortraits(this.person.id, known))}`;
    const isPortrait = boxes.every((box) => this.state(box) === "portrait");
    const state = { confirm: "confirmed", reject: "rejected", undo: "", portrait: isPortrait ? "confirmed" : "portrait" }[action];
    const withdrawn = book.decide(this.person.id, known, state);
    const verb = { confirmed: "confirmed", rejected: "rejected", "": "undecided", portrait: "confirmed and a portrait" }[state];
    const ending = action === "portrait" && isPortrait ? ", no portrait any more" : "";
    return `${what} ${verb}${ending}.${this.#moved(withdrawn)}`;
  }

  #moved(withdrawn) {
    const nameOf = (id) => this.movie.people.find((person) => person.id === id)?.name ?? id;
    return [...withdrawn].map(([id, n]) => ` No longer confirmed for ${nameOf(id)}: ${n}.`).join("");
  }
};

/** @param {{id: string, name: string, results: any[]}} person @param {any} movie */
castsearch.GroupSubject = class {
  constructor(person, movie) {
    this.person = person;
    this.movie = movie;
  }

  known(box) {
    return { id: this.movie.boxes.id[box], file: this.movie.boxes.file[box] };
  }

  get name() {
    return castsearch.groupName(this.movie, this.movie.people[this.person.place].boxes);
  }

  state(box) {
    const name = this.name;
    if (!name) return "";
    return castsearch.book.nameOf(this.movie.name, this.movie.boxes.file[box]) === name ? "confirmed" : "rejected";
  }

  act(boxes, action) {
    const name = this.name;
    if (!name) return "Give the group a name first; then take out boxes that show somebody else.";
    if (action === "portrait" || action === "only") return "Portraits can be chosen once the ranking knows the name.";
    castsearch.book.name(this.movie.name, boxes.map((box) => this.known(box)), action === "reject" ? "" : name);
    return `${castsearch.count(boxes.length, "box", "boxes")} ${action === "reject" ? "taken out of" : "put to"} ${name}.`;
  }
};

/** The name that most boxes of a group were given; "" for none. @param {any} movie @param {number[]} boxes */
castsearch.groupName = (movie, boxes) => {
  const votes = new Map();
  for (const box of boxes) {
    const name = castsearch.book.nameOf(movie.name, movie.boxes.file[box]);
    if (name) votes.set(name, (votes.get(name) ?? 0) + 1);
  }
  return [...votes].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "";
};

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

  /** What was decided; a box of a group that was given this name shows the person until it is decided on by itself. */
  state(box) {
    const { book } = castsearch;
    const file = this.movie.boxes.file[box];
    return book.state(this.person.id, file) || (book.nameOf(this.movie.name, file) === this.person.name ? "confirmed" : "");
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
    const meant = this.#wholeTracks(boxes);
    castsearch.book.name(this.movie.name, meant.map((box) => this.known(box)), action === "reject" ? "" : name);
    return `${castsearch.count(meant.length, "box", "boxes")} ${action === "reject" ? "taken out of" : "put to"} ${name}.`;
  }

  /** The group's boxes of the same tracks: what one of them shows, all do. @param {number[]} boxes */
  #wholeTracks(boxes) {
    const { track } = this.movie.boxes;
    const tracks = new Set(boxes.map((box) => track[box]).filter((number) => number !== null));
    const mates = this.movie.people[this.person.place].boxes.filter((box) => tracks.has(track[box]));
    return [...new Set([...boxes, ...mates])];
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

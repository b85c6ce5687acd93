"use strict";
// The decisions of a whole gallery: those that its ranking was given, and over them what was decided since.

castsearch.Book = class {
  /**
   * @param {{movies: {name: string, key: string, people: string[]}[], decisions: any}} gallery
   * @param {{get(key: string): string|null, set(key: string, text: string): void}} shelf
   */
  constructor(gallery, shelf) {
    this.shelf = shelf;
    this.base = castsearch.ledgerOf(gallery.decisions, "The gallery");
    this.over = new castsearch.Ledger();
    /** @type {Map<string, string>} key of the movie that a person or a movie's name belongs to */
    this.keyOfPerson = new Map();
    this.keyOfMovie = new Map();
    for (const movie of gallery.movies) {
      this.keyOfMovie.set(movie.name, movie.key);
      for (const person of movie.people) this.keyOfPerson.set(person, movie.key);
    }
    this.keys = gallery.movies.map((movie) => movie.key);
    this.rest = `rest-${castsearch.digest(this.keys.join())}`; // of people and movies that are not here
    /** @type {(() => void)[]} */
    this.listeners = [];
    /** @type {Map<string, Set<string>>} by file, those for whom it is confirmed */
    this.holders = new Map();
    this.reload();
  }

  // ------------------------------------------------------------------ looking

  /** @param {string} person @param {string} file @returns {import("./ledger.js").State} */
  state(person, file) {
    return this.verdict(person, file)?.state ?? "";
  }

  verdict(person, file) {
    return this.over.verdicts.get(person)?.get(file) ?? this.base.verdicts.get(person)?.get(file);
  }

  /** Whether a person's portraits among the boxes replace the first ones. @param {string} person */
  replaces(person) {
    return this.over.replace.get(person) ?? this.base.replace.get(person) ?? false;
  }

  /** @param {string} movie @param {string} file @returns {string} the name that a group's box was given; "" for none */
  nameOf(movie, file) {
    return (this.over.named.get(movie)?.get(file) ?? this.base.named.get(movie)?.get(file))?.name ?? "";
  }

  /** Both ledgers as one. */
  whole() {
    const whole = new castsearch.Ledger();
    for (const ledger of [this.base, this.over]) {
      for (const [person, verdicts] of ledger.verdicts) {
        for (const [file, verdict] of verdicts) whole.setVerdict(person, file, verdict.state ? verdict : undefined);
      }
      for (const [person, replace] of ledger.replace) whole.replace.set(person, replace);
      for (const [movie, boxes] of ledger.named) {
        for (const [file, name] of boxes) whole.setName(movie, file, name.name ? name : undefined);
      }
    }
    return whole;
  }

  /** The file's text. @param {InstanceType<typeof castsearch.Ledger>} ledger */
  text(ledger = this.whole()) {
    return `${castsearch.json(castsearch.documentOf(ledger, (person) => this.keyOfPerson.has(person)))}\n`;
  }

  /** How many boxes are confirmed, rejected, portraits, named. */
  counts() {
    const counts = { confirmed: 0, rejected: 0, portrait: 0, named: 0 };
    const whole = this.whole();
    for (const verdicts of whole.verdicts.values()) for (const { state } of verdicts.values()) counts[state] += 1;
    const groups = new Set();
    for (const [movie, boxes] of whole.named) for (const { name } of boxes.values()) groups.add(`${movie}/${name}`);
    counts.named = groups.size;
    return counts;
  }

  // ------------------------------------------------------------------ deciding

  /**
   * @param {string} person
   * @param {KnownBox[]} boxes
   * @param {State} state
   * @returns {Map<string, number>} by person, how many of them were confirmed for somebody else, and are no more
   */
  decide(person, boxes, state) {
    const withdrawn = this.#decideEach(person, boxes, state);
    this.#settle(person);
    this.#keep([person, ...withdrawn.keys()]);
    return withdrawn;
  }

  /** Use boxes as portraits in the place of all others. @param {string} person @param {KnownBox[]} boxes */
  onlyPortraits(person, boxes) {
    for (const [file, { id, state }] of this.whole().verdicts.get(person) ?? []) {
      if (state === "portrait") this.#set(person, { id, file }, "confirmed");
    }
    const withdrawn = this.#decideEach(person, boxes, "portrait");
    this.#setReplace(person, true);
    this.#keep([person, ...withdrawn.keys()]);
    return withdrawn;
  }

  /** Give boxes of a group a name. @param {string} movie @param {KnownBox[]} boxes @param {string} name "" for none */
  name(movie, boxes, name) {
    for (const box of boxes) this.#setName(movie, box, name);
    this.#write(this.keyOfMovie.get(movie) ?? this.rest);
    this.#tell();
  }

  /** Add what a file holds; where it says otherwise, it counts. @param {InstanceType<typeof castsearch.Ledger>} read */
  merge(read) {
    for (const [person, verdicts] of read.verdicts) {
      for (const [file, { id, state }] of verdicts) this.#decideEach(person, [{ id, file }], state);
    }
    for (const [person, replace] of read.replace) this.#setReplace(person, replace);
    for (const [movie, boxes] of read.named) {
      for (const [file, { id, name }] of boxes) this.#setName(movie, { id, file }, name);
    }
    for (const person of read.verdicts.keys()) this.#settle(person);
    this.#writeAll();
  }

  /** Forget what was decided here; what the ranking was given stays. */
  clear() {
    this.#forget();
    this.#writeAll();
  }

  #decideEach(person, boxes, state) {
    const withdrawn = new Map();
    for (const box of boxes) {
      if (state === "confirmed" || state === "portrait") {
        for (const other of this.#withdraw(person, box)) withdrawn.set(other, (withdrawn.get(other) ?? 0) + 1);
      }
      this.#set(person, box, state);
    }
    return withdrawn;
  }

  /** A box is confirmed for one person at most. @returns {string[]} those for whom it was */
  #withdraw(person, box) {
    const others = [...(this.holders.get(box.file) ?? [])].filter((other) => other !== person);
    for (const other of others) {
      this.#set(other, box, "");
      this.#settle(other);
    }
    return others;
  }

  #set(person, { id, file }, state) {
    const given = this.base.verdicts.get(person)?.get(file)?.state ?? "";
    this.over.setVerdict(person, file, state === given ? undefined : { id, state });
    this.#hold(person, file, state);
  }

  #hold(person, file, state) {
    const holders = this.holders.get(file) ?? new Set();
    if (state === "confirmed" || state === "portrait") holders.add(person);
    else holders.delete(person);
    if (holders.size) this.holders.set(file, holders);
    else this.holders.delete(file);
  }

  #forget() {
    this.over = new castsearch.Ledger();
    this.holders.clear();
    for (const [person, verdicts] of this.base.verdicts) for (const [file, { state }] of verdicts) this.#hold(person, file, state);
  }

  #setName(movie, { id, file }, name) {
    const given = this.base.named.get(movie)?.get(file)?.name ?? "";
    this.over.setName(movie, file, name === given ? undefined : { id, name });
  }

  #setReplace(person, replace) {
    if (replace === (this.base.replace.get(person) ?? false)) this.over.replace.delete(person);
    else this.over.replace.set(person, replace);
  }

  /** Nothing replaces the first portraits once no box is one. */
  #settle(person) {
    if (!this.replaces(person)) return;
    for (const ledger of [this.base, this.over]) {
      for (const file of ledger.verdicts.get(person)?.keys() ?? []) if (this.state(person, file) === "portrait") return;
    }
    this.#setReplace(person, false);
  }

  // ------------------------------------------------------------------ keeping

  /** @param {string[]} people whose decisions changed */
  #keep(people) {
    for (const key of new Set(people.map((person) => this.keyOfPerson.get(person) ?? this.rest))) this.#write(key);
    this.#tell();
  }

  #writeAll() {
    for (const key of [...this.keys, this.rest]) this.#write(key);
    this.#tell();
  }

  /** Keep in the browser what belongs to a movie. @param {string} key */
  #write(key) {
    const here = (maps, keys) => [...maps].filter(([name]) => (keys.get(name) ?? this.rest) === key);
    const verdicts = here(this.over.verdicts, this.keyOfPerson)
      .flatMap(([person, boxes]) => [...boxes].map(([file, { id, state }]) => [person, file, id, state]));
    const named = here(this.over.named, this.keyOfMovie)
      .flatMap(([movie, boxes]) => [...boxes].map(([file, { id, name }]) => [movie, file, id, name]));
    const replace = here(this.over.replace, this.keyOfPerson);
    const any = verdicts.length || named.length || replace.length;
    this.shelf.set(castsearch.shelfKey(key), any ? JSON.stringify({ verdicts, named, replace }) : "");
  }

  /** Take from the browser what was decided, there and in other tabs. */
  reload() {
    this.#forget();
    for (const key of [...this.keys, this.rest]) this.#take(this.shelf.get(castsearch.shelfKey(key)));
    this.#tell();
  }

  #take(text) {
    if (!text) return;
    try {
      const { verdicts, named, replace } = JSON.parse(text);
      for (const [person, file, id, state] of verdicts) this.#set(person, { id, file }, state);
      for (const [movie, file, id, name] of named) this.#setName(movie, { id, file }, name);
      for (const [person, value] of replace) this.#setReplace(person, value);
    } catch {
      // Somebody else's text under our key: there is nothing in it for us.
    }
  }

  // ------------------------------------------------------------------ saved or not

  isSaved() {
    const saved = this.shelf.get(castsearch.shelfKey(`saved-${this.rest}`)) ?? castsearch.digest(this.text(this.base));
    return saved === castsearch.digest(this.text());
  }

  markSaved() {
    this.shelf.set(castsearch.shelfKey(`saved-${this.rest}`), castsearch.digest(this.text()));
    this.#tell();
  }

  /** @param {() => void} listener called after every change */
  onChange(listener) {
    this.listeners.push(listener);
  }

  #tell() {
    for (const listener of this.listeners) listener();
  }
};

/** @param {string} key */
castsearch.shelfKey = (key) => `castsearch-decisions:${key}`;

/** A short word that tells one text from another (FNV-1a, twice). @param {string} text */
castsearch.digest = (text) => {
  let [one, two] = [0x811c9dc5, 0x01234567];
  for (let at = 0; at < text.length; at += 1) {
    one = Math.imul(one ^ text.charCodeAt(at), 0x01000193);
    two = Math.imul(two ^ (text.charCodeAt(at) + at), 0x01000193);
  }
  return `${text.length}-${(one >>> 0).toString(36)}-${(two >>> 0).toString(36)}`;
};

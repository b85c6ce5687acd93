"use strict";
// What was decided, and the file that it is saved as. Nothing here knows of pages.

/**
 * @typedef {"confirmed"|"rejected"|"portrait"|""} State of a box for a person; a portrait is confirmed; "" is undecided
 * @typedef {{id: string, state: State}} Verdict
 * @typedef {{id: string, file: string}} KnownBox a box, known from run to run by its crop's file
 */
castsearch.FORMAT = "castsearch decisions 1";

/** Decisions on boxes, by their crops' files. */
castsearch.Ledger = class {
  constructor() {
    /** @type {Map<string, Map<string, Verdict>>} by person and file */
    this.verdicts = new Map();
    /** @type {Map<string, boolean>} by person, whether portraits replace the first ones */
    this.replace = new Map();
    /** @type {Map<string, Map<string, {id: string, name: string}>>} by movie and file; the name "" is none */
    this.named = new Map();
  }

  /** @param {string} person @param {string} file @param {Verdict|undefined} verdict to forget it: undefined */
  setVerdict(person, file, verdict) {
    castsearch.put(this.verdicts, person, file, verdict);
  }

  /** @param {string} movie @param {string} file @param {{id: string, name: string}|undefined} name */
  setName(movie, file, name) {
    castsearch.put(this.named, movie, file, name);
  }
};

/** Set, or remove, what a map of maps holds; no empty maps are left. */
castsearch.put = (maps, outer, inner, value) => {
  const map = maps.get(outer) ?? new Map();
  if (value === undefined) map.delete(inner);
  else map.set(inner, value);
  if (map.size) maps.set(outer, map);
  else maps.delete(outer);
};

/** What a file of decisions holds is of the wrong shape; the message is a whole sentence. */
castsearch.DecisionError = class extends Error {};

/**
 * @param {string} text of a file
 * @param {string} name of the file, for messages
 * @returns {InstanceType<typeof castsearch.Ledger>}
 */
castsearch.readLedger = (text, name) => {
  let content;
  try {
    content = JSON.parse(text.replace(/^\ufeff/, ""));
  } catch {
    throw new castsearch.DecisionError(`${name} is not valid JSON; choose a decisions.json that a gallery saved.`);
  }
  const found = castsearch.isObject(content) ? content.format : undefined;
  if (found !== castsearch.FORMAT) {
    const version = /^castsearch decisions (\d+)$/.exec(String(found));
    throw new castsearch.DecisionError(
      version
        ? `${name} holds decisions of version ${version[1]}, where 1 is read.`
        : `${name} holds no decisions; choose a decisions.json that a gallery saved.`,
    );
  }
  return castsearch.ledgerOf(content, name);
};

castsearch.isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** @param {any} content of a file @param {string} name of the file, for messages */
castsearch.ledgerOf = (content, name) => {
  const ledger = new castsearch.Ledger();
  const fail = (what) => {
    throw new castsearch.DecisionError(`${name} is damaged: ${what}.`);
  };
  const check = (fault, where) => fault && fail(`${where} ${fault}`);
  const entries = (value, where) => (castsearch.isObject(value) ? Object.entries(value) : fail(`${where} is no object`));
  const boxes = (value, where) => {
    const found = entries(value, where);
    for (const [id, file] of found) {
      check(castsearch.idFault(id), `${where}: the id “${id}”`);
      check(castsearch.pathFault(file), `${where}: the crop of box ${id}`);
    }
    return found;
  };
  for (const [person, entry] of entries(content.people ?? {}, "“people”")) {
    const where = `person ${person}`;
    check(castsearch.idFault(person), `the id of ${where}`);
    const { confirmed = {}, rejected = {}, portraits = [], replace = false } = Object.fromEntries(entries(entry, where));
    if (!Array.isArray(portraits) || typeof replace !== "boolean") fail(`${where} has no list of portraits`);
    const sure = boxes(confirmed, where);
    const ids = new Set(sure.map(([id]) => id));
    for (const id of portraits) if (!ids.has(id)) fail(`portrait ${id} of ${where} is not confirmed`);
    const chosen = new Set(portraits);
    for (const [id, file] of sure) ledger.setVerdict(person, file, { id, state: chosen.has(id) ? "portrait" : "confirmed" });
    for (const [id, file] of boxes(rejected, where)) {
      if (ids.has(id)) fail(`box ${id} of ${where} is both confirmed and rejected`);
      ledger.setVerdict(person, file, { id, state: "rejected" });
    }
    if (replace) ledger.replace.set(person, true);
  }
  for (const [movie, names] of entries(content.named ?? {}, "“named”")) {
    check(castsearch.movieFault(movie), `the name of movie “${movie}”`);
    for (const [given, group] of entries(names, `movie ${movie}`)) {
      check(castsearch.movieFault(given), `the name “${given}”`);
      for (const [id, file] of boxes(group, `the name ${given}`)) ledger.setName(movie, file, { id, name: given });
    }
  }
  return ledger;
};

/**
 * The file's content of decisions, as maps.
 * @param {InstanceType<typeof castsearch.Ledger>} ledger
 * @param {(person: string) => boolean} isKnown people of this gallery, whose confirmed boxes go before others'
 */
castsearch.documentOf = (ledger, isKnown) => {
  const confirmedOnce = new Set();
  const people = new Map();
  const order = [...ledger.verdicts.keys()].sort((a, b) => Number(isKnown(b)) - Number(isKnown(a)) || castsearch.byCodePoint(a, b));
  for (const person of order) {
    const entry = castsearch.entryOf(ledger.verdicts.get(person), ledger.replace.get(person) ?? false, confirmedOnce);
    if (entry.size) people.set(person, entry);
  }
  const named = new Map();
  for (const [movie, boxes] of ledger.named) {
    const latest = new Map(); // an id stands for its latest box, and is named once
    for (const [file, { id, name }] of boxes) if (name) latest.set(id, { file, name });
    const names = new Map();
    for (const [id, { file, name }] of latest) castsearch.put(names, name, id, file);
    if (names.size) named.set(movie, names);
  }
  const content = new Map([["format", castsearch.FORMAT], ["people", people]]);
  if (named.size) content.set("named", named);
  return content;
};

/** What is decided for one person, as the file has it; an id stands for its latest box. */
castsearch.entryOf = (verdicts, replace, confirmedOnce) => {
  const latest = new Map();
  for (const [file, { id, state }] of verdicts) if (state) latest.set(id, { file, state });
  const confirmed = new Map();
  const rejected = new Map();
  const portraits = [];
  for (const [id, { file, state }] of latest) {
    if (state === "rejected") rejected.set(id, file);
    else if (!confirmedOnce.has(id)) {
      confirmedOnce.add(id);
      confirmed.set(id, file);
      if (state === "portrait") portraits.push(id);
    }
  }
  const entry = new Map();
  if (confirmed.size) entry.set("confirmed", confirmed);
  if (rejected.size) entry.set("rejected", rejected);
  if (portraits.length) entry.set("portraits", portraits.sort(castsearch.byCodePoint));
  if (portraits.length && replace) entry.set("replace", true);
  return entry;
};

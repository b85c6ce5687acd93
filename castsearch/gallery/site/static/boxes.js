"use strict";
// The boxes of one person as a result ranks them: what is known of each, which are shown, in which order.

/** @typedef {"confirmed"|"rejected"|"portrait"|""} State */

castsearch.Ranked = class {
  /**
   * @param {{order: number[], words: string[], foundBy: number[], probability: number[]|null, asking: number[]|null}} columns best first
   * @param {number[]|null} hits numbers of boxes
   * @param {{boxes: {frame: number[]}}} movie
   */
  constructor(columns, hits, movie) {
    this.order = columns.order;
    this.words = columns.words;
    this.foundBy = columns.foundBy;
    this.probability = columns.probability;
    /** Boxes in the order in which to ask about them. */
    this.asking = columns.asking;
    this.hits = hits && new Set(hits);
    this.frame = movie.boxes.frame;
    /** By box, its place; boxes that are not ranked have none. @type {Map<number, number>} */
    this.placeOf = new Map(this.order.map((box, place) => [box, place]));
    this.better = this.#betterMates();
  }

  /** By place, the best place of another box of the frame that is ranked before; -1 where there is none. */
  #betterMates() {
    const first = new Map();
    return this.order.map((box, place) => {
      const frame = this.frame[box];
      if (first.has(frame)) return first.get(frame);
      first.set(frame, place);
      return -1;
    });
  }

  /** Whether the box at a place is a hit; null where nobody knows. @param {number} place @returns {boolean|null} */
  isHit(place) {
    return this.hits && this.hits.has(this.order[place]);
  }

  /**
   * Places that fit the filter, in the order that it wants.
   * @param {{hit: string, found: Set<string>, least: number, most: number, decided: string, mates: string, sort: string}} filter
   * @param {(box: number) => State} stateOf
   * @returns {number[]}
   */
  select(filter, stateOf) {
    const places = [];
    for (let place = 0; place < this.order.length; place += 1) if (this.#fits(place, filter, stateOf)) places.push(place);
    return filter.sort === "telling" ? castsearch.tellingFirst(places, this, stateOf) : places;
  }

  #fits(place, filter, stateOf) {
    if (filter.hit && this.hits && this.isHit(place) !== (filter.hit === "hit")) return false;
    if (filter.found.size && !filter.found.has(this.words[this.foundBy[place]])) return false;
    if (this.probability) {
      const share = this.probability[place];
      if (share < filter.least || share > filter.most) return false;
    }
    if (filter.mates && this.better[place] >= 0 !== (filter.mates === "mates")) return false;
    if (!filter.decided) return true;
    const state = stateOf(this.order[place]);
    if (filter.decided === "decided") return state !== "";
    if (filter.decided === "undecided") return state === "";
    if (filter.decided === "confirmed") return state === "confirmed" || state === "portrait";
    return state === filter.decided;
  }
};

/**
 * The order in which a decision tells most, undecided boxes first.
 * @param {number[]} places
 * @param {InstanceType<typeof castsearch.Ranked>} ranked
 * @param {(box: number) => State} stateOf
 * @returns {number[]}
 */
castsearch.tellingFirst = (places, ranked, stateOf) => {
  const turn = new Map((ranked.asking || ranked.order).map((box, number) => [box, number]));
  const decided = (place) => (stateOf(ranked.order[place]) === "" ? 0 : 1);
  return places
    .map((place) => [decided(place), turn.get(ranked.order[place]), place])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1])
    .map(([, , place]) => place);
};

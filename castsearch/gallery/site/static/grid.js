"use strict";
// A grid of any number of cards of one size, of which those near the view alone exist.

/** Rows beyond the view's edges that exist, so that scrolling finds them there. */
castsearch.ROWS_BEYOND = 2;

/** Cards that are filled with one frame while all scrolls; those that remain wait for the next one. */
castsearch.CARDS_A_FRAME = 12;

/**
 * @typedef {{root: HTMLElement, fill(at: number): void}} Card shows the item of that number
 */
castsearch.Grid = class {
  /**
   * @param {HTMLElement} root with role="grid"; its style tells --card-width, the least, and --card-height, in pixels
   * @param {() => Card} makeCard
   * @param {(at: number) => void} onActive another card has the focus
   */
  constructor(root, makeCard, onActive) {
    this.root = root;
    this.makeCard = makeCard;
    this.onActive = onActive;
    this.n = 0;
    this.active = 0;
    this.columns = 1;
    /** @type {Map<number, {element: HTMLElement, cards: Card[]}>} */
    this.rows = new Map();
    castsearch.Grid.all.push(this);
    new ResizeObserver(() => this.#layOut()).observe(root);
    root.addEventListener("focusin", (event) => {
      const at = this.indexOf(event.target);
      if (at >= 0 && at !== this.active) this.#setActive(at);
    });
  }

  /** Show that many cards. @param {number} n @param {number} active the card that Tab leads to */
  show(n, active = 0) {
    this.n = n;
    this.active = Math.max(0, Math.min(active, n - 1));
    this.#layOut();
    this.refresh();
  }

  /** Fill all cards that exist anew. */
  refresh() {
    for (const [row, { cards }] of this.rows) this.#fill(row, cards);
  }

  /** Number of the card that holds an element, -1 where none does. @param {EventTarget} target */
  indexOf(target) {
    const card = target instanceof Element ? target.closest("[data-at]") : null;
    return card && this.root.contains(card) ? Number(card.dataset.at) : -1;
  }

  /** @param {number} at @returns {HTMLElement|undefined} the card, where it exists */
  cardAt(at) {
    return this.rows.get(Math.floor(at / this.columns))?.cards[at % this.columns]?.root;
  }

  /** Bring a card into view and give it the focus. @param {number} at @param {boolean} focus */
  goTo(at, focus = true) {
    if (!this.n) return;
    this.#setActive(Math.max(0, Math.min(at, this.n - 1)));
    this.render();
    const card = this.cardAt(this.active);
    card.scrollIntoView({ block: "nearest" });
    this.render();
    if (focus) this.cardAt(this.active).focus({ preventScroll: true });
  }

  /** How many cards a screenful has. */
  get page() {
    return Math.max(1, Math.floor(this.view().height / this.rowHeight)) * this.columns;
  }

  #setActive(at) {
    const before = this.cardAt(this.active);
    this.active = at;
    if (before) before.tabIndex = -1;
    const card = this.cardAt(at);
    if (card) card.tabIndex = 0;
    this.onActive(at);
  }

  #layOut() {
    const style = getComputedStyle(this.root);
    const width = this.root.clientWidth;
    const columns = Math.max(1, Math.floor(width / parseFloat(style.getPropertyValue("--card-width"))));
    const rowHeight = parseFloat(style.getPropertyValue("--card-height"));
    if (columns !== this.columns || rowHeight !== this.rowHeight) {
      this.columns = columns;
      this.rowHeight = rowHeight;
      this.#drop(0);
      this.root.style.setProperty("--columns", String(columns));
    }
    const rows = Math.ceil(this.n / columns);
    this.root.style.height = `${rows * rowHeight}px`;
    this.root.setAttribute("aria-rowcount", String(rows));
    this.root.setAttribute("aria-colcount", String(columns));
    this.render();
  }

  /** The stretch of the grid that can be seen, in pixels from its top; null where it is hidden. */
  view() {
    if (this.root.closest("[hidden]")) return null;
    const grid = this.root.getBoundingClientRect();
    const panel = this.root.parentElement.getBoundingClientRect();
    const top = Math.max(0, panel.top);
    const bottom = Math.min(innerHeight, panel.bottom);
    return { top: top - grid.top, height: Math.max(0, bottom - top) };
  }

  /**
   * Have the rows that a view needs.
   * @param {{top: number, height: number}|null} view
   * @param {number} most rows that may be filled now; a quick scroll does not wait for them
   */
  render(view = this.view(), most = Infinity) {
    if (!this.rowHeight || !view) return;
    const last = Math.ceil(this.n / this.columns) - 1;
    this.#drop(last + 1);
    const from = Math.max(0, Math.floor(view.top / this.rowHeight) - castsearch.ROWS_BEYOND);
    const to = Math.min(last, Math.floor((view.top + view.height) / this.rowHeight) + castsearch.ROWS_BEYOND);
    const kept = this.n ? Math.floor(this.active / this.columns) : -1; // the focus must not vanish with its row
    const middle = (view.top + view.height / 2) / this.rowHeight - 0.5;
    const wanted = Array.from({ length: Math.max(0, to - from + 1) }, (_, place) => from + place)
      .sort((a, b) => Math.abs(a - middle) - Math.abs(b - middle)); // what is looked at first
    if (kept >= 0 && (kept < from || kept > to)) wanted.unshift(kept);
    const missing = wanted.filter((row) => !this.rows.has(row));
    const spare = [...this.rows.keys()].filter((row) => (row < from || row > to) && row !== kept);
    for (const row of missing.slice(0, most)) this.#place(row, spare.pop());
    if (missing.length > most) castsearch.Grid.soon();
  }

  /** Remove rows from one on. */
  #drop(from) {
    for (const [row, { element }] of this.rows) {
      if (row < from) continue;
      element.remove();
      this.rows.delete(row);
    }
  }

  /** Have a row, by moving a spare one. @param {number} row @param {number|undefined} spare */
  #place(row, spare) {
    const made = this.rows.get(spare) ?? this.#make();
    this.rows.delete(spare);
    made.element.style.transform = `translateY(${row * this.rowHeight}px)`;
    made.element.setAttribute("aria-rowindex", String(row + 1));
    this.rows.set(row, made);
    this.#fill(row, made.cards);
  }

  #make() {
    const cards = Array.from({ length: this.columns }, () => this.makeCard());
    cards.forEach(({ root }, column) => root.setAttribute("aria-colindex", String(column + 1)));
    const element = castsearch.element("div", { className: "row", role: "row" }, ...cards.map((card) => card.root));
    this.root.append(element);
    return { element, cards };
  }

  #fill(row, cards) {
    cards.forEach((card, column) => {
      const at = row * this.columns + column;
      card.root.hidden = at >= this.n;
      if (at >= this.n) {
        delete card.root.dataset.at;
        return;
      }
      card.root.dataset.at = String(at);
      card.root.tabIndex = at === this.active ? 0 : -1;
      card.fill(at);
    });
  }
};

/** @type {InstanceType<typeof castsearch.Grid>[]} */
castsearch.Grid.all = [];

/** Have all grids rendered with the next frame: measured first, as measuring after a change is slow. */
castsearch.Grid.soon = (() => {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      const views = castsearch.Grid.all.map((grid) => grid.view());
      const share = castsearch.CARDS_A_FRAME / views.filter(Boolean).length;
      castsearch.Grid.all.forEach((grid, place) => grid.render(views[place], Math.max(1, Math.floor(share / grid.columns))));
    });
  };
})();

// Scrolling is heard wherever it happens: of the page, or of a panel that a grid is in.
document.addEventListener("scroll", () => castsearch.Grid.soon(), { capture: true, passive: true });

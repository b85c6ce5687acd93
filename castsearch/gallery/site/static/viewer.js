"use strict";
// The whole frame of a box, with all boxes in it and whom they show.

castsearch.Viewer = class {
  /**
   * @param {any} movie
   * @param {{act(boxes: number[], action: string): void, step(by: number): void, go(box: number): void, closed(): void}} page
   */
  constructor(movie, page) {
    this.movie = movie;
    this.page = page;
    this.dialog = castsearch.byId("viewer");
    this.list = null;
    this.place = 0;
    this.dialog.addEventListener("close", () => page.closed());
    this.dialog.addEventListener("click", (event) => this.#click(event));
    this.dialog.addEventListener("keydown", (event) => this.#key(event));
  }

  get isOpen() {
    return this.dialog.open;
  }

  /** Show the box at a place of a list. */
  show(list, place) {
    [this.list, this.place] = [list, place];
    this.refresh();
    if (!this.dialog.open) {
      this.dialog.showModal();
      castsearch.byId("viewer-next").focus();
    }
  }

  refresh() {
    const { byId } = castsearch;
    const { movie, list, place } = this;
    const facts = castsearch.factsOf(list, place);
    const frame = movie.boxes.frame[facts.box];
    const seconds = movie.frames.seconds[frame];
    byId("viewer-title").textContent = `${list.subject.person.name}: rank ${castsearch.number(facts.rank)}`;
    const words = list.subject.person.group ? castsearch.GROUP_STATES : castsearch.STATES;
    byId("viewer-facts").replaceChildren(...[
      words[facts.state], facts.probability, facts.hit === null ? "" : facts.hit ? "● hit" : "○ miss",
      facts.found, facts.mate && `in the ${facts.mate}`, facts.change,
    ].filter(Boolean).map((fact) => castsearch.element("li", {}, fact)));
    byId("viewer-when").textContent = seconds === null ? "" : `at ${castsearch.moment(seconds)}`;
    byId("viewer-name").textContent = `${movie.boxes.id[facts.box]} in ${movie.frames.name[frame]}`;
    this.#draw(facts.box, frame);
  }

  #draw(box, frame) {
    const { byId, element, root } = castsearch;
    const { movie } = this;
    const stage = byId("viewer-stage");
    const picture = movie.frames.picture[frame];
    if (picture === null) {
      const crop = element("img", { src: root + movie.boxes.thumbnail[box], alt: `Box ${movie.boxes.id[box]}` });
      stage.replaceChildren(crop, element("p", { className: "quiet" }, "This gallery has no picture of the whole frame."));
      stage.className = "stage crop";
      return;
    }
    const [width, height] = movie.frames.size[frame];
    const image = element("img", { src: root + picture, width, height, alt: `The frame ${movie.frames.name[frame]}` });
    const whole = element("div", { className: "whole" }, image);
    whole.style.setProperty("--ratio", String(width / height));
    for (const other of this.list.matesOf.get(frame)) {
      if (movie.boxes.bbox[other]) whole.append(this.#outline(other, other === box, width, height));
    }
    stage.replaceChildren(whole);
    stage.className = "stage";
  }

  #outline(box, isCurrent, width, height) {
    const [x, y, w, h] = this.movie.boxes.bbox[box];
    const name = this.nameOf(box);
    const outline = castsearch.element(
      "button",
      { type: "button", className: isCurrent ? "outline current" : "outline", "data-box": String(box),
        "aria-label": `${isCurrent ? "This box" : "Box"} ${this.movie.boxes.id[box]}: ${name || "nobody known"}`, "aria-pressed": String(isCurrent) },
      castsearch.element("span", {}, name || "?"),
    );
    const share = (part, whole) => `${Math.max(0, Math.min(100, (100 * part) / whole))}%`;
    Object.assign(outline.style, { left: share(x, width), top: share(y, height), width: share(Math.min(w, width - x), width), height: share(Math.min(h, height - y), height) });
    return outline;
  }

  /** Whom a box shows: who it is confirmed for, else whom the first result takes it for; "" for nobody. */
  nameOf(box) {
    const { movie } = this;
    const file = movie.boxes.file[box];
    const isSure = ({ id, group }) => !group && ["confirmed", "portrait"].includes(castsearch.book.state(id, file));
    const sure = movie.people.find(isSure);
    if (sure) return sure.name;
    const named = castsearch.book.nameOf(movie.name, file);
    if (named) return named;
    const taken = movie.people[movie.boxes.who[box]];
    return taken && castsearch.book.state(taken.id, file) !== "rejected" ? taken.name : "";
  }

  #click(event) {
    if (event.target === this.dialog) {
      this.dialog.close(); // beside it
      return;
    }
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.box) this.page.go(Number(button.dataset.box));
    else if (button.dataset.action) this.page.act([this.list.ranked.order[this.place]], button.dataset.action);
    else if (button.dataset.step) this.page.step(Number(button.dataset.step));
    else this.dialog.close();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 }[event.key];
    const action = castsearch.ACTIONS[event.key];
    if (step) this.page.step(step);
    else if (action) this.page.act([this.list.ranked.order[this.place]], action);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
};

/** What keys do to boxes. */
castsearch.ACTIONS = { c: "confirm", r: "reject", u: "undo", p: "portrait", P: "only" };

"use strict";
// A person's page: filters, one list or two, selection, keys.

(() => {
  const { byId, book, count, number, say } = castsearch;
  const movie = window.castsearchMovie;
  const person = castsearch.readPerson();
  const subject = person.group ? new castsearch.GroupSubject(person, movie) : new castsearch.CastSubject(person, movie);
  const selection = new Set(); // numbers of boxes
  let anchor = -1; // the box that Shift extends from
  let marked = -1; // the box that both lists mark

  /** By frame, its boxes. */
  const matesOf = new Map();
  movie.boxes.frame.forEach((frame, box) => matesOf.set(frame, [...(matesOf.get(frame) ?? []), box]));

  // ------------------------------------------------------------------ lists

  const lists = person.results.map((columns, result) => {
    if (!columns) return null;
    const ranked = new castsearch.Ranked(columns, person.hits, movie);
    return { result, ranked, subject, movie, matesOf, selection, view: [], other: undefined, isMarked: (box) => box === marked && shown().length > 1 };
  });
  if (lists[0] && lists[1]) [lists[0].other, lists[1].other] = [lists[1], lists[0]];
  const both = lists.filter(Boolean);
  for (const list of both) {
    const root = byId(`grid-${list.result}`);
    root.classList.toggle("two", list.other !== undefined);
    list.grid = new castsearch.Grid(root, () => castsearch.makeCard(list), (at) => mark(list.ranked.order[list.view[at]]));
  }
  let current = both[0]; // the list that keys are about
  const shown = () => both.filter((list) => !byId(`panel-${list.result}`).hidden);

  function mark(box) {
    const before = marked;
    marked = box;
    for (const list of shown()) {
      for (const each of [before, box]) {
        const at = list.view.indexOf(list.ranked.placeOf.get(each));
        list.grid.cardAt(at)?.classList.toggle("marked", each === box && shown().length > 1);
      }
    }
  }

  const boxAt = (list, at) => list.ranked.order[list.view[at]];

  function refresh() {
    for (const list of shown()) list.grid.refresh();
    if (viewer.isOpen) viewer.refresh();
    showSelection();
    showPortraits();
  }

  // ------------------------------------------------------------------ filters

  const form = byId("filters");

  function readFilter() {
    const percent = (name, otherwise) => {
      const value = parseFloat(form.elements[name]?.value ?? "");
      return Number.isFinite(value) ? 100 * value : otherwise;
    };
    return {
      hit: form.elements.hit?.value ?? "",
      found: new Set([...form.querySelectorAll("[name=found]:checked")].map((field) => field.value)),
      least: percent("least", 0),
      most: percent("most", 10000),
      decided: form.elements.decided.value,
      mates: form.elements.mates.value,
      sort: form.elements.sort?.value ?? "rank",
    };
  }

  /** Show what fits the filter; the box that was active stays so where it is shown. */
  function filter() {
    const wanted = readFilter();
    for (const list of both) {
      const before = list.view.length ? boxAt(list, list.grid.active) : -1;
      list.view = list.ranked.select(wanted, (box) => subject.state(box));
      list.grid.show(list.view.length, list.view.indexOf(list.ranked.placeOf.get(before)));
      byId(`empty-${list.result}`).hidden = list.view.length > 0;
    }
    const seen = new Set(both.flatMap((list) => list.view.map((place) => list.ranked.order[place])));
    for (const box of selection) if (!seen.has(box)) selection.delete(box); // nothing is decided unseen
    showSelection();
    const first = both[0];
    if (!first) return;
    const n = first.ranked.order.length;
    byId("count").textContent = first.view.length === n ? count(n, "box", "boxes") : `${number(first.view.length)} of ${count(n, "box", "boxes")}`;
    byId("reset").hidden = first.view.length === n && wanted.sort === "rank";
  }

  form.addEventListener("input", (event) => {
    if (event.target.name !== "jump") filter();
  });
  byId("unfold").addEventListener("click", (event) => {
    event.target.setAttribute("aria-expanded", String(form.classList.toggle("unfolded")));
  });
  form.addEventListener("reset", () => setTimeout(() => {
    filter();
    form.elements.decided.focus(); // the button has gone
  }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    jump(form.elements.jump.value.trim());
  });

  /** Go to a rank or an id. @param {string} wanted */
  function jump(wanted) {
    if (!wanted) return;
    const place = /^[\d,]+$/.test(wanted) && !movie.boxes.id.includes(wanted)
      ? Number(wanted.replaceAll(",", "")) - 1
      : current.ranked.placeOf.get(movie.boxes.id.indexOf(wanted));
    if (place === undefined || place < 0 || place >= current.ranked.order.length) {
      say(`There is no box ${wanted} in this list.`);
      return;
    }
    const at = current.view.indexOf(place);
    if (at >= 0) current.grid.goTo(at);
    else say(`Rank ${number(place + 1)} is hidden by the filter.`);
  }

  // ------------------------------------------------------------------ two results

  const compare = byId("compare");
  compare?.addEventListener("click", () => {
    const on = compare.getAttribute("aria-pressed") !== "true";
    compare.setAttribute("aria-pressed", String(on));
    byId("panel-1").hidden = !on;
    byId("lists").classList.toggle("compared", on);
    if (!on) current = both[0];
    filter();
    mark(marked);
  });

  /** From a box in one list to the same in the other. */
  function cross() {
    const other = current.other;
    if (!other || !shown().includes(other)) return;
    const at = other.view.indexOf(other.ranked.placeOf.get(boxAt(current, current.grid.active)));
    if (at < 0) say("The other list does not show this box.");
    else (current = other).grid.goTo(at);
  }

  // ------------------------------------------------------------------ selection and decisions

  function showSelection() {
    byId("selection").hidden = !selection.size;
    byId("selection-count").textContent = `${number(selection.size)} selected`;
  }

  /** Select or not; with `extend` all from the anchor on. */
  function select(list, at, extend) {
    const box = boxAt(list, at);
    const from = extend && anchor >= 0 ? list.view.indexOf(list.ranked.placeOf.get(anchor)) : -1;
    if (from >= 0) {
      for (let each = Math.min(from, at); each <= Math.max(from, at); each += 1) selection.add(boxAt(list, each));
    } else {
      if (!selection.delete(box)) selection.add(box);
      anchor = box;
    }
    refresh();
  }

  function unselect() {
    const leaves = byId("selection").contains(document.activeElement);
    selection.clear();
    anchor = -1;
    refresh();
    if (leaves) current.grid.goTo(current.grid.active); // the bar has gone
  }

  /** Decide on boxes. */
  function act(boxes, action) {
    if (boxes.length) say(subject.act(boxes, action));
  }

  /** The boxes that a key is about: those selected, else the one in focus. */
  const meant = () => (selection.size ? [...selection] : current.view.length ? [boxAt(current, current.grid.active)] : []);

  byId("selection").addEventListener("click", (event) => {
    const action = event.target.closest("button")?.dataset.action;
    if (action) act([...selection], action);
    else if (event.target.closest("button")) unselect();
  });

  // ------------------------------------------------------------------ the frame

  const viewer = new castsearch.Viewer(movie, {
    act,
    step(by) {
      const at = current.grid.active + by;
      if (at < 0 || at >= current.view.length) return say(by < 0 ? "This is the first box." : "This is the last box.");
      current.grid.goTo(at, false);
      viewer.show(current, current.view[at]);
    },
    go(box) {
      const place = current.ranked.placeOf.get(box);
      if (place === undefined) return say("This box is not ranked for this person.");
      const at = current.view.indexOf(place);
      if (at >= 0) current.grid.goTo(at, false);
      viewer.show(current, place);
    },
    closed() {
      const at = current.view.indexOf(viewer.place); // the browser gave the focus back to where it was
      if (at >= 0) current.grid.goTo(at);
    },
  });

  const open = (at) => viewer.show(current, current.view[at]);

  // ------------------------------------------------------------------ pointer and keys

  for (const list of both) {
    const { root } = list.grid;
    root.addEventListener("focusin", () => (current = list));
    root.addEventListener("click", (event) => {
      const at = list.grid.indexOf(event.target);
      if (at < 0) return;
      current = list;
      const button = event.target.closest("button");
      if (button) act([boxAt(list, at)], button.dataset.action);
      else if (event.target.closest(".tick")) {
        if (event.target.tagName !== "INPUT") return; // the label's click comes again as its field's
        select(list, at, event.shiftKey);
      } else if (event.shiftKey || event.ctrlKey || event.metaKey) select(list, at, event.shiftKey);
      else {
        list.grid.goTo(at);
        open(at);
      }
    });
    root.addEventListener("keydown", (event) => walk(list, event));
  }

  /** Keys that move, select and open, where a card has the focus. */
  function walk(list, event) {
    if (event.altKey || (["BUTTON", "INPUT"].includes(event.target.tagName) && [" ", "Enter"].includes(event.key))) return;
    const { grid } = list;
    const last = list.view.length - 1;
    const to = {
      ArrowLeft: grid.active - 1, ArrowRight: grid.active + 1, ArrowUp: grid.active - grid.columns,
      ArrowDown: grid.active + grid.columns > last && Math.floor(last / grid.columns) > Math.floor(grid.active / grid.columns) ? last : grid.active + grid.columns,
      Home: 0, End: last, PageUp: Math.max(0, grid.active - grid.page), PageDown: Math.min(last, grid.active + grid.page),
    }[event.key];
    if (to !== undefined) {
      if (to >= 0 && to <= last) {
        if (event.shiftKey && anchor < 0) select(list, grid.active, false);
        grid.goTo(to);
        if (event.shiftKey) select(list, to, true);
      }
    } else if (event.key === " ") select(list, grid.active, event.shiftKey);
    else if (event.key === "Enter") open(grid.active);
    else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      for (let at = 0; at <= last; at += 1) selection.add(boxAt(list, at));
      refresh();
    } else return;
    event.preventDefault();
  }

  addEventListener("keydown", (event) => {
    const isField = event.target.matches?.("input:not([type=checkbox]), select, textarea");
    if (isField || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const inList = event.target === document.body || event.target.closest?.(".grid, #selection");
    const action = castsearch.ACTIONS[event.key];
    if (action && inList && current) {
      if (event.target === document.body && !selection.size) say("Go to a box first: an arrow key leads there.");
      else act(meant(), action);
    }
    else if (event.key === "b" && inList && current) cross();
    else if (event.key === "Escape" && selection.size) unselect();
    else if (event.key === "/") form.querySelector("input, select").focus();
    else if (event.key === "?") byId("help").showModal();
    else if (event.key.startsWith("Arrow") && event.target === document.body && current?.view.length) current.grid.goTo(current.grid.active);
    else return;
    event.preventDefault();
  });
  byId("help-open").addEventListener("click", () => byId("help").showModal());

  // ------------------------------------------------------------------ portraits

  /** Boxes that became portraits, beside the first ones. */
  function showPortraits() {
    const place = byId("chosen");
    if (!place) return;
    const chosen = movie.boxes.file.flatMap((file, box) => (book.state(person.id, file) === "portrait" ? [box] : []));
    place.replaceChildren(...chosen.map((box) => castsearch.element(
      "figure", {}, castsearch.element("img", { src: castsearch.root + movie.boxes.thumbnail[box], alt: `Portrait from box ${movie.boxes.id[box]}` }),
      castsearch.element("figcaption", {}, "★ from a box"),
    )));
    byId("first-portraits").classList.toggle("replaced", chosen.length > 0 && book.replaces(person.id));
    byId("replaced-note").hidden = !(chosen.length > 0 && book.replaces(person.id));
  }

  book.onChange(refresh);
  filter();
  refresh();
})();

"use strict";
// The card of a box in a grid.

castsearch.STATES = { confirmed: "✓ confirmed", rejected: "✗ rejected", portrait: "★ portrait", "": "" };
castsearch.GROUP_STATES = { confirmed: "✓ in the group", rejected: "✗ taken out", "": "" };

/** What found boxes that were decided on when the result was made. */
castsearch.DECIDED = ["confirmed", "rejected"];

/** What a card says of its box. */
castsearch.factsOf = (list, place) => {
  const { ranked, other } = list;
  const box = ranked.order[place];
  const there = other?.ranked.placeOf.get(box);
  const mate = castsearch.mateOf(list, place);
  const foundBy = ranked.words[ranked.foundBy[place]];
  return {
    box,
    rank: place + 1,
    probability: ranked.probability ? castsearch.percent(ranked.probability[place]) : "",
    share: ranked.probability ? ranked.probability[place] : null,
    hit: ranked.isHit(place),
    foundBy,
    found: castsearch.DECIDED.includes(foundBy) ? `${foundBy} before` : foundBy && `found by ${foundBy}`,
    mate: mate && (mate.sure ? `frame of confirmed ${mate.rank}` : `frame of rank ${mate.rank}`),
    sure: mate?.sure ?? false,
    change: other === undefined ? "" : castsearch.changeOf(place, there),
    state: list.subject.state(box),
  };
};

/**
 * The box beside which, in one frame, this one can hardly show the person: one that is confirmed, else the best ranked before.
 * @returns {{rank: number, sure: boolean}|null}
 */
castsearch.mateOf = ({ ranked, subject, matesOf }, place) => {
  const box = ranked.order[place];
  if (!subject.person.group) {
    for (const other of matesOf.get(ranked.frame[box])) {
      const state = other === box ? "" : subject.state(other);
      if ((state === "confirmed" || state === "portrait") && ranked.placeOf.has(other)) {
        return { rank: ranked.placeOf.get(other) + 1, sure: true };
      }
    }
  }
  return ranked.better[place] < 0 ? null : { rank: ranked.better[place] + 1, sure: false };
};

/** How a box's rank differs from the other result's. */
castsearch.changeOf = (place, there) => {
  if (there === undefined) return "not there";
  if (there === place) return "= same rank";
  return there > place ? `▲ ${there - place} · there ${there + 1}` : `▼ ${place - there} · there ${there + 1}`;
};

/** @param {any} list that the card is in, see person.js */
castsearch.makeCard = (list) => {
  const { element } = castsearch;
  const image = element("img", { decoding: "async", alt: "", draggable: false });
  const rank = element("span", { className: "rank" });
  const tick = element("input", { type: "checkbox", tabIndex: -1, "aria-label": "Select" });
  const state = element("span", { className: "state" });
  const picture = element("div", { className: "picture" }, image, rank, element("label", { className: "tick" }, tick), state);
  const probability = element("b");
  const verdict = element("span", { className: "verdict" });
  const meter = element("span", { className: "meter" }, element("i"));
  const found = element("span");
  const mate = element("span", { className: "mate" });
  const change = element("span", { className: "change" });
  const button = (action, sign, title, look = action) =>
    element("button", { type: "button", tabIndex: -1, className: look, title, "aria-label": title.replace(/ \(.*/, ""), "data-action": action }, sign);
  const buttons = [button("confirm", "✓", "Confirm (c)"), button("reject", "✗", "Reject (r)")];
  if (!list.subject.person.group) buttons.push(button("portrait", "★", "Use as a portrait (p)", "star"));
  const inner = element(
    "div", { className: "inner" }, picture, meter,
    element("p", { className: "line" }, probability, verdict),
    element("p", { className: "line quiet" }, found),
    element("p", { className: "line quiet" }, mate),
    ...(list.other === undefined ? [] : [element("p", { className: "line" }, change)]),
    element("div", { className: "acts" }, ...buttons),
  );
  const root = element("div", { className: "card", role: "gridcell", tabIndex: -1 }, inner);
  const words = list.subject.person.group ? castsearch.GROUP_STATES : castsearch.STATES;

  function fill(at) {
    const place = list.view[at];
    const facts = castsearch.factsOf(list, place);
    const address = castsearch.root + list.movie.boxes.thumbnail[facts.box];
    if (image.getAttribute("src") !== address) image.src = address;
    rank.textContent = castsearch.number(facts.rank);
    probability.textContent = facts.probability;
    verdict.textContent = facts.hit === null ? "" : facts.hit ? "● hit" : "○ miss";
    verdict.className = `verdict ${facts.hit === null ? "" : facts.hit ? "hit" : "miss"}`;
    meter.hidden = facts.share === null;
    if (facts.share !== null) meter.firstChild.style.transform = `scaleX(${facts.share / 10000})`;
    found.textContent = facts.foundBy;
    mate.textContent = facts.mate ?? "";
    mate.classList.toggle("sure", facts.sure);
    change.textContent = facts.change;
    state.textContent = words[facts.state];
    root.dataset.state = facts.state;
    root.classList.toggle("marked", list.isMarked(facts.box));
    const selected = list.selection.has(facts.box);
    root.setAttribute("aria-selected", String(selected));
    tick.checked = selected;
    image.alt = `Box at rank ${facts.rank}`;
    root.setAttribute("aria-label", [
      `Rank ${facts.rank}`, facts.probability && `probability ${facts.probability}`,
      facts.hit === null ? "" : facts.hit ? "hit" : "miss", facts.found,
      facts.mate && `in the ${facts.mate}`, facts.change, words[facts.state].slice(2), selected && "selected",
    ].filter(Boolean).join(", "));
  }

  return { root, fill };
};

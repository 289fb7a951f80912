"use strict";
// The list and the page of each lead, drawn from the data block; text goes in as text, never as HTML.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const L = data.leads, PAGE = 100, UNKNOWN = "–";
  const byId = (id) => document.getElementById(id);
  if (!data.listed) return;

  function h(tag, attributes, ...children) {
    const svg = ["svg", "rect", "line"].includes(tag);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
    return node;
  }

  // figures, as pipeline/common/formatting.py writes them
  const digits = (value, decimals) =>
    value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
  function money(value, signed, decimals) {
    if (value === null || value === undefined) return UNKNOWN;
    if (decimals === undefined) decimals = Math.abs(value) >= 9.995 || value === 0 ? 0 : 2;
    const text = digits(Math.abs(value), decimals);
    const sign = Number(text.replaceAll(",", "")) === 0 ? "" : value < 0 ? "−" : signed ? "+" : "";
    return sign + data.prefix + text;
  }
  const cents = (value) => money(value === null ? null : value / 100);
  function percent(share) {
    if (share === null || share === undefined) return UNKNOWN;
    if (share === 0 || share === 1) return share * 100 + "%";
    if (share < 0.001) return "below 0.1%";
    if (share > 0.999) return "above 99.9%";
    return digits(share * 100, share < 0.0995 || share >= 0.995 ? 1 : 0) + "%";
  }
  const chance = (value) => percent(value === null ? null : value / 1e5);
  function points(value) {
    const text = digits(Math.abs(value), 1);
    return (text === "0.0" ? "" : value > 0 ? "+" : "−") + text + (text === "1.0" ? " point" : " points");
  }
  const count = (value, one, many) => digits(value, 0) + " " + (Math.round(value) === 1 ? one : many);
  function days(value) {
    if (value === null) return UNKNOWN;
    if (value < 1 / 24) return "less than an hour";
    if (value < 1) return count(Math.floor(value * 24), "hour", "hours");
    if (value < 60) return count(Math.floor(value), "day", "days");
    if (value < 700) return count(value / 30.44, "month", "months");
    return count(value / 365.25, "year", "years");
  }
  const weight = (value, decimals) => (data.money ? money(value, true, decimals) : points(value));
  const text = (index) => (index === null ? "" : data.strings[index]);
  const titleOf = (i) => L.company[i] || L.name[i] || L.id[i];
  const subtitleOf = (i) => [L.company[i] ? L.name[i] : "", text(L.title[i])].filter(Boolean).join(" · ");
  const hrefOf = (i) => "#lead-" + encodeURIComponent(L.id[i]);
  const facetOf = (facet, i) => data.facets[facet].values[L.facets[facet][i]];
  const said = (value) => (Object.hasOwn(data.words, value) ? data.words[value] : value);
  const bar = (share, style) => h("svg", { class: "bar", "aria-hidden": "true" },
    h("rect", { class: style, width: Math.max(0, Math.min(1, share)) * 100 + "%", height: "100%" }));
  function balance(share) {
    const width = Math.min(1, Math.abs(share)) * 50;
    return h("svg", { class: "bar", "aria-hidden": "true" },
      h("rect", { class: share >= 0 ? "for" : "against", x: (share >= 0 ? 50 : 50 - width) + "%", width: width + "%", height: "100%" }),
      h("line", { class: "axis", x1: "50%", x2: "50%", y1: "0", y2: "100%" }));
  }
  const sign = (value) => h("span", { class: "sign " + (value >= 0 ? "up" : "down") }, value >= 0 ? "+" : "−");
  const tag = (value) => (value && value !== "unknown" ? h("span", { class: "tag" }, said(value)) : "");

  // sums over cents, of leads listed and of those that only count
  const SUMS = ["revenue", "this_quarter", "next_quarter", "later"];
  function add(sums, source, i, leads) {
    sums.leads += leads;
    sums.wins += source.wins[i];
    for (const key of SUMS) if (data.has[key]) sums[key] += source[key][i] || 0;
  }
  const none = () => ({ leads: 0, wins: 0, revenue: 0, this_quarter: 0, next_quarter: 0, later: 0 });
  const whole = none();
  for (let i = 0; i < data.listed; i++) add(whole, L, i, 1);
  for (let i = 0; i < data.rest.leads.length; i++) add(whole, data.rest, i, data.rest.leads[i]);

  const state = { search: "", sort: "rank", page: 0, values: {} };
  const searchable = L.id.map((id, i) => (id + " " + L.name[i] + " " + L.company[i]).toLowerCase());
  let shown = [];

  function choose() {
    const wanted = Object.entries(state.values).filter(([, value]) => value !== "");
    const needle = state.search.trim().toLowerCase();
    const passes = (source, i) => wanted.every(([facet, value]) => source.facets[facet][i] === Number(value));
    const sums = none();
    shown = [];
    for (let i = 0; i < data.listed; i++) {
      if (passes(L, i) && (!needle || searchable[i].includes(needle))) { shown.push(i); add(sums, L, i, 1); }
    }
    let unlisted = 0;
    if (!needle) for (let i = 0; i < data.rest.leads.length; i++) {
      if (passes(data.rest, i)) { add(sums, data.rest, i, data.rest.leads[i]); unlisted += data.rest.leads[i]; }
    }
    const key = { chance: L.chances[data.horizons.indexOf(data.primary)], soonest: L.p50, name: null, rank: null }[state.sort];
    if (state.sort === "name") shown.sort((a, b) => titleOf(a).localeCompare(titleOf(b), "en") || a - b);
    else if (state.sort !== "rank") {
      const values = key || L[state.sort], up = state.sort === "soonest" ? 1 : -1;
      shown.sort((a, b) => (values[a] === null) - (values[b] === null) || up * (values[a] - values[b]) || a - b);
    }
    byId("effect").replaceChildren(effect(sums, wanted.length || needle, unlisted, needle));
    draw();
  }

  function effect(sums, filtered, unlisted, needle) {
    const within = " within " + data.primary + " days";
    if (!filtered) return h("p", {}, "All " + count(sums.leads, "open lead", "open leads") +
      (data.money ? ", " + cents(sums.revenue) + " expected" + within : "") + ". No filter: nothing is hidden.");
    const hidden = {};
    for (const name of Object.keys(whole)) hidden[name] = whole[name] - sums[name];
    const worth = data.money
      ? [" worth ", h("strong", {}, cents(hidden.revenue)), whole.revenue ? " (" + percent(hidden.revenue / whole.revenue) + " of all)" : "",
        data.has.this_quarter ? ": " + cents(hidden.this_quarter) + " of this quarter's revenue" : "",
        data.has.next_quarter ? ", " + cents(hidden.next_quarter) + " of next quarter's" : "",
        data.has.later ? ", " + cents(hidden.later) + " of later" : ""]
      : [" with " + count(hidden.wins / 1e5, "expected win", "expected wins")];
    const brings = data.money ? ", " + cents(sums.revenue) + within : ", " + count(sums.wins / 1e5, "win", "wins") + " expected" + within;
    return h("p", {}, "Shown: ", h("strong", {}, count(sums.leads, "lead", "leads")), brings,
      unlisted ? " (" + digits(unlisted, 0) + " of them not listed in this file)" : "", ". ",
      h("strong", {}, "This filter hides " + count(hidden.leads, "lead", "leads")), worth, ".",
      needle && data.rest.leads.length ? " Search looks only at the leads listed in this file." : "");
  }

  function draw() {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    state.page = Math.min(state.page, pages - 1);
    const from = state.page * PAGE, rows = shown.slice(from, from + PAGE).map(row);
    byId("rows").replaceChildren(...(rows.length ? rows : [h("tr", {}, h("td", { colspan: 10 }, "No lead passes this filter. Take one filter away to see more."))]));
    const go = (step) => () => { state.page += step; draw(); byId("leads").scrollIntoView(); };
    byId("paging").replaceChildren(...(pages < 2 ? [] : [
      h("button", { type: "button", disabled: state.page === 0, onclick: go(-1) }, "← Previous"),
      h("span", {}, digits(from + 1, 0) + " to " + digits(Math.min(from + PAGE, shown.length), 0) + " of " + digits(shown.length, 0)),
      h("button", { type: "button", disabled: state.page === pages - 1, onclick: go(1) }, "Next →")]));
  }

  function reasons(i) {
    const story = L.stories[i];
    if (!story) return [];
    const all = story[4].map(([index, value]) => ({ text: text(index), value, decimals: story[0] }));
    return [all.find((reason) => reason.value >= 0), all.find((reason) => reason.value < 0)].filter(Boolean)
      .map((reason) => h("div", {}, sign(reason.value), reason.text + " ", h("span", { class: "quiet money" }, weight(reason.value, reason.decimals))));
  }

  const next = (i) => (L.next[i] === null ? "" : h("div", { class: "next" }, text(L.next[i])));

  function row(i) {
    const number = (value, label, style) => h("td", { class: "n " + (style || ""), "data-label": label || false }, value);
    return h("tr", {},
      h("td", { class: "rank" }, digits(L.rank[i], 0)),
      h("td", { class: "who" }, h("a", { href: hrefOf(i) }, titleOf(i)), subtitleOf(i) ? h("div", { class: "quiet small" }, subtitleOf(i)) : "",
        L.grade[i] ? tag("grade " + L.grade[i]) : "", tag(text(L.source[i])), L.entry[i] === "contact" ? tag(L.entry[i]) : "",
        L.kind[i] === "expansion" ? tag(L.kind[i]) : ""),
      data.money ? number(cents(L.revenue[i]), data.primary + " days", "revenue") : "",
      number(chance(L.chances[data.horizons.indexOf(data.primary)][i]), "Win probability"),
      data.money ? [number(cents(L.this_quarter[i]), "", "optional"), number(cents(L.next_quarter[i]), "", "optional"),
        data.has.later ? number(cents(L.later[i]), "", "optional") : "", number(money(L.deal_value[i]), "If won")] : "",
      number(days(L.p50[i]), "", "optional"), h("td", { class: "why" }, next(i), reasons(i)));
  }

  function card(i) {
    const span = (low, high, write) => (low === null || high === null ? "" : " (8 of 10 between " + write(low) + " and " + write(high) + ")");
    const within = " within " + data.primary + " days", story = L.stories[i];
    const p = chance(L.chances[data.horizons.indexOf(data.primary)][i]);
    const url = L.url[i] === null ? null : data.url + L.url[i];
    const head = [h("p", {}, h("a", { href: "#leads" }, "← All leads")), h("h2", {}, titleOf(i)),
      L.next[i] === null ? "" : h("p", { class: "next" }, h("strong", {}, "Next: "), text(L.next[i]) + ".", L.content[i] === null ? "" : " " + text(L.content[i]) + "."),
      h("p", { class: "quiet" }, [subtitleOf(i), L.id[i]].filter(Boolean).join(" · "),
        url ? [" · ", h("a", { href: url, rel: "noopener noreferrer" }, "open in the CRM")] : ""),
      h("p", {}, L.grade[i] ? tag("grade " + L.grade[i]) : "", L.score[i] === null ? "" : tag("score " + L.score[i] + " of 99"),
        tag(text(L.owner[i])), tag(text(L.source[i])), tag(L.size[i] === null ? "" : text(L.size[i])), tag(L.kind[i]), tag(L.entry[i])),
      h("p", {}, "Rank ", h("strong", {}, digits(L.rank[i], 0)), " of " + digits(whole.leads, 0),
        data.money ? [": ", h("strong", {}, cents(L.revenue[i])), " expected" + within + ". Win probability " + p + "; if won, a deal of about " +
          money(L.deal_value[i]) + span(L.deal_value_p10[i], L.deal_value_p90[i], (value) => money(value))]
          : [": win probability ", h("strong", {}, p), within],
        L.p50[i] === null ? "" : ", in about " + days(L.p50[i]) + span(L.p10[i], L.p90[i], days), ".")];
    let why = h("p", { class: "quiet" }, data.explained < data.listed && i >= data.explained
      ? "To keep this file small, only the first " + digits(data.explained, 0) + " leads carry their reasons here; the others are on the pages of leadrev serve."
      : "No reasons were made for this lead: leadrev score --explain all makes them for every lead.");
    if (story) {
      const [decimals, typical, other, total, given] = story;
      const reach = Math.max(1e-9, Math.abs(other || 0), ...given.map(([, value]) => Math.abs(value)));
      const line = (what, value, style) => h("tr", {}, h("td", { class: style || "" }, style ? "" : sign(value), what),
        h("td", { class: "n" }, weight(value, decimals)), h("td", { class: "bar-cell" }, balance(value / reach)));
      const end = (what, value, style) => h("tr", { class: style }, h("td", {}, what), h("td", { class: "n" }, data.money ? money(value, false, decimals) : digits(value, 1) + "%"), h("td", { class: "bar-cell" }));
      why = h("table", { class: "story" },
        h("caption", {}, "From the typical lead to this one, " + (data.money ? "in expected revenue" + within : "in percentage points of its win probability")),
        h("tbody", {}, typical === null ? "" : end("The typical lead", typical, ""), given.map(([index, value]) => line(text(index), value)),
          other === null ? "" : [line("Everything else together", other, "quiet"), end("This lead", total, "end")]));
    }
    const n = { scope: "col", class: "n" };
    const when = h("table", {}, h("caption", {}, "Win probability" + (data.money ? ", and revenue expected by then" : "")),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Within"), h("th", n, "Win probability"), h("th", { scope: "col", class: "bar-cell" }, h("span", { class: "narrow-hide" }, "Share of all")),
        data.money ? h("th", n, "Expected") : "")),
      h("tbody", {}, data.horizons.map((horizon, k) => h("tr", {}, h("th", { scope: "row" }, horizon + " days"),
        h("td", { class: "n" }, chance(L.chances[k][i])), h("td", { class: "bar-cell" }, bar((L.chances[k][i] || 0) / 1e5, "first")),
        data.money ? h("td", { class: "n" }, money(L.expected[k][i])) : ""))));
    const spans = [];
    if (data.has.this_quarter) spans.push("this quarter " + cents(L.this_quarter[i]));
    if (data.has.next_quarter) spans.push("next quarter " + cents(L.next_quarter[i]));
    if (data.has.later) spans.push("later " + cents(L.later[i]));
    const flags = text(L.flags[i]), drawn = byId("more-" + i)?.content.cloneNode(true);
    const [way, curve] = [".way", ".over-time"].map((part) => (drawn ? drawn.querySelector(part) : null));
    for (const part of [way, curve]) if (part) part.remove();
    return [...head, h("div", { class: "two" }, h("section", {}, h("h3", {}, "Why"), way || why),
      h("section", {}, h("h3", {}, "When"), curve, when, spans.length ? h("p", { class: "small quiet" }, "Expected " + spans.join(", ") + ".") : "",
        flags ? h("p", { class: "small" }, "Data to look at: " + flags + ".") : "")),
      ...(drawn ? drawn.children : [h("p", { class: "quiet small" }, "To keep this file small, the first " + digits(data.drawn, 0) +
        " leads have their win probability over time and their activity here; the others have it on the pages of leadrev serve.")])];
  }

  const title = document.title, indexOf = new Map(L.id.map((id, i) => [id, i]));
  function route() {
    let wanted = null;
    try { if (location.hash.startsWith("#lead-")) wanted = decodeURIComponent(location.hash.slice(6)); } catch { wanted = location.hash.slice(6); }
    const one = byId("one"), i = wanted === null ? undefined : indexOf.get(wanted);
    byId("overview").hidden = wanted !== null;
    one.hidden = wanted === null;
    document.title = i === undefined ? title : titleOf(i) + " · " + title;
    if (wanted === null) return;
    one.replaceChildren(...(i === undefined
      ? [h("p", {}, h("a", { href: "#leads" }, "← All leads")), h("p", { class: "note" }, "The lead " + wanted + " is not listed in this file: it was not open then, or it stands further down; the pages of leadrev serve have every lead.")]
      : card(i)));
    one.focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  function controls() {
    const select = (label, options, chosen) => h("label", {}, label, h("select", { onchange: chosen }, options.map(([value, name]) => h("option", { value }, name))));
    const changed = (set) => (event) => { set(event.target.value); state.page = 0; choose(); };
    byId("controls").replaceChildren(h("form", { class: "filters", onsubmit: (event) => event.preventDefault() },
      h("label", { class: "wide" }, "Search name, company or id", h("input", { type: "search", maxlength: 100, oninput: changed((value) => { state.search = value; }) })),
      Object.entries(data.facets).map(([facet, { label, values }]) => select(label, [["", "all"], ...values.map((value, k) => [k, said(value)])],
        changed((value) => { state.values[facet] = value; }))),
      select("Sort by", Object.entries(data.sorts), changed((value) => { state.sort = value; })),
      h("button", { type: "reset", onclick: () => { Object.assign(state, { search: "", sort: "rank", page: 0, values: {} }); choose(); } }, "Clear")));
    byId("controls").hidden = false;
  }

  // a file in a mail grows old: say so from the eighth day on
  const old = Math.floor((Date.now() - Date.parse(data.as_of)) / 864e5);
  if (old > 7) {
    byId("stale").querySelector("strong").textContent = count(old, "day", "days");
    byId("stale").hidden = false;
  }
  controls();
  choose();
  addEventListener("hashchange", route);
  route();
})();

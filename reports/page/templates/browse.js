"use strict";
const browse = (() => {
  const get = (id) => document.getElementById(id);
  const controls = Object.fromEntries(
    ["words", "status", "which", "disagree", "objective", "low", "high", "order", "first", "second"].map((id) => [id, get(id)]));
  const list = get("list"), more = get("more"), count = get("count");
  const off = { method: new Set(), size: new Set() };
  const PAGE = 6;      // prompts that are drawn at a time
  const BESIDE = 12;   // responses of a prompt before the reader asks for the rest
  const texts = [];    // by chunk: prompts, references, responses
  let data = null;     // the columns of index.js
  let scores = {};     // by objective, NaN where there is no value
  let chunkOf, startOf, prompts = 0, rows = 0, loaded = 0, firstSeed;
  let matches, shown = [], outputs = 0, drawn = 0;
  let found = { query: "", upTo: 0, prompt: null, row: null };

  const element = (parent, tag, name, text) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };
  const markers = new Map([...document.querySelectorAll('.chip[data-kind="method"]')].map((chip) => [chip.dataset.value, chip.querySelector("svg")]));
  const value = (id) => (controls[id] ? controls[id].value : "");
  const number = (x) => (Math.abs(x) >= 100 ? x.toFixed(0) : x.toFixed(3)).replace("-", "−");

  // Texts: the first chunk comes with the page, the others one after the other while the reader reads.
  const prompt = (p) => { const chunk = texts[chunkOf[p]]; return chunk && chunk.prompts[p - startOf[chunkOf[p]]]; };
  const reference = (p) => texts[chunkOf[p]].references[p - startOf[chunkOf[p]]];
  const response = (p, row) => texts[chunkOf[p]].responses[row - data.first[startOf[chunkOf[p]]]];
  const asked = new Set([0]);
  const load = (chunk) => {
    if (asked.has(chunk)) return;
    asked.add(chunk);
    const script = document.createElement("script");
    script.src = `items/text-${String(chunk).padStart(3, "0")}.js`;
    document.head.append(script);
  };
  const loadNext = () => { for (let c = 0; c < data.chunks.length; c += 1) if (!asked.has(c)) return load(c); };

  const index = (columns) => {
    data = columns;
    prompts = data.first.length - 1;
    rows = data.cell.length;
    for (const name of ["first", "cell", "status", "trial", "tokens"]) data[name] = Int32Array.from(data[name]);
    for (const [name, values] of Object.entries(data.scores)) scores[name] = Float64Array.from(values, (v) => (v === null ? NaN : v));
    data.scores = null;
    chunkOf = new Int32Array(prompts);
    startOf = [];
    let p = 0;
    data.chunks.forEach((size, chunk) => { startOf.push(p); chunkOf.fill(chunk, p, p + size); p += size; });
    matches = new Uint8Array(rows);
    const smallest = {};
    data.cells.seed.forEach((seed, c) => { const key = JSON.stringify([data.cells.label[c], data.cells.size[c]]); smallest[key] = Math.min(seed, smallest[key] ?? Infinity); });
    firstSeed = data.cells.seed.map((seed, c) => seed === smallest[JSON.stringify([data.cells.label[c], data.cells.size[c]])]);
  };
  const text = (chunk, content) => {
    texts[chunk] = content;
    loaded += 1;
    if (chunk === 0) { update(); performance.mark("first view"); }
    else if (value("words").trim() && loaded === data.chunks.length) update();
    else { for (const waiting of list.querySelectorAll(`[data-waits="${chunk}"]`)) fillIn(waiting); tell(); }
    if (loaded < data.chunks.length) requestIdleCallback(loadNext, { timeout: 300 });
  };

  // Search: one pass over all loaded texts for each new query.
  const search = (query) => {
    if (found.query !== query) found = { query, upTo: 0, prompt: new Uint8Array(prompts), row: new Uint8Array(rows) };
    if (!query) return;
    const pattern = new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "iu");
    for (let chunk = 0; chunk < data.chunks.length; chunk += 1) {
      if (!texts[chunk] || (found.done && found.done.has(chunk))) continue;
      (found.done ??= new Set()).add(chunk);
      const base = startOf[chunk], from = data.first[base];
      texts[chunk].prompts.forEach((words, i) => { found.prompt[base + i] = pattern.test(words) ? 1 : 0; });
      const answers = texts[chunk].responses;
      for (let i = 0; i < answers.length; i += 1) found.row[from + i] = pattern.test(answers[i]) ? 1 : 0;
    }
  };

  const disagreement = (row) => {
    const [one, two] = data.judges;
    return Math.abs(scores[one][row] - scores[two][row]);
  };
  const opposed = (row) => {
    const [one, two] = data.judges;
    return (scores[one][row] - 0.5) * (scores[two][row] - 0.5) < 0;
  };

  // The mean of a method's shown outputs to a prompt, and how many they are.
  const mean = (p, cells, values) => {
    let sum = 0, n = 0;
    for (let row = data.first[p]; row < data.first[p + 1]; row += 1) {
      if (cells[data.cell[row]] && !Number.isNaN(values[row])) { sum += values[row]; n += 1; }
    }
    return n ? sum / n : NaN;
  };
  const ofMethod = (name, visible) => Uint8Array.from(data.cells.method, (method, c) => (method === name && visible[c] ? 1 : 0));

  const visibleCells = () => {
    const which = value("which");
    return Uint8Array.from(data.cells.method, (method, c) =>
      (!off.method.has(method) && !off.size.has(data.cells.size[c])
        && (!which || data.cells.chosen[c]) && (which !== "chosen" || firstSeed[c]) ? 1 : 0));
  };

  const key = (visible) => {
    const order = value("order"), objective = data.objectives.find((o) => o.name === value("objective"));
    const values = objective ? scores[objective.name] : null;
    if (!order || !values) return null;
    const extreme = (of, sign) => (p) => {
      let best = -Infinity;
      for (let row = data.first[p]; row < data.first[p + 1]; row += 1) {
        if (matches[row]) { const v = sign * of(row); if (v > best) best = v; }
      }
      return best;
    };
    if (order === "difference") {
      const first = ofMethod(value("first"), visible), second = ofMethod(value("second"), visible);
      return (p) => { const gap = Math.abs(mean(p, first, values) - mean(p, second, values)); return Number.isNaN(gap) ? -1 : gap; };
    }
    if (order === "disagreement") return extreme(disagreement, 1);
    return extreme((row) => values[row], (order === "best") === objective.maximize ? 1 : -1);
  };

  const update = () => {
    if (!data || !texts[0]) return;
    const visible = visibleCells(), query = value("words").trim();
    const status = value("status") ? data.statuses.indexOf(value("status")) : -1;
    const opposedOnly = controls.disagree && controls.disagree.checked;
    const values = scores[value("objective")];
    const low = value("low") === "" ? -Infinity : Number(value("low")), high = value("high") === "" ? Infinity : Number(value("high"));
    const bounded = values && (low > -Infinity || high < Infinity);
    search(query);
    shown = [];
    outputs = 0;
    for (let p = 0; p < prompts; p += 1) {
      let some = 0;
      const end = data.first[p + 1], all = !query || found.prompt[p];
      for (let row = data.first[p]; row < end; row += 1) {
        const fits = visible[data.cell[row]] && (status < 0 || data.status[row] === status) && (all || found.row[row])
          && (!opposedOnly || opposed(row)) && (!bounded || (values[row] >= low && values[row] <= high)) ? 1 : 0;
        matches[row] = fits;
        some += fits;
      }
      outputs += some;
      if (some) shown.push(p);
    }
    const rank = key(visible);
    if (rank) {
      const ranks = new Float64Array(prompts);
      for (const p of shown) ranks[p] = rank(p);
      shown.sort((a, b) => ranks[b] - ranks[a] || a - b);
    }
    drawn = 0;
    list.replaceChildren();
    draw();
    tell();
  };

  const tell = () => {
    const part = value("words").trim() && loaded < data.chunks.length ? `; ${loaded} of ${data.chunks.length} files of texts searched so far` : "";
    count.textContent = `${shown.length.toLocaleString("en")} of ${prompts.toLocaleString("en")} prompts, ${outputs.toLocaleString("en")} outputs${part}`;
  };

  // Words that were found are marked; all text is text, whatever it looks like.
  const marked = (parent, content) => {
    const query = found.query;
    if (!query) { parent.textContent = content; return; }
    const pattern = new RegExp(query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu");
    let end = 0;
    for (const match of content.matchAll(pattern)) {
      parent.append(content.slice(end, match.index));
      element(parent, "mark", "", match[0]);
      end = match.index + match[0].length;
    }
    parent.append(content.slice(end));
  };

  const answer = (parent, p, row) => {
    const c = data.cell[row], status = data.statuses[data.status[row]];
    const box = element(parent, "div", "response answer");
    const who = element(box, "div", "who"), name = element(who, "span"), facts = element(who, "span");
    const marker = markers.get(data.cells.method[c]);
    if (marker) name.append(marker.cloneNode(true));
    name.append(data.cells.label[c]);
    if (status !== "ok") { element(facts, "span", "badge", status); facts.append(" "); }
    const trial = data.trial[row] ? ` · sample ${data.trial[row] + 1}` : "";
    facts.append(`${data.cells.size[c]} · seed ${data.cells.seed[c]}${trial} · ${data.tokens[row]} tokens`);
    marked(element(box, "div", "text"), response(p, row).replace(/^\s+/, ""));
    const line = element(box, "div", "scores");
    for (const objective of data.objectives) {
      const score = scores[objective.name][row];
      const item = element(line, "span", "", `${objective.label} `);
      element(item, "b", "", Number.isNaN(score) ? "–" : number(score));
    }
  };

  const answers = (parent, p, from, to) => {
    const grid = parent.querySelector(".responses") || element(parent, "div", "responses");
    const fitting = [], front = value("order") === "difference" ? [value("first"), value("second")] : [];
    for (let row = data.first[p]; row < data.first[p + 1]; row += 1) if (matches[row]) fitting.push(row);
    const place = (row) => { const at = front.indexOf(data.cells.method[data.cell[row]]); return at < 0 ? front.length : at; };
    fitting.sort((a, b) => place(a) - place(b) || a - b);
    for (const row of fitting.slice(from, to)) answer(grid, p, row);
    if (fitting.length > to) {
      const rest = element(parent, "button", "", `${fitting.length - to} more outputs of this prompt`);
      rest.type = "button";
      rest.addEventListener("click", () => { rest.remove(); answers(parent, p, to, Infinity); });
    }
  };

  const fillIn = (sample) => {
    const p = Number(sample.dataset.prompt);
    sample.replaceChildren();
    delete sample.dataset.waits;
    marked(element(sample, "div", "prompt"), prompt(p).trim());
    if (value("order") === "difference") {
      const objective = data.objectives.find((o) => o.name === value("objective")), visible = visibleCells();
      const [one, two] = ["first", "second"].map((id) => mean(p, ofMethod(value(id), visible), scores[objective.name]));
      const named = ["first", "second"].map((id) => controls[id].selectedOptions[0].textContent);
      const said = Number.isNaN(one - two) ? "no value of both" : `${number(one)} less ${number(two)} = ${number(one - two)}`;
      element(sample, "p", "about", `${objective.label}, ${named[0]} less ${named[1]}: ${said}`);
    }
    if (reference(p)) {
      const box = element(sample, "div", "response reference"), who = element(box, "div", "who");
      element(who, "span", "", "Reference response");
      element(box, "div", "text", reference(p).trim());
    }
    answers(sample, p, 0, BESIDE);
  };

  const draw = () => {
    for (const p of shown.slice(drawn, drawn + PAGE)) {
      const sample = element(list, "section", "sample");
      sample.dataset.prompt = p;
      sample.setAttribute("aria-label", `Prompt ${p + 1}`);
      if (prompt(p) === undefined) {
        sample.dataset.waits = chunkOf[p];
        element(sample, "p", "note-text", "Loading…");
        load(chunkOf[p]);
      } else fillIn(sample);
    }
    drawn = Math.min(shown.length, drawn + PAGE);
    more.hidden = drawn >= shown.length;
  };

  let pause = 0;
  for (const [id, control] of Object.entries(controls)) {
    if (!control) continue;
    const soon = id === "words" || id === "low" || id === "high";
    control.addEventListener(soon ? "input" : "change", () => {
      clearTimeout(pause);
      if (soon) pause = setTimeout(update, 150); else update();
    });
  }
  get("reset").addEventListener("click", () => setTimeout(() => {
    for (const chip of document.querySelectorAll(".chip[data-kind]")) chip.setAttribute("aria-pressed", "true");
    off.method.clear(); off.size.clear();
    update();
  }, 0));
  document.querySelector("form").addEventListener("submit", (event) => { event.preventDefault(); update(); });
  for (const chip of document.querySelectorAll(".chip[data-kind]")) {
    chip.addEventListener("click", () => {
      const on = chip.getAttribute("aria-pressed") !== "true";
      chip.setAttribute("aria-pressed", String(on));
      off[chip.dataset.kind][on ? "delete" : "add"](chip.dataset.value);
      update();
    });
  }
  more.addEventListener("click", draw);
  new IntersectionObserver((entries) => { if (entries[0].isIntersecting && !more.hidden) draw(); }, { rootMargin: "600px" }).observe(more);
  return { index, text, update, get loaded() { return data ? loaded / data.chunks.length : 0; } };
})();

"use strict";
(() => {
  const details = JSON.parse(document.getElementById("details").textContent);
  const all = (query, within = document) => [...within.querySelectorAll(query)];

  // Toggles: an element is hidden while its method, its size or its objective is switched off.
  const off = { method: new Set(), size: new Set(), objective: new Set() };
  const apply = () => {
    for (const element of all("[data-method], [data-size], [data-objective]")) {
      if (element.closest(".tools")) continue;
      const hide = Object.keys(off).some((kind) => off[kind].has(element.dataset[kind]));
      element.classList.toggle("hidden", hide);
    }
    filterSamples();
  };
  for (const chip of all(".chip[data-kind]")) {
    chip.addEventListener("click", () => {
      const on = chip.getAttribute("aria-pressed") !== "true";
      chip.setAttribute("aria-pressed", String(on));
      off[chip.dataset.kind][on ? "delete" : "add"](chip.dataset.value);
      apply();
    });
  }
  const bands = document.getElementById("bands");
  if (bands) bands.addEventListener("click", () => {
    const on = bands.getAttribute("aria-pressed") !== "true";
    bands.setAttribute("aria-pressed", String(on));
    document.body.classList.toggle("bands", on);
  });

  // Points: hover or focus shows a card, click or Enter pins it so that its fold can be opened, Escape closes it.
  const tip = document.getElementById("tip");
  let pinned = null;
  const line = (parent, tag, text) => {
    const element = document.createElement(tag);
    element.textContent = text;
    parent.append(element);
    return element;
  };
  const grid = (parent, rows) => {
    const table = parent.appendChild(document.createElement("table"));
    for (const row of rows) {
      const tr = table.appendChild(document.createElement("tr"));
      for (const cell of row) line(tr, "td", cell);
    }
  };
  const beside = (box, at) => {
    const { width, height } = box.getBoundingClientRect();
    const right = at.right + 12 + width < innerWidth;
    const left = right ? at.right + 12 : Math.max(10, Math.min(at.left - width - 12, innerWidth - width - 10));
    box.style.left = `${left}px`;
    box.style.top = `${Math.max(10, Math.min(at.top - 20, innerHeight - height - 10))}px`;
  };
  let unfolded = false; // as the reader left the last card
  const show = (point) => {
    const detail = details[point.dataset.point];
    tip.replaceChildren();
    line(tip, "b", detail.title);
    grid(tip, detail.short);
    if (detail.membership) line(tip, "div", detail.membership);
    const more = tip.appendChild(document.createElement("details"));
    more.open = unfolded;
    line(more, "summary", "Parameters, further objectives, cost, command");
    if (detail.parameters) line(more, "div", detail.parameters);
    line(more, "div", detail.seeds);
    grid(more, detail.rows);
    line(more, "div", detail.cost);
    if (detail.command) line(more, "code", detail.command);
    const place = () => beside(tip, point.querySelector(".marker").getBoundingClientRect());
    more.addEventListener("toggle", () => { unfolded = more.open; place(); });
    tip.hidden = false;
    tip.classList.toggle("pinned", pinned === point);
    place();
    for (const other of all(".point.active")) other.classList.remove("active");
    for (const twin of all(".point")) twin.classList.toggle("active", twin.dataset.point === point.dataset.point);
  };
  const hide = () => {
    tip.hidden = true;
    pinned = null;
    for (const other of all(".point.active")) other.classList.remove("active");
  };
  for (const point of all(".point")) {
    point.addEventListener("mouseenter", () => { if (!pinned) show(point); });
    point.addEventListener("mouseleave", () => { if (!pinned) hide(); });
    point.addEventListener("focus", () => { if (!pinned) show(point); });
    point.addEventListener("blur", () => { if (!pinned) hide(); });
    point.addEventListener("click", (event) => { event.stopPropagation(); pinned = point; show(point); });
    point.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        pinned = point;
        show(point);
        tip.querySelector("summary").focus();
      }
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const back = pinned;
    hide();
    if (back) { back.focus({ preventScroll: true }); hide(); }
  });
  document.addEventListener("click", (event) => { if (pinned && !tip.contains(event.target)) hide(); });
  addEventListener("scroll", () => { if (!pinned && !tip.hidden) hide(); }, { passive: true });

  // Terms and column heads: hover or focus shows the definition.
  const hint = document.getElementById("hint");
  for (const term of all("[data-def]")) {
    const open = () => {
      hint.textContent = term.dataset.def;
      hint.hidden = false;
      const at = term.getBoundingClientRect();
      const box = hint.getBoundingClientRect();
      hint.style.left = `${Math.max(10, Math.min(at.left, innerWidth - box.width - 10))}px`;
      hint.style.top = `${at.bottom + 8 + box.height < innerHeight ? at.bottom + 8 : at.top - box.height - 8}px`;
    };
    const close = () => { hint.hidden = true; };
    term.addEventListener("mouseenter", open);
    term.addEventListener("focus", open);
    term.addEventListener("mouseleave", close);
    term.addEventListener("blur", close);
  }
  addEventListener("scroll", () => { hint.hidden = true; }, { passive: true });

  // Tables: a head sorts, largest first for numbers; a second click reverses, a third restores the order of the page.
  for (const table of all("table.sortable")) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    const text = new Intl.Collator("en", { numeric: true });
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const cell = (row) => row.cells[column];
      const numeric = original.some((row) => "sort" in cell(row).dataset);
      const cycle = numeric ? ["descending", "ascending"] : ["ascending", "descending"];
      const order = cycle[cycle.indexOf(head.getAttribute("aria-sort")) + 1];
      for (const other of heads) other.removeAttribute("aria-sort");
      table.classList.toggle("sorted", Boolean(order));
      if (!order) { body.append(...original); return; }
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const lacks = (row) => (numeric ? !("sort" in cell(row).dataset) : !cell(row).textContent.trim());
      const compare = (one, two) => (numeric
        ? Number(cell(one).dataset.sort) - Number(cell(two).dataset.sort)
        : text.compare(cell(one).textContent.trim(), cell(two).textContent.trim()));
      // a row without a value comes last in either order
      body.append(...[...original].sort((one, two) => lacks(one) - lacks(two) || (lacks(one) ? 0 : sign * compare(one, two))));
    }));
  }

  // Contents: folded on a small screen, the section in view is marked, and a link opens the fold that it leads to.
  const contents = document.querySelector(".contents");
  if (matchMedia("(max-width: 640px)").matches) contents.open = false;
  const links = new Map(all("a", contents).map((link) => [link.hash.slice(1), link]));
  const sections = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
  const mark = () => {
    const above = sections.filter((section) => section.getBoundingClientRect().top < innerHeight / 3);
    const now = (above.at(-1) || sections[0])?.id;
    for (const [id, link] of links) {
      if (id === now) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  addEventListener("scroll", mark, { passive: true });
  mark();
  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let fold = target?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    if (target?.closest("details")) target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  // Samples: free text over prompts and responses, and one status.
  const words = document.getElementById("words");
  const status = document.getElementById("status");
  const which = document.getElementById("which");
  function filterSamples() {
    if (!words) return;
    const wanted = words.value.trim().toLowerCase();
    for (const sample of all(".sample")) {
      const prompt = sample.querySelector(".prompt").textContent.toLowerCase();
      let shown = 0;
      for (const response of all(".answer", sample)) {
        const text = response.querySelector(".text").textContent.toLowerCase();
        const fits = (!wanted || prompt.includes(wanted) || text.includes(wanted))
          && (!status.value || response.dataset.status === status.value)
          && (!which.value || "chosen" in response.dataset);
        response.style.display = fits ? "" : "none";
        if (fits && !response.classList.contains("hidden") && !response.closest(".hidden")) shown += 1;
      }
      sample.style.display = shown ? "" : "none";
    }
  }
  if (words) { words.addEventListener("input", filterSamples); status.addEventListener("change", filterSamples); which.addEventListener("change", filterSamples); filterSamples(); }
})();

"use strict";
(() => {
  const root = document.documentElement;
  const details = JSON.parse(document.getElementById("details").textContent);
  const all = (query, within = document) => [...within.querySelectorAll(query)];

  // Theme: the system's until the reader chooses; a file opened from disk may have no storage.
  const stored = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
  const system = matchMedia("(prefers-color-scheme: dark)");
  const theme = (name) => { root.dataset.theme = name; };
  theme(stored || (system.matches ? "dark" : "light"));
  system.addEventListener("change", (event) => { if (!stored) theme(event.matches ? "dark" : "light"); });
  document.getElementById("theme").addEventListener("click", () => {
    const next = root.dataset.theme === "dark" ? "light" : "dark";
    theme(next);
    try { localStorage.setItem("theme", next); } catch { /* the choice then lasts for this page only */ }
  });

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

  // Points: hover or focus shows a card, click or Enter pins it, Escape closes it.
  const tip = document.getElementById("tip");
  let pinned = null;
  const line = (parent, tag, text) => {
    const element = document.createElement(tag);
    element.textContent = text;
    parent.append(element);
    return element;
  };
  const show = (point) => {
    const detail = details[point.dataset.point];
    tip.replaceChildren();
    line(tip, "b", detail.title);
    if (detail.parameters) line(tip, "div", detail.parameters);
    line(tip, "div", detail.seeds);
    const table = tip.appendChild(document.createElement("table"));
    for (const row of detail.rows) {
      const tr = table.appendChild(document.createElement("tr"));
      for (const cell of row) line(tr, "td", cell);
    }
    for (const text of [detail.membership, detail.cost]) if (text) line(tip, "div", text);
    if (detail.command) line(tip, "code", detail.command);
    tip.hidden = false;
    const at = point.querySelector(".marker").getBoundingClientRect();
    const box = tip.getBoundingClientRect();
    const right = at.right + 12 + box.width < innerWidth;
    const left = right ? at.right + 12 : Math.max(10, Math.min(at.left - box.width - 12, innerWidth - box.width - 10));
    tip.style.left = `${left}px`;
    tip.style.top = `${Math.max(10, Math.min(at.top - 20, innerHeight - box.height - 10))}px`;
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
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pinned = point; show(point); }
    });
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.addEventListener("click", (event) => { if (pinned && !tip.contains(event.target)) hide(); });
  addEventListener("scroll", () => { if (!pinned && !tip.hidden) hide(); }, { passive: true });

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
      for (const response of all(".response", sample)) {
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

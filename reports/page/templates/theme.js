// Theme: the system's until the reader chooses; a file opened from disk may have no storage.
(() => {
  const root = document.documentElement;
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
})();

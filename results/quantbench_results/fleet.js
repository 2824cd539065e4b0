// SPDX-License-Identifier: Apache-2.0
"use strict";
// Of the page on many machines: a field that filters the lines of machines, titles that sort.
(() => {
  const lines = [...document.querySelectorAll("tr[data-m]")];
  const machines = new Set([...document.querySelectorAll("#machines tr[data-m]")]);
  const field = document.getElementById("find");
  field.addEventListener("input", () => {
    const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const line of lines) {
      const text = line.dataset.m.toLowerCase();
      line.hidden = !wanted.every((word) => text.includes(word));
      if (!line.hidden && machines.has(line)) shown += 1;
    }
    document.getElementById("found").textContent =
      wanted.length ? `${shown} of ${machines.size}` : "";
  });

  const number = (text) => {
    const found = /^([\d.]+)(?: ([TGMk]?)[A-Za-z/]+)?$/.exec(text);
    if (!found) return null;
    return Number(found[1]) * ({T: 1e12, G: 1e9, M: 1e6, k: 1e3}[found[2]] || 1);
  };
  const compare = (a, b) => {
    const [x, y] = [number(a), number(b)];
    return x !== null && y !== null ? x - y : a.localeCompare(b);
  };
  for (const table of document.querySelectorAll("table")) {
    const titles = [...table.querySelectorAll("th")];
    titles.forEach((title, column) => title.addEventListener("click", () => {
      const up = title.getAttribute("aria-sort") !== "ascending";
      titles.forEach((other) => other.removeAttribute("aria-sort"));
      title.setAttribute("aria-sort", up ? "ascending" : "descending");
      const text = (line) => line.cells[column].textContent;
      const sorted = [...table.tBodies[0].rows].sort((a, b) => {
        const [x, y] = [text(a), text(b)];
        if (!x || !y) return !x - !y;  // without a figure: last, both ways
        return (up ? 1 : -1) * compare(x, y);
      });
      table.tBodies[0].append(...sorted);
    }));
  }
})();

// The web edition: tables that sort by a click on a heading, and what a term of the glossary says while it is pointed at.
"use strict";

function valueOf(row, column) {
  const text = (row.cells[column]?.textContent ?? "").trim();
  const found = text.replace(/\u2212/g, "-").match(/^[+-]?(\d[\d,]*\.?\d*|\.\d+)(e[+-]?\d+)?/i);
  return found ? Number(found[0].replace(/,/g, "")) : text.toLowerCase();
}

function compare(a, b) {
  if (a === "" || b === "") return (a === "") - (b === ""); // empty cells last, whichever the direction
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return typeof a === "number" ? a - b : a.localeCompare(b);
}

function sortBy(table, column, heading) {
  const down = heading.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = table.tBodies[0];
  const keyed = Array.from(body.rows, (row) => [valueOf(row, column), row]);
  keyed.sort(([a], [b]) => (a === "" || b === "" ? compare(a, b) : down ? compare(b, a) : compare(a, b)));
  body.append(...keyed.map(([, row]) => row));
}

function makeSortable(table) {
  if (!table.tHead || table.tHead.rows.length !== 1 || !table.tBodies.length || table.tBodies[0].rows.length < 2) return;
  if (!table.tHead.textContent.trim()) return; // pairs of a name and a value
  for (const cell of table.tBodies[0].querySelectorAll("td")) { // a number and its interval stay in one line
    if (/^[+-]?\d/.test(cell.textContent) && cell.textContent.length < 32) cell.className = "number";
  }
  Array.from(table.tHead.rows[0].cells).forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...heading.childNodes);
    if (!button.textContent.trim()) button.setAttribute("aria-label", "sort by this column");
    button.addEventListener("click", () => sortBy(table, column, heading));
    heading.append(button);
  });
}

function tellTerms() {
  const box = document.createElement("div");
  box.id = "says";
  box.setAttribute("role", "tooltip");
  box.hidden = true;
  document.body.append(box);
  const show = (term) => {
    box.textContent = term.dataset.says;
    box.hidden = false;
    const at = term.getBoundingClientRect();
    const own = box.getBoundingClientRect();
    const left = Math.min(Math.max(at.left, 8), document.documentElement.clientWidth - own.width - 8);
    const below = at.bottom + 6 + own.height < window.innerHeight;
    box.style.left = `${left}px`;
    box.style.top = `${below ? at.bottom + 6 : Math.max(at.top - own.height - 6, 4)}px`;
    term.setAttribute("aria-describedby", "says");
  };
  const hide = () => { box.hidden = true; };
  for (const term of document.querySelectorAll("a.term")) {
    term.addEventListener("mouseenter", () => show(term));
    term.addEventListener("focus", () => show(term));
    term.addEventListener("mouseleave", hide);
    term.addEventListener("blur", hide);
    term.addEventListener("click", (event) => { // a finger: the first touch says it, the second follows
      if (window.matchMedia("(hover: none)").matches && box.dataset.for !== term.dataset.says) {
        event.preventDefault();
        show(term);
        box.dataset.for = term.dataset.says;
      }
    });
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.addEventListener("scroll", hide, { passive: true });
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("article table").forEach(makeSortable);
  tellTerms();
});

"use strict";
// Without a script the table is whole, and only cannot be filtered or sorted.
const form = document.getElementById("filter");
const words = document.getElementById("words");
const shown = document.getElementById("shown");
const body = document.querySelector("tbody");
const rows = Array.from(body.rows, (row) => ({ row, text: row.textContent.toLowerCase() }));

function filter() {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  const ranks = new Set(Array.from(form.querySelectorAll(":checked"), (box) => box.value));
  let count = 0;
  for (const { row, text } of rows) {
    row.hidden = !ranks.has(row.dataset.rank) || !wanted.every((word) => text.includes(word));
    count += row.hidden ? 0 : 1;
  }
  shown.textContent = `${count} of ${rows.length} shown`;
}

function sort(heading) {
  const column = heading.cellIndex;
  const up = heading.getAttribute("aria-sort") === "descending" || !heading.hasAttribute("aria-sort");
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  const number = heading.dataset.sort === "number";
  const key = (row) => (number ? parseFloat(row.cells[column].textContent) : row.cells[column].textContent);
  const sign = up ? 1 : -1;
  const missing = (value) => (number ? Number.isNaN(value) : value === "");
  const ordered = Array.from(body.rows).sort((one, other) => {
    const [a, b] = [key(one), key(other)];
    if (missing(a) || missing(b)) return missing(a) - missing(b);  // what has no value stays below
    return a < b ? -sign : a > b ? sign : 0;
  });
  body.append(...ordered);
}

for (const heading of document.querySelectorAll("th[data-sort]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = heading.textContent;
  button.addEventListener("click", () => sort(heading));
  heading.replaceChildren(button);
}
form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
form.hidden = false;
filter();

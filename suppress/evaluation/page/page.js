"use strict";

// The button turns the colours that the system asks for into the others.
const dark = matchMedia("(prefers-color-scheme: dark)");
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement.style;
  const now = root.colorScheme || (dark.matches ? "dark" : "light");
  root.colorScheme = now === "dark" ? "light" : "dark";
});

// A header sorts its column: the best values first, then the other way round. Empty cells stay at the end.
// A cell is a number, or else words; the names of the rows are words.
function sortBy(header, index) {
  const button = header.querySelector("button");
  const opposite = { ascending: "descending", descending: "ascending" };
  const order = opposite[header.getAttribute("aria-sort")] || button.dataset.first;
  for (const other of header.parentElement.children) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const body = header.closest("table").tBodies[0];
  const key = (row) => row.cells[index].dataset.sort ?? row.cells[index].textContent.trim();
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const difference = Number(a) - Number(b);
    return sign * (Number.isNaN(difference) ? a.localeCompare(b, "en") : difference);
  };
  body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b))));
}
for (const header of document.querySelectorAll("thead th")) {
  header.querySelector("button").addEventListener("click", () => sortBy(header, header.cellIndex));
}

// A slider moves the line between the original and the edited picture above it.
for (const slider of document.querySelectorAll(".sample input")) {
  slider.addEventListener("input", () => {
    slider.previousElementSibling.style.setProperty("--shown", `${slider.value}%`);
  });
}

// A circle of the plot shows its name beside it, and its numbers below the plot.
const label = document.getElementById("plot-label");
function show(circle) {
  label.textContent = circle.dataset.name;
  label.setAttribute("x", circle.dataset.label);
  label.setAttribute("y", Number(circle.getAttribute("cy")) + 5);
  label.setAttribute("text-anchor", circle.dataset.anchor);
  document.getElementById("plot-text").textContent = `${circle.getAttribute("aria-label")}.`;
}
for (const circle of document.querySelectorAll(".point")) {
  for (const event of ["focus", "pointerenter", "click"]) circle.addEventListener(event, () => show(circle));
}

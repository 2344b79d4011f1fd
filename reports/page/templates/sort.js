"use strict";
// Tables sort by a click on a heading: up, down, and back to the order of the page. Without this script they are as they are.
for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0], rows = [...body.rows];
  const value = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
  const compare = (a, b) => (a === "") - (b === "") || a - b || a.localeCompare(b, "en", { numeric: true });
  const turn = { none: "ascending", ascending: "descending", descending: "none" };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const way = turn[head.ariaSort ?? "none"], sign = way === "descending" ? -1 : 1;
      for (const each of heads) each.ariaSort = null;
      const order = [...rows];
      if (way !== "none") {
        head.ariaSort = way;
        order.sort((a, b) => {
          const [one, two] = [value(a, column), value(b, column)];
          return one === "" || two === "" ? compare(one, two) : sign * compare(one, two);
        });
      }
      table.classList.toggle("sorted", way !== "none");
      body.append(...order);
    });
  });
}

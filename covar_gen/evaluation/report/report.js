// Tables are sorted by a click on a heading: once, the other way round, and as they were.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  if (body.rows.length < 2) continue;
  const order = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    if (!heads[column].classList.contains("number")) return cell.textContent.trim();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
  const sort = (column, way) => {
    const rows = order.map((row) => [valueOf(row, column), row]);
    // What has no number stands last, whichever way.
    if (way) rows.sort(([a], [b]) => (a === null ? b !== null : b === null ? -1 : way * compare(a, b)));
    body.append(...rows.map(([, row]) => row));
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    const first = head.classList.contains("number") ? -1 : 1;
    const ways = [first, -first, 0];
    let clicks = 0;
    button.addEventListener("click", () => {
      const way = head.hasAttribute("aria-sort") || clicks % 3 === 0 ? ways[clicks % 3] : ((clicks = 0), first);
      for (const other of heads) other.removeAttribute("aria-sort");
      if (way) head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
      sort(column, way);
      clicks += 1;
    });
  });
}

// On paper nothing is folded, in browsers too whose style sheets cannot say so.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const fold of opened) fold.open = true;
});
addEventListener("afterprint", () => {
  for (const fold of opened) fold.open = false;
});

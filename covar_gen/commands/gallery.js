// Draws what gallery_data.js, before this in the same scope, has read.

// --- The grid: rows are made at once and empty; their tiles come and go with the view.
const grid = byId("grid");
const rows = [];
const filled = new Set();
let columns = [];
let matching = [];
let current = -1;

const breakable = (slug) => slug.split("_").flatMap((part, n) => (n ? ["_", make("wbr"), part] : [part]));
const tile = (row, i, shown) => {
  const button = make("button", { type: "button", class: "tile", "data-image": i, "data-row": row });
  // A source photograph stands in several rows, but is reached with Tab in one of them only.
  button.tabIndex = i === current && data.row[i] === row ? 0 : -1;
  button.classList.toggle("ghost", !shown);
  const words = description(row, i);
  const wrong = rejected(i) ? value("reason", i) ?? "rejected" : value("image", i) === null ? "no image" : trouble("image", i);
  if (wrong !== null) {
    button.classList.add("trouble");
    button.setAttribute("aria-label", words);
    button.append(...breakable(wrong));
    return button;
  }
  button.append(make("img", { src: thumb("image", i), alt: words, loading: "lazy", decoding: "async" }));
  if (state.masks && has("mask", i)) {
    button.append(make("img", { src: thumb("mask", i), alt: "", class: "mask", loading: "lazy", decoding: "async" }));
  }
  return button;
};
const cell = (row, images, shown, extra = "") => {
  const node = make("div", { class: `cell ${extra}`, role: "gridcell" });
  if (images.length === 1) node.append(tile(row, images[0], shown.has(images[0])));
  else if (images.length) node.append(make("div", { class: "several" }, ...images.map((i) => tile(row, i, shown.has(i)))));
  const words = images.filter((i) => shown.has(i)).map(caption).filter(Boolean);
  if (words.length && !extra) node.append(make("span", { class: "caption" }, words.join(" ")));
  return node;
};
const fillRow = (row) => {
  const shown = new Set(matching[row]);
  const cells = [];
  if (!plain) {
    const image = data.reference[row];
    cells.push(cell(row, image < 0 ? [] : [image], new Set([image]), "reference"));
  }
  for (const { place } of columns) {
    cells.push(cell(row, members[row].filter((i) => data.column[i] === place), shown));
  }
  rows[row].replaceChildren(rows[row].firstChild, ...cells);
  filled.add(row);
};
const emptyRow = (row) => {
  if (rows[row].contains(document.activeElement)) return;
  rows[row].replaceChildren(rows[row].firstChild);
  filled.delete(row);
};
const makeRows = () => {
  const all = document.createDocumentFragment();
  for (let row = 0; row < rowCount; row += 1) {
    const label = make("div", { class: "label", role: "rowheader" });
    for (const [name, text] of [
      ["class", className(row)], ["background", backgroundName(row)], ["key", value("key", data.base[row])],
    ]) {
      // The inner element keeps a key's own direction inside the box that cuts its beginning.
      if (text !== null) label.append(make("div", { class: name, title: text }, make("bdi", {}, String(text))));
    }
    rows.push(make("div", { class: "row", role: "row", "data-row": row }, label));
    all.append(rows[row]);
  }
  grid.append(all);
};
const drawHead = () => {
  const head = make("div", { class: "head", role: "row" }, make("div", { role: "columnheader" }, "base image"));
  if (!plain) head.append(make("div", { role: "columnheader" }, "original"));
  for (const { label } of columns) head.append(make("div", { role: "columnheader", title: label }, label));
  grid.querySelector(".head")?.remove();
  grid.prepend(head);
  document.documentElement.style.setProperty("--columns", String(Math.max(columns.length, 1)));
};

let printing = false;
const watcher = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      const row = Number(target.dataset.row);
      if (isIntersecting && !filled.has(row)) fillRow(row);
      else if (!isIntersecting && filled.has(row) && !printing) emptyRow(row);
    }
  },
  { rootMargin: "1200px 0px" },
);

const draw = () => {
  columns = shownColumns();
  matching = rows.map((_, row) => matchingOf(row));
  drawHead();
  let rowsShown = 0;
  let imagesShown = 0;
  rows.forEach((node, row) => {
    node.hidden = matching[row].length === 0;
    rowsShown += matching[row].length > 0;
    imagesShown += matching[row].length;
  });
  const focused = Number(document.activeElement?.dataset?.image ?? -1);
  const first = matching.find((images) => images.length);
  if (current < 0 || !matching[data.row[current]]?.includes(current)) current = first ? first[0] : -1;
  // What the first window shows is drawn at once; the watcher brings the rest.
  const near = filled.size ? [...filled] : rows.map((_, row) => row).filter((row) => !rows[row].hidden).slice(0, 12);
  for (const row of near) fillRow(row);
  if (focused >= 0) grid.querySelector(`[data-image="${focused}"]`)?.focus({ preventScroll: true });
  const out = byId("shown");
  out.dataset.rows = rowsShown;
  out.dataset.images = imagesShown;
  const count = (n) => make("b", {}, n.toLocaleString("en"));
  out.replaceChildren(count(imagesShown), ` ${imagesShown === 1 ? "image" : "images"} in `, count(rowsShown), ` ${rowsShown === 1 ? "row" : "rows"}`);
  byId("nothing").hidden = rowsShown > 0;
  drawControls();
};
const drawControls = () => {
  for (const name of ["class", "background", "status"]) byId(name).value = state[name];
  for (const chip of document.querySelectorAll("[data-subset]")) {
    chip.setAttribute("aria-pressed", String(state.subset.has(chip.dataset.subset)));
  }
  for (const chip of document.querySelectorAll("[data-status]")) {
    chip.setAttribute("aria-pressed", String(state.status === chip.dataset.status));
  }
  for (const id of ["masks", "box-masks"]) byId(id).setAttribute("aria-pressed", String(state.masks));
  byId("clear").hidden = !(state.class || state.background || state.status || state.subset.size);
};
const changed = () => {
  hideTip();
  draw();
  writeAddress();
};

// --- Hover and focus.
const tip = byId("tip");
const hideTip = () => {
  tip.hidden = true;
  document.querySelector("[aria-describedby=tip]")?.removeAttribute("aria-describedby");
};
const showTip = (button) => {
  hideTip();
  const i = Number(button.dataset.image);
  const list = make("dl");
  fill(list, HOVER, i);
  tip.replaceChildren(make("strong", {}, description(Number(button.dataset.row), i)), list);
  tip.hidden = false;
  button.setAttribute("aria-describedby", "tip");
  const [at, size] = [button.getBoundingClientRect(), tip.getBoundingClientRect()];
  const below = at.bottom + 6 + size.height <= innerHeight;
  tip.style.top = `${Math.max(4, below ? at.bottom + 6 : at.top - size.height - 6)}px`;
  tip.style.left = `${Math.max(4, Math.min(at.left, document.documentElement.clientWidth - size.width - 8))}px`;
};
grid.addEventListener("pointerover", (event) => {
  const button = event.target.closest(".tile");
  if (button) showTip(button);
  else hideTip();
});
grid.addEventListener("pointerleave", hideTip);
grid.addEventListener("focusin", (event) => {
  const button = event.target.closest(".tile");
  if (!button) return;
  grid.querySelector(".tile[tabindex='0']")?.setAttribute("tabindex", "-1");
  button.tabIndex = 0;
  current = Number(button.dataset.image);
  if (button.matches(":focus-visible")) showTip(button);
});
grid.addEventListener("focusout", hideTip);
addEventListener("scroll", hideTip, { passive: true });

// --- Moving among tiles with the arrow keys, in the grid as in the box.
const place = { row: -1, image: -1 };
const nextRow = (row, step) => {
  let next = row + step;
  while (next >= 0 && next < rowCount && !matching[next].length) next += step;
  return next >= 0 && next < rowCount ? next : -1;
};
const neighbour = (row, image, key) => {
  const step = key === "ArrowLeft" || key === "ArrowUp" ? -1 : 1;
  if (key === "ArrowUp" || key === "ArrowDown") {
    const next = nextRow(row, step);
    if (next < 0) return null;
    const alike = matching[next].filter((i) => data.column[i] <= data.column[image]);
    return [next, alike.length ? alike[alike.length - 1] : matching[next][0]];
  }
  const found = matching[row].indexOf(image);
  // A picture that is shown only as a reference stands before the first of its row.
  const at = (found < 0 && step < 0 ? 0 : found) + step;
  if (at >= 0 && at < matching[row].length) return [row, matching[row][at]];
  const next = nextRow(row, step);
  if (next < 0) return null;
  return [next, matching[next][step > 0 ? 0 : matching[next].length - 1]];
};
grid.addEventListener("keydown", (event) => {
  const button = event.target.closest(".tile");
  if (!button || !event.key.startsWith("Arrow")) return;
  event.preventDefault();
  const found = neighbour(Number(button.dataset.row), Number(button.dataset.image), event.key);
  if (!found) return;
  const [row, image] = found;
  if (!filled.has(row)) fillRow(row);
  rows[row].querySelector(`[data-image="${image}"]`)?.focus();
});

// --- The box: one image, its mask, all its columns.
const box = byId("box");
const inBox = (wrong, detail) => make("div", { class: "box-trouble" }, wrong, make("small", {}, detail ?? ""));
const showInBox = (row, i) => {
  Object.assign(place, { row, image: i });
  state.open = value("key", i);
  const about = make("span", {}, [className(row), backgroundName(row)].filter(Boolean).join(" · "));
  byId("box-title").replaceChildren(title(i), about);
  const picture = byId("box-picture");
  const wrong = rejected(i) ? "rejected" : value("image", i) === null ? "no image" : trouble("image", i);
  if (wrong !== null) {
    const detail = rejected(i) ? value("reason", i) : value("image", i);
    picture.replaceChildren(inBox(wrong, detail));
  } else {
    const image = make("img", { src: full("image", i), alt: description(row, i) });
    image.addEventListener("error", () => {
      if (place.image === i) picture.replaceChildren(inBox("this file cannot be shown", value("image", i)));
    });
    picture.replaceChildren(image);
    if (state.masks && has("mask", i)) picture.append(make("img", { src: full("mask", i), alt: "the object's mask", class: "mask" }));
  }
  fill(byId("box-columns"), [...fields.keys()], i);
  if (trouble("mask", i) !== null) {
    byId("box-columns").append(make("dt", { class: "bad" }, "mask"), make("dd", { class: "bad" }, trouble("mask", i)));
  }
  byId("box-back").disabled = !neighbour(row, i, "ArrowLeft");
  byId("box-on").disabled = !neighbour(row, i, "ArrowRight");
  if (!box.open) box.showModal();
  writeAddress();
};
const openByKey = (key) => {
  const keyOf = fields.get("key");
  for (let i = 0; i < data.row.length; i += 1) {
    if (keyOf(i) !== key) continue;
    rows[data.row[i]].scrollIntoView({ block: "center" });
    showInBox(data.row[i], i);
    return;
  }
  state.open = "";
};
const move = (key) => {
  const found = neighbour(place.row, place.image, key);
  if (found) showInBox(...found);
};
grid.addEventListener("click", (event) => {
  const button = event.target.closest(".tile");
  if (!button) return;
  hideTip();
  showInBox(Number(button.dataset.row), Number(button.dataset.image));
});
box.addEventListener("close", () => {
  state.open = "";
  writeAddress();
  const { row, image } = place;
  if (row < 0 || rows[row].hidden) return;
  if (!filled.has(row)) fillRow(row);
  rows[row].scrollIntoView({ block: "nearest" });
  rows[row].querySelector(`[data-image="${image}"]`)?.focus({ preventScroll: true });
});
box.addEventListener("click", (event) => {
  if (event.target === box) box.close();
});
box.addEventListener("keydown", (event) => {
  if (!event.key.startsWith("Arrow")) return;
  // The list of columns scrolls with the upright arrows while it has the focus.
  if (event.target.id === "box-columns" && /Up|Down/.test(event.key)) return;
  event.preventDefault();
  move(event.key);
});
byId("box-back").addEventListener("click", () => move("ArrowLeft"));
byId("box-on").addEventListener("click", () => move("ArrowRight"));
byId("box-close").addEventListener("click", () => box.close());

// --- Controls.
const toggleMasks = () => {
  state.masks = !state.masks;
  changed();
  if (box.open) showInBox(place.row, place.image);
};
for (const id of ["masks", "box-masks"]) byId(id).addEventListener("click", toggleMasks);
for (const name of ["class", "background", "status"]) {
  byId(name).addEventListener("change", (event) => {
    state[name] = event.target.value;
    changed();
  });
}
for (const chip of document.querySelectorAll(".chip")) {
  chip.addEventListener("click", () => {
    const { subset, status } = chip.dataset;
    if (subset === undefined) state.status = state.status === status ? "" : status;
    else if (!state.subset.delete(subset)) state.subset.add(subset);
    changed();
  });
}
byId("clear").addEventListener("click", () => {
  Object.assign(state, { class: "", background: "", status: "", subset: new Set() });
  changed();
  byId("class").focus();
});
addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "m" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("select")) return;
  toggleMasks();
});
addEventListener("hashchange", () => {
  readAddress();
  draw();
  if (state.open) openByKey(state.open);
  else if (box.open) box.close();
});
addEventListener("beforeprint", () => {
  printing = true;
  rows.forEach((node, row) => {
    if (!node.hidden && !filled.has(row)) fillRow(row);
  });
});
addEventListener("afterprint", () => {
  printing = false;
});

grid.classList.toggle("plain", plain);
document.documentElement.classList.toggle("plain", plain);
readAddress();
makeRows();
draw();
for (const node of rows) watcher.observe(node);
if (state.open) openByKey(state.open);
document.documentElement.dataset.drawn = String(Math.round(performance.now()));

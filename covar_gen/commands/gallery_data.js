// What the page holds and what is looked at. gallery.js, which draws it, follows in the same scope.

const byId = (id) => document.getElementById(id);
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};

// --- The data: packed columns, unpacked one value at a time.
const data = JSON.parse(byId("data").textContent);
const unpack = (packed) => {
  if ("all" in packed) return () => packed.all;
  if ("each" in packed) return (i) => packed.each[i];
  return (i) => (packed.at[i] < 0 ? null : packed.words[packed.at[i]]);
};
const fields = new Map(data.fields.map(([name, packed]) => [name, unpack(packed)]));
const value = (name, i) => {
  const found = fields.has(name) ? fields.get(name)(i) : null;
  const path = name === "image" || name === "mask";
  return path && found !== null ? found.replaceAll("\0", fields.get("key")(i)) : found;
};
const thumbName = { image: unpack(data.image_thumb), mask: unpack(data.mask_thumb) };
const className = unpack(data.class);
const backgroundName = unpack(data.background);
const trouble = (kind, i) => data[`${kind}_trouble`][i] ?? null;
const encoded = (path) => path.split("/").map(encodeURIComponent).join("/");
const full = (kind, i) => encoded(`${data.root}/${value(kind, i)}`);
const thumb = (kind, i) => `thumbs/${thumbName[kind](i)}${data[`${kind}_end`]}`;
const has = (kind, i) => value(kind, i) !== null && trouble(kind, i) === null;
const rejected = (i) => value("status", i) === "rejected";

const rowCount = data.base.length;
const plain = data.reference.every((image) => image < 0);
const isReference = new Set(data.reference.filter((image) => image >= 0));
const members = Array.from({ length: rowCount }, () => []);
data.row.forEach((row, image) => {
  if (!isReference.has(image)) members[row].push(image);
});
// A source photograph counts once, in the first row that shows it.
const ownReference = (row) => {
  const image = data.reference[row];
  return image >= 0 && data.row[image] === row ? image : -1;
};

// --- What is looked at: kept in the address after #, so that a view can be sent to somebody.
const state = { class: "", background: "", subset: new Set(), status: "", masks: false, open: "" };
const readAddress = () => {
  const query = new URLSearchParams(location.hash.slice(1));
  for (const name of ["class", "background", "status", "open"]) state[name] = query.get(name) ?? "";
  state.subset = new Set((query.get("subset") ?? "").split(",").filter(Boolean));
  state.masks = query.get("masks") === "1";
};
const writeAddress = () => {
  const query = new URLSearchParams();
  for (const name of ["class", "background", "status"]) if (state[name]) query.set(name, state[name]);
  if (state.subset.size) query.set("subset", [...state.subset].join(","));
  if (state.masks) query.set("masks", "1");
  if (state.open) query.set("open", state.open);
  const text = query.toString().replaceAll("%2F", "/").replaceAll("%2C", ",");
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
};

// --- Filters.
const matches = (i) => {
  if (state.subset.size && !state.subset.has(value("subset", i))) return false;
  switch (state.status) {
    case "": return true;
    case "ok": return !rejected(i) && trouble("image", i) === null;
    case "rejected": return rejected(i);
    case "missing": return trouble("image", i) !== null || trouble("mask", i) !== null;
    default: return value("reason", i) === state.status;
  }
};
const matchingOf = (row) => {
  if (state.class && (className(row) ?? "") !== state.class) return [];
  if (state.background && (backgroundName(row) ?? "") !== state.background) return [];
  const own = ownReference(row);
  return (own < 0 ? members[row] : [own, ...members[row]]).filter(matches);
};
const shownColumns = () =>
  data.columns
    .map(([name, subset, label], place) => ({ name, subset, label, place }))
    .filter(({ subset }) => plain || subset !== "original")
    .filter(({ subset }) => !state.subset.size || state.subset.has(subset));

// --- The words beside an image.
const number = (x) => String(x).replace("-", "−");
const hundredths = (x) => Math.round(Math.abs(x) * 100);
const caption = (i) => {
  const at = (name) => value(name, i);
  if (rejected(i)) return "";
  if (at("angle_deg") !== null) return `${number(Math.round(at("angle_deg") * 10) / 10)}°`;
  if (at("crop_area") !== null) return `${hundredths(at("crop_area"))}\u202f% of area`;
  if (at("shift_x") !== null || at("shift_y") !== null) {
    const [x, y] = [at("shift_x") ?? 0, at("shift_y") ?? 0];
    return `${x < 0 ? "←" : "→"}${hundredths(x)} ${y < 0 ? "↑" : "↓"}${hundredths(y)}\u202f%`;
  }
  if (at("azimuth_deg") !== null || at("elevation_deg") !== null) {
    return `${number(at("azimuth_deg") ?? 0)}°, ${number(at("elevation_deg") ?? 0)}°`;
  }
  return "";
};
const title = (i) => [data.columns[data.column[i]][2], caption(i)].filter(Boolean).join(" ");
const description = (row, i) =>
  [className(row), backgroundName(row), title(i), rejected(i) ? `rejected: ${value("reason", i)}` : trouble("image", i)]
    .filter(Boolean)
    .join(", ");
const HOVER = [
  "reason", "angle_deg", "shift_x", "shift_y", "crop_area", "scale_factor", "azimuth_deg", "elevation_deg",
  "object_coverage", "mask_scores", "mask_phrases", "known_pixel_max_diff", "object_scale", "object_shift_x",
  "object_shift_y", "object_match", "object_iou", "object_similarity", "object_ssim", "object_colour", "tool", "model", "prompt", "seed", "attempt", "params",
];
const fill = (list, names, i) => {
  list.replaceChildren();
  for (const name of names) {
    const text = value(name, i);
    if (text === null || text === "") continue;
    list.append(make("dt", {}, name), make("dd", {}, typeof text === "number" ? number(text) : String(text)));
  }
};

/**
 * Editors of a parameter's value, one for each type. An editor is {element, inputs, read(), write(value)}: `read`
 * returns the value in the inputs, or undefined if there is none; `inputs` are disabled while settings are read-only,
 * and fire `change` when the user has decided.
 */

import { element, newId } from "./dom.js";
import { chooseRegion } from "./region.js";

const FIELDS = { roi: ["x", "y", "width", "height"], tiles: ["columns", "rows"] };
const CLASS_LISTS = ["include_classes", "exclude_classes"];

/** Return whether the editor of a parameter lists the class names of the model; `name` is without the camera. */
export function listsLabels(name) {
  return CLASS_LISTS.includes(name);
}

/**
 * Return the editor of a parameter.
 *
 * @param {Object} parameter - PARAMETER of trt_ssd_ros/web/protocol.py.
 * @param {string} name - Name without the camera.
 * @param {Object} context - labels: class names of the model; canvases(): pictures on which a region can be drawn.
 * @param {Object} naming - Attributes that name an input: aria-labelledby, aria-describedby.
 */
export function editorOf(parameter, name, { labels, canvases }, naming) {
  const { type, choices, lowest, highest } = parameter;
  if (type === "bool") return checkbox(naming);
  if (choices.length) return choice(choices, naming);
  if (type === "double" && lowest !== null && highest !== null && highest - lowest <= 1) {
    return slider(lowest, highest, naming);
  }
  if (type === "integer" || type === "double") return number(parameter, naming);
  if (type === "string") return text(naming);
  if (listsLabels(name) && labels.length) return classes(labels, naming);
  if (name === "roi") return region(canvases, naming);
  if (FIELDS[name]) return fields(FIELDS[name], type, naming);
  return lines(type, naming);
}

function checkbox(naming) {
  const input = element("input", { type: "checkbox", ...naming });
  return { element: input, inputs: [input], read: () => input.checked, write: (value) => { input.checked = value; } };
}

function choice(choices, naming) {
  const input = element("select", naming, ...choices.map((name) => element("option", { value: name }, name)));
  return { element: input, inputs: [input], read: () => input.value, write: (value) => { input.value = value; } };
}

function text(naming) {
  const input = element("input", { type: "text", ...naming });
  return { element: input, inputs: [input], read: () => input.value, write: (value) => { input.value = value ?? ""; } };
}

function readNumber(input) {
  return input.value === "" ? undefined : Number(input.value);
}

function number({ type, lowest, highest }, naming) {
  const limits = { min: lowest ?? "", max: highest ?? "", step: type === "integer" ? 1 : "any" };
  const input = element("input", { type: "number", ...limits, ...naming });
  const write = (value) => { input.value = value ?? ""; };
  return { element: input, inputs: [input], read: () => readNumber(input), write };
}

/** A slider, and beside it a field for an exact number. */
function slider(lowest, highest, naming) {
  const range = element("input", { type: "range", min: lowest, max: highest, step: 0.01, ...naming });
  const exact = element("input", { type: "number", step: "any", ...naming });
  range.addEventListener("input", () => { exact.value = range.value; });
  exact.addEventListener("change", () => { range.value = exact.value; });
  const write = (value) => {
    exact.value = value == null ? "" : Number(value.toFixed(6));
    range.value = value ?? lowest;
  };
  return {
    element: element("span", { className: "slider" }, range, exact),
    inputs: [range, exact], read: () => readNumber(exact), write,
  };
}

/** Some numbers with a name for each. */
function fields(names, type, naming) {
  const inputs = names.map(() => element("input", { type: "number", step: type === "integer_array" ? 1 : "any" }));
  const labelled = names.map((name, index) => element("label", {}, name, inputs[index]));
  const read = () => {
    const values = inputs.map(readNumber);
    return values.includes(undefined) ? undefined : values;
  };
  const write = (values) => inputs.forEach((input, index) => { input.value = values?.[index] ?? ""; });
  const together = element("span", { className: "fields", role: "group", ...naming }, ...labelled);
  return { element: together, inputs, read, write };
}

/** The numbers of a region, and a button for drawing it on a picture. */
function region(canvases, naming) {
  const editor = fields(FIELDS.roi, "double_array", naming);
  const draw = element("button", { type: "button", "aria-pressed": "false" }, "Draw on a picture");
  let choosing = null; // AbortController of the choice
  draw.onclick = async () => {
    if (choosing) return choosing.abort();
    choosing = new AbortController();
    draw.setAttribute("aria-pressed", "true");
    const chosen = await chooseRegion(canvases(), choosing);
    draw.setAttribute("aria-pressed", "false");
    choosing = null;
    if (!chosen) return;
    editor.write(chosen);
    editor.inputs[0].dispatchEvent(new Event("change"));
  };
  const together = element("div", { className: "region" }, editor.element, draw);
  return { ...editor, element: together, inputs: [...editor.inputs, draw] };
}

/** A list with an entry in each line, because entries may hold commas. */
function lines(type, naming) {
  const input = element("textarea", { rows: 2, spellcheck: false, placeholder: "one entry a line", ...naming });
  const convert = type === "string_array" ? String : type === "bool_array" ? (entry) => entry === "true" : Number;
  const read = () => input.value.split("\n").map((line) => line.trim()).filter(Boolean).map(convert);
  return { element: input, inputs: [input], read, write: (values) => { input.value = (values ?? []).join("\n"); } };
}

/** A searchable list of all classes. */
function classes(labels, naming) {
  const boxes = labels.filter(Boolean).map((label) => element("input", { type: "checkbox", value: label }));
  const rows = boxes.map((box) => element("label", {}, box, box.value));
  const search = element("input", { type: "search", placeholder: "Search", "aria-label": "Search the classes" });
  const count = element("summary", { id: newId("count") });
  search.oninput = () => rows.forEach((row, index) => {
    row.hidden = !boxes[index].value.toLowerCase().includes(search.value.toLowerCase());
  });
  let unknown = []; // classes of the parameter that the model does not name stay in it
  const read = () => [...unknown, ...boxes.filter((box) => box.checked).map((box) => box.value)];
  const show = () => { count.textContent = read().join(", ") || "none chosen"; };
  boxes.forEach((box) => box.addEventListener("change", show));
  const write = (values) => {
    const chosen = new Set(values ?? []);
    boxes.forEach((box) => { box.checked = chosen.delete(box.value); });
    unknown = [...chosen];
    show();
  };
  const list = element("div", { className: "classes", role: "group", ...naming }, ...rows);
  return { element: element("details", { className: "picker" }, count, search, list), inputs: boxes, read, write };
}

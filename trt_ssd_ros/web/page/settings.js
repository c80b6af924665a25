/** Settings: the detector's live parameters as controls, in groups; a refusal stands where its control is. */

import { element, newId, setText, shownName } from "./dom.js";
import { editorOf, listsLabels } from "./editors.js";

const GROUPS = [
  ["Thresholds", /^(score_threshold|class_thresholds|iou_threshold|max_detections)$/],
  ["Classes", /_classes$/],
  ["Region", /^(roi|tiles|tile_overlap|regions|whole_view)$/],
  ["Tracking", /^track/],
  ["Debug image", /^debug_/],
  ["Images", /^(lazy|max_rate|max_input_age|preview_.*|image_.*)$/],
  ["Limits of the diagnostics", /^diagnostics\./],
  ["Other", /./],
];
const OPEN = ["Thresholds", "Classes"];

export class Settings {
  #controls = new Map(); // name of a parameter -> ParameterControl
  #shape = "";
  #parameters = [];
  #labels = [];
  #control = false;
  #camera = "";

  /**
   * @param {HTMLElement} place - Element that holds the groups.
   * @param {HTMLElement} note - Element for the reason why settings are read-only.
   * @param {function(string, any): Promise<Object>} set - Sets a parameter, and returns the answer.
   * @param {function(string): HTMLCanvasElement[]} canvases - Returns the pictures of a camera; "": of all.
   */
  constructor(place, note, set, canvases) {
    this.place = place;
    this.note = note;
    this.set = set;
    this.canvases = canvases;
  }

  /** Follow the message `state`. */
  follow({ detector, labels, control }) {
    const known = JSON.stringify(this.#labels) === JSON.stringify(labels);
    this.#labels = labels;
    if (!known) this.#listLabels();
    this.#control = control && detector.present;
    const note = control ? "" : "Read-only. The launch argument web_control:=true permits changes.";
    setText(this.note, detector.present ? note : `${detector.name} is not running.`);
    this.show(this.#parameters);
  }

  /** Show the parameters of the message `parameters`. */
  show(parameters) {
    this.#parameters = parameters;
    const shape = JSON.stringify([this.#camera, ...parameters.map(({ value, ...rest }) => rest)]);
    if (shape !== this.#shape) this.#build();
    this.#shape = shape;
    const values = new Map(parameters.map(({ name, value }) => [name, value]));
    for (const control of this.#controls.values()) control.update(values, this.#control);
  }

  #build() {
    const open = new Map([...this.place.querySelectorAll("details.group")].map((d) => [d.dataset.title, d.open]));
    const shown = this.#parameters.filter(({ camera }) => camera === this.#camera);
    const controls = shown.map((parameter) => this.#newControl(parameter));
    this.#controls = new Map(controls.map((control) => [control.name, control]));
    const members = new Map(GROUPS.map(([title]) => [title, []]));
    for (const control of controls) members.get(groupOf(control.shortName)).push(control.element);
    const groups = [...members].filter(([, elements]) => elements.length).map(([title, elements]) => {
      const details = element("details", { className: "group", open: open.get(title) ?? OPEN.includes(title) },
        element("summary", {}, element("h3", {}, title)), ...elements);
      details.dataset.title = title;
      return details;
    });
    this.place.replaceChildren(...this.#cameraChoice(), ...groups);
  }

  #newControl(parameter) {
    const context = { labels: this.#labels, canvases: () => this.canvases(this.#camera) };
    return new ParameterControl(parameter, context, this.set);
  }

  /** Replace the controls that list labels; the others stay, because a user may be typing into them. */
  #listLabels() {
    for (const parameter of this.#parameters) {
      const old = this.#controls.get(parameter.name);
      if (!old || !listsLabels(old.shortName)) continue;
      const control = this.#newControl(parameter);
      old.element.replaceWith(control.element);
      this.#controls.set(control.name, control);
    }
  }

  /** Return the choice between the settings of all cameras and those of one, if there are several. */
  #cameraChoice() {
    const cameras = [...new Set(this.#parameters.map(({ camera }) => camera))];
    if (!cameras.includes(this.#camera)) this.#camera = "";
    if (cameras.length < 2) return [];
    const option = (camera) => element("option", { value: camera }, camera ? shownName(camera) : "all cameras");
    const select = element("select", {}, ...cameras.map(option));
    select.value = this.#camera;
    select.onchange = () => {
      this.#camera = select.value;
      this.show(this.#parameters);
      this.place.querySelector("select").focus();
    };
    return [element("label", { className: "whose" }, "Settings of ", select)];
  }
}

function groupOf(name) {
  return GROUPS.find(([, pattern]) => pattern.test(name))[0];
}

/** Control of one parameter: its name, an editor, its description, and what the node said against a value. */
class ParameterControl {
  #edited = false; // holds a value of the user that the node has not taken
  #sending = false;
  #next; // value to be sent after the answer to the one before: a dragged slider makes hundreds
  #value; // the node's value

  constructor(parameter, context, set) {
    this.name = parameter.name;
    this.camera = parameter.camera;
    this.shortName = this.camera ? this.name.slice(this.camera.length + 1) : this.name;
    this.set = set;
    const ids = { name: newId("name"), about: newId("about"), refusal: newId("refusal") };
    const naming = { "aria-labelledby": ids.name, "aria-describedby": `${ids.about} ${ids.refusal}` };
    this.editor = editorOf(parameter, this.shortName, context, naming);
    this.refusal = element("p", { id: ids.refusal, className: "refusal", role: "alert" });
    this.follow = element("button", { type: "button", hidden: true }, "Follow all cameras");
    this.follow.onclick = () => this.#send(null);
    this.element = element("div", { className: "parameter" },
      element("code", { id: ids.name }, this.shortName), this.editor.element, this.follow,
      element("p", { id: ids.about, className: "about" }, this.camera ? "" : parameter.description), this.refusal);
    for (const input of this.editor.inputs) {
      input.addEventListener("input", () => {
        this.#edited = true;
        if (input.type === "range") this.#send(this.editor.read());
      });
      input.addEventListener("change", () => this.#send(this.editor.read()));
      // An edit that ends where it began fires no change.
      input.addEventListener("blur", () => { if (!this.#sending && !this.refusal.textContent) this.#restore(); });
    }
    this.element.addEventListener("keydown", (event) => { if (event.key === "Escape") this.#restore(); });
  }

  /** Show the node's value, unless the user edits another one; a camera without its own shows that of all. */
  update(values, allowed) {
    const own = values.get(this.name);
    this.#value = own === null ? values.get(this.shortName) : own;
    this.follow.hidden = !allowed || !this.camera || own === null;
    this.element.classList.toggle("followed", own === null);
    for (const input of this.editor.inputs) input.disabled = !allowed;
    if (!this.#edited) this.editor.write(this.#value);
  }

  async #send(value) {
    if (value === undefined) return this.#restore();
    this.#next = { value };
    if (this.#sending) return undefined;
    this.#sending = true;
    while (this.#next) {
      const { value: newest } = this.#next;
      this.#next = undefined;
      const { ok, message } = await this.set(this.name, newest);
      this.#judge(ok ? "" : message);
      if (ok && !this.#next) this.#edited = false;
    }
    this.#sending = false;
    return undefined;
  }

  /** Show the node's value again. */
  #restore() {
    this.#edited = false;
    this.#judge("");
    this.editor.write(this.#value);
  }

  #judge(refusal) {
    setText(this.refusal, refusal);
    for (const input of this.editor.inputs) input.setAttribute("aria-invalid", String(Boolean(refusal)));
  }
}

/** CameraView: one camera's picture with boxes, its figures, its status in words and its buttons. */

import { Acknowledgements } from "./acknowledgements.js";
import { drawFrame, metres, percent, trackNumber } from "./boxes.js";
import { element, newId, setText, shownName } from "./dom.js";
import { figureTexts, MEANINGS, UNKNOWN } from "./figures.js";

const STALE_MS = 2000;
const RATE_SPAN_MS = 2000;
const LEVELS = { ok: "OK", warn: "Warning", error: "Error", stale: "No report", unknown: "Unknown" };
const NO_STATUS = { level: "unknown", message: "", enabled: null, figures: {}, values: {} };

export class CameraView {
  #newest = null; // {header, jpeg} to be decoded
  #skipped = false; // frames before the newest are not decoded
  #decoding = false;
  #acknowledgements = new Acknowledgements();
  #shown = null; // {header, picture} on the canvas
  #drawnAt = [];
  #enabled = null;
  #unreadable = false; // the newest frame has no readable picture
  #settings = { paused: false, control: false, connected: false };

  /**
   * @param {string} name - Name of the camera; "" for the only camera of a detector.
   * @param {Object} actions - colorOf(label), acknowledge(camera, frame, drawn), enable(camera, value),
   *   snapshot(frame).
   */
  constructor(name, actions) {
    this.name = name;
    this.actions = actions;
    this.canvas = element("canvas", { role: "img", width: 640, height: 360 });
    this.notice = element("p", { className: "notice" });
    this.level = element("strong", { className: "level" });
    this.message = element("p", { className: "message" });
    this.refusal = element("p", { className: "refusal", role: "alert" });
    this.toggle = element("button", { type: "button", hidden: true });
    this.take = element("button", { type: "button", disabled: true }, "Snapshot");
    this.figures = element("dl", { className: "figures" });
    this.count = element("summary");
    this.rows = element("tbody");
    this.values = element("dl", { className: "values" });
    this.element = this.#layout();
    this.toggle.onclick = () => this.#switch();
    this.take.onclick = () => this.actions.snapshot(this.#shown);
    new ResizeObserver(() => this.#draw()).observe(this.canvas);
    this.#list([]);
    this.report(NO_STATUS);
  }

  #layout() {
    const title = element("h2", { id: newId("camera") }, shownName(this.name));
    const about = `Detections of ${shownName(this.name)}`;
    const scroll = { className: "scroll", tabIndex: 0, role: "group", "aria-label": about };
    const heads = ["Object", "Score", "Track", "Distance"].map((text) => element("th", { scope: "col" }, text));
    const table = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), this.rows);
    return element(
      "article", { className: "camera", "aria-labelledby": title.id },
      element("div", { className: "bar" }, title, this.level,
        element("span", { className: "actions" }, this.toggle, this.take)),
      this.message,
      this.refusal,
      element("div", { className: "picture" }, this.canvas, this.notice),
      this.figures,
      element("details", { open: true }, this.count, element("div", scroll, table)),
      element("details", {}, element("summary", {}, "Diagnostics"), this.values),
    );
  }

  /** Take a frame; while an earlier one is decoded, only the newest waits. */
  receive(frame) {
    this.#skipped = this.#newest !== null;
    this.#newest = frame;
    if (!this.#decoding) this.#decode();
  }

  async #decode() {
    this.#decoding = true;
    while (this.#newest) {
      const { header, jpeg } = this.#newest;
      const skipped = this.#skipped;
      this.#newest = null;
      try {
        const picture = await createImageBitmap(jpeg);
        await new Promise(requestAnimationFrame); // in a hidden tab this waits, so no further frame is sent
        this.#show(header, picture);
        if (this.#unreadable) setText(this.refusal, "");
        this.#unreadable = false;
      } catch (error) {
        setText(this.refusal, `The newest picture is not readable: ${error.message}`);
        this.#unreadable = true;
      }
      const drawn = this.#acknowledgements.due(performance.now(), skipped);
      if (drawn) this.actions.acknowledge(this.name, header.frame, drawn);
    }
    this.#decoding = false;
  }

  #show(header, picture) {
    this.#shown?.picture.close();
    this.#shown = { header, picture };
    this.#forgetOldTimes();
    this.#drawnAt.push(performance.now());
    this.take.disabled = false;
    this.canvas.style.setProperty("--aspect", header.width / header.height);
    this.canvas.dataset.stamp = header.stamp;
    this.#draw();
    this.#list(header.boxes ?? []);
    this.tick();
  }

  #draw() {
    if (!this.#shown) return;
    const { header, picture } = this.#shown;
    const scale = devicePixelRatio;
    const width = Math.round(this.canvas.clientWidth * scale);
    const height = Math.round((width * header.height) / header.width);
    if (width === 0) return;
    if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
    drawFrame(this.canvas, picture, header, this.actions.colorOf, scale);
  }

  #list(boxes) {
    const sorted = [...boxes].sort((a, b) => b.score - a.score);
    setText(this.count, boxes.length === 1 ? "1 detection" : `${boxes.length} detections`);
    const names = sorted.map((box) => box.label).join(", ") || "no detections";
    this.canvas.setAttribute("aria-label", `Picture of ${shownName(this.name)}: ${names}`);
    sorted.forEach((box, index) => {
      const row = this.rows.rows[index] ?? this.#newRow();
      const distance = box.distance === null ? UNKNOWN : metres(box.distance);
      const texts = [box.label, percent(box.score), trackNumber(box.id) || UNKNOWN, distance];
      texts.forEach((text, i) => setText(row.cells[i], text));
      row.cells[0].style.setProperty("--class", `rgb(${this.actions.colorOf(box.label).join(" ")})`);
    });
    while (this.rows.rows.length > sorted.length) this.rows.deleteRow(-1);
  }

  #newRow() {
    const row = this.rows.insertRow();
    for (let i = 0; i < 4; i += 1) row.insertCell();
    return row;
  }

  /** Show a status of the message `diagnostics`. */
  report({ level, message, enabled, figures, values }) {
    this.#enabled = enabled;
    this.element.dataset.level = level;
    setText(this.level, LEVELS[level] ?? level);
    setText(this.message, message);
    this.#fill(this.figures, figureTexts({ ...figures, drawn_hz: this.#drawnRate() }));
    this.#fill(this.values, values);
    this.tick();
  }

  /** Follow the page's settings: {paused, control, connected}. */
  configure(settings) {
    this.#settings = settings;
    if (settings.connected) return this.tick();
    this.#drawnAt = [];
    return this.report(NO_STATUS);
  }

  #forgetOldTimes() {
    const since = performance.now() - RATE_SPAN_MS;
    this.#drawnAt = this.#drawnAt.filter((time) => time > since);
  }

  #drawnRate() {
    this.#forgetOldTimes();
    return (1000 * this.#drawnAt.length) / RATE_SPAN_MS;
  }

  /** Update what changes with time: whether the picture is old. */
  tick() {
    const { paused, control, connected } = this.#settings;
    const age = performance.now() - (this.#drawnAt.at(-1) ?? -Infinity);
    const old = age > STALE_MS;
    this.element.classList.toggle("old", old && !(paused && connected)); // a paused picture is there to be studied
    setText(this.notice, old ? this.#reason(paused, connected) : "");
    this.toggle.hidden = !control || this.#enabled === null;
    setText(this.toggle, this.#enabled ? "Stop detection" : "Start detection");
  }

  #reason(paused, connected) {
    if (!connected) return "Not connected";
    if (paused) return "Paused";
    if (this.#enabled === false) return "Detection is stopped";
    return this.#shown ? "No new picture" : "Waiting for the first picture";
  }

  async #switch() {
    this.toggle.disabled = true;
    const { ok, message } = await this.actions.enable(this.name, !this.#enabled);
    this.toggle.disabled = false;
    setText(this.refusal, ok ? "" : message);
  }

  #fill(list, entries) {
    const names = Object.keys(entries);
    if (list.dataset.names !== JSON.stringify(names)) {
      const term = (name) => element("dt", { title: MEANINGS[name] ?? "" }, name);
      const pairs = names.map((name) => element("div", {}, term(name), element("dd")));
      list.replaceChildren(...pairs);
      list.dataset.names = JSON.stringify(names);
    }
    names.forEach((name, index) => setText(list.children[index].lastChild, entries[name]));
  }
}

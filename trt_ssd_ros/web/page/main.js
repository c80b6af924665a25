/** The page: connects the messages of the web node with the views of the cameras and the settings. */

import { classColor } from "./boxes.js";
import { CameraView } from "./camera_view.js";
import { Connection } from "./connection.js";
import { element, setText } from "./dom.js";
import { meaningList } from "./figures.js";
import { Settings } from "./settings.js";
import { Snapshot } from "./snapshot.js";

const TICK_MS = 500;
const CALM_RATE = "1"; // pictures a second for readers who asked for less motion

const part = (id) => document.getElementById(id);
const connection = new Connection();
const views = new Map(); // name of a camera -> CameraView
const visible = new Set(); // names of the cameras on the screen
let labels = [];
let page = { paused: false, control: false, connected: false };

const actions = { colorOf, acknowledge, enable, snapshot: (frame) => snapshot.show(frame) };
const snapshot = new Snapshot(part("snapshot"), colorOf);
const settings = new Settings(part("groups"), part("control-note"), set, canvases);
const screenWatch = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) visible.add(target.dataset.camera);
    else visible.delete(target.dataset.camera);
  }
  look();
});

/** Return the colour of a label, also of one that the model does not name. */
function colorOf(label) {
  const number = labels.indexOf(label);
  return classColor(number >= 0 ? number : Math.abs(Number.parseInt(label, 10)) || 0);
}

/** Ask for the pictures that are on the screen now. */
function look() {
  const wanted = page.paused || document.hidden ? [] : [...visible].filter((camera) => views.has(camera));
  connection.send({ type: "look", cameras: wanted, rate: Number(part("rate").value) });
}

function configure(changed) {
  page = { ...page, ...changed };
  for (const view of views.values()) view.configure(page);
}

/** Show the cameras that the detector has now; the others leave the page. */
function showCameras(names) {
  for (const [name, view] of views) {
    if (names.includes(name)) continue;
    screenWatch.unobserve(view.element);
    view.element.remove();
    views.delete(name);
    visible.delete(name);
  }
  for (const name of names.filter((known) => !views.has(known))) {
    const view = new CameraView(name, actions);
    view.element.dataset.camera = name;
    views.set(name, view);
    part("cameras").append(view.element);
    screenWatch.observe(view.element);
  }
}

function acknowledge(camera, frame, drawn) {
  connection.send({ type: "ack", camera, frame, drawn });
}

function set(parameter, value) {
  return connection.request({ type: "set", parameter, value });
}

/** Return the pictures of a camera; "": those of all cameras. */
function canvases(camera) {
  return [...views.values()].filter((view) => !camera || view.name === camera).map((view) => view.canvas);
}

function enable(camera, value) {
  return connection.request({ type: "enable", camera, value });
}

function showConnection(text, good) {
  const place = part("connection");
  setText(place, text);
  place.dataset.good = good;
}

connection.addEventListener("connection", ({ detail: { open, text } }) => {
  showConnection(text, open);
  configure({ connected: open });
  if (open) look();
});

connection.addEventListener("state", ({ detail: state }) => {
  const { name, present } = state.detector;
  labels = state.labels;
  setText(part("detector"), name);
  document.title = `${name}: detections`;
  showConnection(present ? "Connected" : `Connected; ${name} is not running`, present);
  showCameras(state.cameras.map((camera) => camera.name));
  settings.follow(state);
  configure({ control: state.control });
  look();
});

connection.addEventListener("parameters", ({ detail }) => settings.show(detail.parameters));

connection.addEventListener("diagnostics", ({ detail: { cameras } }) => {
  for (const status of cameras) views.get(status.camera)?.report(status);
  const { engine, precision } = cameras[0]?.figures ?? {};
  const facts = Object.entries({ Engine: engine, Precision: precision }).filter(([, text]) => text);
  const pairs = facts.map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text)));
  part("engine").replaceChildren(...pairs);
});

connection.addEventListener("frame", ({ detail: frame }) => {
  const view = views.get(frame.header.camera);
  if (view) view.receive(frame);
  else acknowledge(frame.header.camera, frame.header.frame, 1);
});

part("pause").onclick = ({ target }) => {
  configure({ paused: !page.paused });
  target.setAttribute("aria-pressed", String(page.paused));
  look();
};
part("rate").onchange = look;
document.addEventListener("visibilitychange", look);
part("meanings").append(meaningList());
if (matchMedia("(prefers-reduced-motion: reduce)").matches) part("rate").value = CALM_RATE;
history.replaceState(null, "", location.pathname); // the token of the first visit is in a cookie now
setInterval(() => views.forEach((view) => view.tick()), TICK_MS);
connection.open();

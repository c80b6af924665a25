/** Figures of a camera: their names, their meaning and their values as text. */

import { element } from "./dom.js";

export const UNKNOWN = "–";

/** Name, meaning, key, digits and unit; the keys are those of FIGURES in trt_ssd_ros/web/protocol.py, and drawn_hz. */
const FIGURES = [
  ["Latency p50", "Median time from an image's stamp to its detections", "latency_p50_ms", 1, "ms"],
  ["Latency p99", "Time in which 99 % of the images have their detections", "latency_p99_ms", 1, "ms"],
  ["Received", "Images that the detector receives per second", "input_hz", 1, "Hz"],
  ["Published", "Images per second for which the detector publishes detections", "output_hz", 1, "Hz"],
  ["Drawn here", "Pictures that this browser draws per second", "drawn_hz", 1, "Hz"],
  ["Dropped", "Images lost in transport, or replaced by a newer one before the detector was free", "dropped", 0, ""],
  ["Refused", "Images that the detector cannot read", "refused", 0, ""],
  ["Tracks", "Objects with a number now, if tracking is on", "tracks", 0, ""],
];

/** Meanings of the figures by their names. */
export const MEANINGS = Object.fromEntries(FIGURES.map(([name, meaning]) => [name, meaning]));

/** Return the values of the figures as text, by their names; a value that is not known has no unit. */
export function figureTexts(values) {
  return Object.fromEntries(FIGURES.map(([name, , key, digits, unit]) => {
    const value = values[key];
    return [name, value == null ? UNKNOWN : `${value.toFixed(digits)} ${unit}`.trimEnd()];
  }));
}

/** Return the list of what the figures mean: for touch and keyboard, which have no tooltips. */
export function meaningList() {
  const pair = ([name, meaning]) => element("div", {}, element("dt", {}, name), element("dd", {}, meaning));
  return element("dl", {}, ...Object.entries(MEANINGS).map(pair));
}

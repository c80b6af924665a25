/** The choice of a region of interest on a picture by dragging. */

import { element } from "./dom.js";

const DIGITS = 3;
const LEAST = 0.01; // smaller rectangles come from a click, not from a drag

/**
 * Let the user drag a rectangle on one of some canvases; Escape or a click without a drag gives up.
 *
 * @param {HTMLCanvasElement[]} canvases - Pictures; the parent of each is positioned.
 * @param {AbortController} ending - Its `abort` gives up.
 * @returns {Promise<number[]|null>} x, y, width and height as fractions of the picture.
 */
export function chooseRegion(canvases, ending) {
  const { signal } = ending;
  for (const canvas of canvases) canvas.classList.add("choosing");
  const chosen = new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(null));
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") resolve(null); }, { signal });
    for (const canvas of canvases) {
      canvas.addEventListener("pointerdown", (event) => resolve(drag(canvas, event, signal)), { signal, once: true });
    }
  });
  return chosen.finally(() => {
    ending.abort();
    for (const canvas of canvases) canvas.classList.remove("choosing");
  });
}

function drag(canvas, start, signal) {
  const band = element("div", { className: "band" });
  canvas.parentElement.append(band);
  canvas.setPointerCapture(start.pointerId);
  const [x1, y1] = fractions(canvas, start);
  let region = null;
  const follow = (event) => {
    const [x2, y2] = fractions(canvas, event);
    region = [Math.min(x1, x2), Math.min(y1, y2), Math.abs(x2 - x1), Math.abs(y2 - y1)];
    place(band, canvas, region);
  };
  const done = new Promise((resolve) => {
    canvas.addEventListener("pointermove", follow, { signal });
    canvas.addEventListener("pointerup", () => resolve(), { signal, once: true });
    canvas.addEventListener("pointercancel", () => { region = null; resolve(); }, { signal, once: true });
  });
  return done.then(() => {
    band.remove();
    const large = region && Math.min(region[2], region[3]) >= LEAST;
    return large ? region.map((value) => Number(value.toFixed(DIGITS))) : null;
  });
}

function fractions(canvas, event) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const clip = (value) => Math.min(Math.max(value, 0), 1);
  return [clip((event.clientX - left) / width), clip((event.clientY - top) / height)];
}

function place(band, canvas, [x, y, width, height]) {
  Object.assign(band.style, {
    left: `${canvas.offsetLeft + x * canvas.clientWidth}px`,
    top: `${canvas.offsetTop + y * canvas.clientHeight}px`,
    width: `${width * canvas.clientWidth}px`,
    height: `${height * canvas.clientHeight}px`,
  });
}

/** Drawing of a frame: the picture with its boxes, in the colours and proportions of detection/draw.py. */

const GOLDEN_RATIO = (Math.sqrt(5) - 1) / 2;
const WHITE = [255, 255, 255];
const SHADES = [[0.75, 1.0], [0.45, 1.0], [1.0, 0.8]];

/** Return the colour of a class as [red, green, blue] in 0..255; see class_color in detection/draw.py. */
export function classColor(number) {
  const hue = (0.32 + number * GOLDEN_RATIO) % 1;
  const [saturation, value] = SHADES[number % SHADES.length];
  const channel = (offset) => {
    const sector = (offset + hue * 6) % 6;
    return Math.round(255 * (value - value * saturation * Math.max(0, Math.min(sector, 4 - sector, 1))));
  };
  return [channel(5), channel(3), channel(1)];
}

/** Return black or white, whichever has the higher contrast with a background (WCAG 2.1). */
export function textColor(background) {
  const linear = background.map((level) => level / 255)
    .map((level) => (level <= 0.04045 ? level / 12.92 : ((level + 0.055) / 1.055) ** 2.4));
  const luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  return (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) ? "#000" : "#fff";
}

/** Return a box's caption, such as `person 7 87% 2.4 m`. */
export function caption({ label, id, score, distance }) {
  const parts = [label, trackNumber(id), percent(score), distance === null ? "" : metres(distance)];
  return parts.filter(Boolean).join(" ");
}

/** Return the number of a track from its id, such as 7 of `d88d1c04-7`; see `Detections.numbers`. */
export function trackNumber(id) {
  return id.slice(id.lastIndexOf("-") + 1);
}

/** Return a score as text. */
export function percent(score) {
  return `${Math.round(100 * score)}%`;
}

/** Return a distance as text. */
export function metres(distance) {
  return `${distance.toFixed(distance < 10 ? 1 : 0)} m`;
}

/**
 * Draw a picture and its boxes over a whole canvas.
 *
 * @param {HTMLCanvasElement} canvas - Canvas; its width and height in pixels are kept.
 * @param {ImageBitmap} picture - Picture of any size.
 * @param {Object} header - Header of the frame, with boxes and views in pixels of the camera's image.
 * @param {function(string): number[]} colorOf - Returns the colour of a label.
 * @param {number} scale - Canvas pixels per pixel of the layout, for the size of letters.
 */
export function drawFrame(canvas, picture, header, colorOf, scale) {
  const context = canvas.getContext("2d", { alpha: false });
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const pen = new Pen(context, canvas.width / header.width, canvas.height / header.height, scale);
  for (const view of header.views) pen.drawView(view);
  const boxes = [...(header.boxes ?? [])].sort((a, b) => a.score - b.score); // the best ones on top
  for (const box of boxes) pen.drawBox(box, colorOf(box.label));
  for (const box of boxes) pen.drawPlate(box, caption(box), colorOf(box.label));
}

class Pen {
  constructor(context, scaleX, scaleY, scale) {
    const { width, height } = context.canvas;
    this.context = context;
    this.scaleX = scaleX;
    this.scaleY = scaleY;
    this.line = Math.round(1.2 + Math.sqrt(width * height) / 350);
    this.outline = Math.floor((this.line + 1) / 3);
    this.letters = Math.round(scale * 13);
    context.font = `600 ${this.letters}px system-ui, sans-serif`;
    context.textBaseline = "middle";
  }

  corners({ x, y, width, height }) {
    const { width: right, height: bottom } = this.context.canvas;
    const clip = (value, limit) => Math.round(Math.min(Math.max(value, 0), limit));
    return [
      clip(x * this.scaleX, right), clip(y * this.scaleY, bottom),
      clip((x + width) * this.scaleX, right), clip((y + height) * this.scaleY, bottom),
    ];
  }

  /** Draw a box in its colour, the line inside its edge and outlined in black to stand out anywhere. */
  drawBox(box, color, line = this.line) {
    const [x1, y1, x2, y2] = this.corners(box);
    const out = this.outline;
    this.#drawEdges(x1 - out, y1 - out, x2 + out, y2 + out, line + 2 * out, "#000");
    this.#drawEdges(x1, y1, x2, y2, line, rgb(color));
  }

  /** Draw the outline of a view in white, thinner than boxes, and its name. */
  drawView(view) {
    this.drawBox(view, WHITE, Math.max(1, Math.floor(this.line / 3)));
    if (view.name) this.drawPlate(view, view.name, WHITE);
  }

  #drawEdges(x1, y1, x2, y2, line, style) {
    this.context.fillStyle = style;
    this.context.fillRect(x1, y1, x2 - x1, line);
    this.context.fillRect(x1, y2 - line, x2 - x1, line);
    this.context.fillRect(x1, y1, line, y2 - y1);
    this.context.fillRect(x2 - line, y1, line, y2 - y1);
  }

  /** Draw a text on a filled plate: above the box, or inside its top where there is no room above. */
  drawPlate(box, text, color) {
    const [x1, y1] = this.corners(box);
    const margin = Math.round(this.letters / 3);
    const width = Math.ceil(this.context.measureText(text).width) + 2 * margin;
    const height = Math.round(this.letters * 1.4);
    const left = Math.max(0, Math.min(x1, this.context.canvas.width - width));
    const top = y1 >= height ? y1 - height : y1;
    this.context.fillStyle = rgb(color);
    this.context.fillRect(left, top, width, height);
    this.context.fillStyle = textColor(color);
    this.context.fillText(text, left + margin, top + height / 2 + 1);
  }
}

function rgb([red, green, blue]) {
  return `rgb(${red} ${green} ${blue})`;
}

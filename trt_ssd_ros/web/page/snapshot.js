/** Snapshot: one frame held still in a dialog, to be saved as a picture with boxes and as JSON. */

import { drawFrame } from "./boxes.js";
import { shownName } from "./dom.js";

const LETTERS_FIT = 900; // pixels of width at which letters have their usual size

export class Snapshot {
  #addresses = [];

  /**
   * @param {HTMLDialogElement} dialog - Dialog with a canvas and elements of the data-kinds png, json, close.
   * @param {function(string): number[]} colorOf - Returns the colour of a label.
   */
  constructor(dialog, colorOf) {
    this.dialog = dialog;
    this.colorOf = colorOf;
    this.canvas = dialog.querySelector("canvas");
    dialog.querySelector('[data-kind="close"]').onclick = () => dialog.close();
    dialog.addEventListener("close", () => this.#release());
  }

  /** Show a frame {header, picture}. */
  async show({ header, picture }) {
    Object.assign(this.canvas, { width: picture.width, height: picture.height });
    drawFrame(this.canvas, picture, header, this.colorOf, Math.max(1, picture.width / LETTERS_FIT));
    this.canvas.setAttribute("aria-label", `Snapshot of ${shownName(header.camera)}, stamp ${header.stamp}`);
    this.dialog.showModal();
    const name = `${shownName(header.camera)}_${header.stamp}`;
    const png = await new Promise((resolve) => { this.canvas.toBlob(resolve, "image/png"); });
    if (!this.dialog.open) return; // closed meanwhile
    const { frame, ...content } = header; // the frame's number has no meaning beyond this connection
    // The boxes are in pixels of the camera's image, which may be larger than the PNG.
    const said = { ...content, picture: { width: this.canvas.width, height: this.canvas.height } };
    const json = new Blob([`${JSON.stringify(said, null, 2)}\n`], { type: "application/json" });
    this.#offer("png", png, `${name}.png`);
    this.#offer("json", json, `${name}.json`);
  }

  #offer(kind, blob, name) {
    const link = this.dialog.querySelector(`[data-kind="${kind}"]`);
    link.href = URL.createObjectURL(blob);
    link.download = name;
    this.#addresses.push(link.href);
  }

  #release() {
    for (const link of this.dialog.querySelectorAll("a")) link.removeAttribute("href");
    for (const address of this.#addresses.splice(0)) URL.revokeObjectURL(address);
  }
}

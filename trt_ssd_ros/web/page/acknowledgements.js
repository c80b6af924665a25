/** Acknowledgements: choice of the frames that the page acknowledges. */

const QUICK_MS = 50;

/**
 * Acknowledgements of one camera: of every second frame if frames follow quickly, else of every frame.
 *
 * An acknowledgement holds for the frames before it, too. To read one costs the web node as much as to send a frame.
 */
export class Acknowledgements {
  #newest = -Infinity; // time of the newest acknowledgement
  #held = false; // the frame before is not acknowledged

  /** Return whether to acknowledge a frame that is drawn at `now`, in milliseconds; if not, the next one is. */
  isDue(now) {
    this.#held = !this.#held && now - this.#newest < QUICK_MS;
    if (!this.#held) this.#newest = now;
    return !this.#held;
  }
}

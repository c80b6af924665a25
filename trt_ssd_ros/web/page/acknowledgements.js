/** Acknowledgements: choice of the frames that the page acknowledges. */

const QUICK_MS = 50;

/**
 * Acknowledgements of one camera: of every second frame if frames come quickly and none is skipped, else of each.
 *
 * An acknowledgement holds for the frames before it, too. To read one costs the web node as much as to send a frame.
 */
export class Acknowledgements {
  #newest = -Infinity; // time of the newest acknowledgement
  #held = false; // the frame before is not acknowledged

  /**
   * Return how many drawn frames to acknowledge when one is drawn at `now`, in milliseconds; 0: with the next.
   *
   * `skipped`: Whether frames before it came and were not drawn. Then none may be held back: the web node, which counts
   * them as under way, might send no next one.
   */
  due(now, skipped) {
    if (!this.#held && !skipped && now - this.#newest < QUICK_MS) {
      this.#held = true;
      return 0;
    }
    const drawn = this.#held ? 2 : 1;
    this.#held = false;
    this.#newest = now;
    return drawn;
  }
}

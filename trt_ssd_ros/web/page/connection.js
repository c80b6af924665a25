/** WebSocket to the web node, which reconnects by itself. trt_ssd_ros/web/protocol.py describes the messages. */

const RETRY_MS = 500;
const ANSWER_MS = 10_000;
const LENGTH_BYTES = 4;
const UNAUTHORIZED = 401;
const UPGRADE_REQUIRED = 426; // the only answer of the path to a plain request that is not refused
const NEW_TOKEN = "The token is not valid any more: open the address that the web node printed at its last start";

/**
 * Events: a CustomEvent with the type of each text message and the message as detail, `frame` with
 * {header, jpeg: Blob}, and `connection` with {open: boolean, text: string}.
 */
export class Connection extends EventTarget {
  #socket = null;
  #waiting = new Map(); // request number -> function that takes the answer
  #requests = 0;
  #refusal = ""; // reason why the web node refuses the connection

  /** Connect now, and again after each loss of the connection. */
  open() {
    const address = new URL("/ws", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#refusal = "";
      this.#emit("connection", { open: true, text: "Connected" });
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = () => this.#lost();
    this.#socket = socket;
  }

  /** Send a message; without a connection it is dropped, because a new connection begins with the newest state. */
  send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** Send a request, and return the answer {ok, message}; it never rejects. */
  request(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return Promise.resolve({ ok: false, message: "not connected" });
    const request = ++this.#requests;
    const answer = new Promise((resolve) => {
      this.#waiting.set(request, resolve);
      setTimeout(() => this.#answer({ request, ok: false, message: "the detector did not answer" }), ANSWER_MS);
    });
    this.send({ ...message, request });
    return answer;
  }

  #receive(data) {
    if (typeof data !== "string") return this.#emit("frame", readFrame(data));
    const message = JSON.parse(data);
    if (message.type === "answer") return this.#answer(message);
    return this.#emit(message.type, message);
  }

  #answer({ request, ok, message }) {
    this.#waiting.get(request)?.({ ok, message });
    this.#waiting.delete(request);
  }

  async #lost() {
    for (const request of [...this.#waiting.keys()]) {
      this.#answer({ request, ok: false, message: "the connection was lost before the detector answered" });
    }
    this.#emit("connection", { open: false, text: this.#refusal || "Connection lost: connecting again" });
    setTimeout(() => this.open(), RETRY_MS);
    const refusal = await readRefusal();
    if (this.#socket.readyState === WebSocket.OPEN) return;
    this.#refusal = refusal;
    if (refusal) this.#emit("connection", { open: false, text: refusal });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Return why the web node refuses a WebSocket; a browser hides it, but a plain request gets the same answer. */
async function readRefusal() {
  try {
    const answer = await fetch("/ws", { cache: "no-store" });
    if (answer.status === UNAUTHORIZED) return NEW_TOKEN;
    const ours = answer.headers.get("Content-Type")?.startsWith("text/plain") && answer.status !== UPGRADE_REQUIRED;
    return ours ? await answer.text() : "";
  } catch {
    return ""; // no connection
  }
}

/** Return a frame {header, jpeg} from a binary message. */
export function readFrame(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, LENGTH_BYTES, length)));
  return { header, jpeg: new Blob([new Uint8Array(buffer, LENGTH_BYTES + length)], { type: "image/jpeg" }) };
}

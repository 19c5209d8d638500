// @ts-check
// The WebSocket to the server: requests with one answer each, and connecting again.

/** @typedef {{seen: string, expected: string, todo: string}} Problem */

/** An answer that is an error, in words. */
export class ServerError extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.seen);
    this.problem = problem;
  }
}

const AGAIN = 1500; // milliseconds until the next attempt to connect

export class Server {
  /**
   * @param {(state: "open" | "closed" | "refused") => void} changed called when the connection opens or closes
   */
  constructor(changed) {
    this.changed = changed;
    this.number = 0;
    /** @type {Map<number, {resolve: (answer: any) => void, reject: (error: Error) => void}>} */
    this.waiting = new Map();
    this.connect();
  }

  connect() {
    const socket = new WebSocket(`ws://${location.host}/socket`);
    let opened = false;
    socket.addEventListener("open", () => {
      opened = true;
      this.socket = socket;
      this.changed("open");
    });
    socket.addEventListener("message", (event) => {
      const answer = JSON.parse(event.data);
      const asked = this.waiting.get(answer.id);
      this.waiting.delete(answer.id);
      if (answer.error) asked?.reject(new ServerError(answer.error));
      else asked?.resolve(answer);
    });
    socket.addEventListener("close", (event) => {
      this.socket = undefined;
      for (const { reject } of this.waiting.values()) {
        reject(new ServerError({ seen: "the connection to the server was lost", expected: "", todo: "what was kept is stored" }));
      }
      this.waiting.clear();
      this.changed(opened ? "closed" : event.code === 1006 ? "closed" : "refused");
      setTimeout(() => this.connect(), AGAIN);
    });
  }

  /**
   * The answer to a request.
   * @param {Record<string, unknown>} request
   * @returns {Promise<any>}
   */
  ask(request) {
    const id = ++this.number % 100000;
    return new Promise((resolve, reject) => {
      if (!this.socket) {
        reject(new ServerError({ seen: "there is no connection to the server", expected: "", todo: "start `weakspot explore` again, and open its address" }));
        return;
      }
      this.waiting.set(id, { resolve, reject });
      this.socket.send(JSON.stringify({ id, ...request }));
    });
  }
}

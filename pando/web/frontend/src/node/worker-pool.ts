/** The workers of this tab, as the node has them: started in the sandbox, each with a port. */

import {
  checkFromSandbox,
  checkFromWorker,
  type FromWorker,
  type Language,
  type ToSandbox,
  type ToWorker,
} from "../compute/protocol";

/** Silence of the sandbox after which it counts as lost, in milliseconds; an idle page answers at once. */
const SANDBOX_MILLISECONDS = 6000;
const PING_MILLISECONDS = 1500;
/** Workers that may fail one after the other before they have computed anything. */
const MAX_FAILED_STARTS = 3;

export interface WorkerPoolEvents {
  onReady(worker: number): void;
  onMessage(
    worker: number,
    message: FromWorker & { type: "results" | "batchTruncated" | "reported" },
  ): void;
  onLost(worker: number, reason: string): void;
  onLoadFailed(reason: string, traceback: string): void;
  /** The sandbox itself is gone, and all workers with it. */
  onSandboxLost(): void;
}

export class WorkerPool {
  private readonly ports = new Map<number, MessagePort>();
  private readonly pinging: ReturnType<typeof setInterval>;
  private nextWorker = 1;
  private lastHeard = performance.now();
  private failedStarts = 0;
  private size = 0;
  /** Whether a worker has been ready. */
  private warm = false;

  constructor(
    private readonly control: MessagePort,
    private readonly language: Language,
    private readonly packed: Uint8Array,
    private readonly events: WorkerPoolEvents,
  ) {
    control.onmessage = ({ data }: MessageEvent<unknown>) => this.onSandboxMessage(data);
    this.pinging = setInterval(() => this.ping(), PING_MILLISECONDS);
  }

  /** Have so many workers. The first starts alone: what the browser compiles for it serves the others. */
  resize(size: number): void {
    this.size = size;
    for (const worker of [...this.ports.keys()].slice(size))
      this.end(worker, "there are fewer workers now");
    this.fill();
  }

  post(worker: number, message: ToWorker, transfer: Transferable[] = []): void {
    this.ports.get(worker)?.postMessage(message, transfer);
  }

  /** End a worker at once, and start another in its place. */
  replace(worker: number, reason: string): void {
    this.end(worker, reason);
    this.fill();
  }

  endAll(reason: string): void {
    clearInterval(this.pinging);
    this.size = 0;
    for (const worker of [...this.ports.keys()]) this.end(worker, reason);
    this.control.close();
  }

  private command(command: ToSandbox, transfer: Transferable[] = []): void {
    this.control.postMessage(command, transfer);
  }

  private fill(): void {
    const wanted = this.warm ? this.size : Math.min(this.size, 1);
    while (this.ports.size < wanted) this.start();
  }

  private start(): void {
    const worker = this.nextWorker++;
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }: MessageEvent<unknown>) => this.onWorkerMessage(worker, data);
    this.ports.set(worker, port1);
    this.command({ type: "start", worker, language: this.language, port: port2 }, [port2]);
    this.post(worker, { type: "load", package: this.packed });
  }

  private end(worker: number, reason: string): void {
    const port = this.ports.get(worker);
    if (port === undefined) return;
    port.close();
    this.ports.delete(worker);
    this.command({ type: "end", worker });
    this.events.onLost(worker, reason);
  }

  private onWorkerMessage(worker: number, data: unknown): void {
    const message = checkFromWorker(data);
    if (!this.ports.has(worker)) return;
    if (message === null) {
      this.replace(worker, "protocol violation");
      return;
    }
    switch (message.type) {
      case "ready":
        this.failedStarts = 0;
        this.warm = true;
        this.events.onReady(worker);
        this.fill();
        break;
      case "loadFailed":
        this.events.onLoadFailed(message.reason, message.traceback);
        break;
      default:
        this.events.onMessage(worker, message);
    }
  }

  private onSandboxMessage(data: unknown): void {
    this.lastHeard = performance.now();
    const message = checkFromSandbox(data);
    if (message?.type !== "failed" || !this.ports.has(message.worker)) return;
    this.failedStarts += 1;
    if (this.failedStarts > MAX_FAILED_STARTS * this.size) {
      this.events.onLoadFailed(
        `workers cannot be kept alive in this browser: ${message.reason}`,
        "",
      );
    } else {
      this.replace(message.worker, message.reason);
    }
  }

  private ping(): void {
    const now = performance.now();
    // A tab that was frozen has not lastHeard anything for long, and its sandbox neither.
    if (now - this.lastHeard > SANDBOX_MILLISECONDS + 2 * PING_MILLISECONDS) {
      this.lastHeard = now;
    } else if (now - this.lastHeard > SANDBOX_MILLISECONDS) {
      this.endAll("the browser ended what ran it");
      this.events.onSandboxLost();
      return;
    }
    this.command({ type: "ping" });
  }
}

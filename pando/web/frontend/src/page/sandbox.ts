/** The sandbox as the page has it: a frame without rights, and what it is given. */

import type { ToSandboxPage } from "../sandbox/main";
import { fetchPython, type OnProgress, type PythonFiles } from "./download";
import type { RunDetails, RunSource } from "./run";

export class Sandbox {
  private frame: HTMLIFrameElement | null = null;
  private begun: { network: boolean; control: Promise<MessagePort> } | null = null;
  private files: Promise<PythonFiles> | null = null;
  private loaded: Promise<void> = Promise.resolve();
  private network = false;
  /** Whether the frame has been given out. */
  private used = false;

  constructor(
    private run: RunDetails,
    private readonly source: RunSource,
    private readonly onProgress: OnProgress,
  ) {}

  /** Another run has begun: what was fetched for the one before is of no use. */
  changeRun(run: RunDetails): void {
    this.close();
    this.run = run;
    this.files = null;
  }

  /** Fetch what Python needs already now. */
  prefetch(): void {
    if (this.run.python === null) return;
    this.files = fetchPython(this.run.python, this.source, this.onProgress);
    this.files.catch(() => {
      this.files = null; // it is tried again when it is needed
    });
  }

  /** Have the frame already that `open` is going to be asked for: it is a process of its own. */
  prepare(network: boolean): void {
    if (this.frame !== null && this.network === network) return;
    this.close();
    const frame = document.createElement("iframe");
    frame.sandbox.add("allow-scripts");
    frame.title = "Where the program runs";
    frame.inert = true; // there is nothing in it for people
    frame.src = network ? `./sandbox/online?run=${encodeURIComponent(this.run.id)}` : "./sandbox";
    this.loaded = new Promise((resolve) =>
      frame.addEventListener("load", () => resolve(), { once: true }),
    );
    this.frame = frame;
    this.network = network;
    document.body.append(frame);
  }

  /** Begin with what `open` is going to be asked for: it takes about as long as connecting does. */
  begin(network: boolean): void {
    const control = this.load(network);
    control.catch(() => {}); // `open` hears of it
    this.begun = { network, control };
  }

  /** A frame that nothing has run in, and the port on which it takes commands. */
  open(network: boolean): Promise<MessagePort> {
    const { begun } = this;
    this.begun = null;
    return begun?.network === network ? begun.control : this.load(network);
  }

  private async load(network: boolean): Promise<MessagePort> {
    if (this.used) this.close();
    this.prepare(network);
    this.used = true;
    const { frame, loaded } = this;
    if (this.files === null) this.prefetch();
    const files = await this.files;
    this.files = null; // they move: a later frame is given what the browser has kept
    await loaded;
    const { port1, port2 } = new MessageChannel();
    const message: ToSandboxPage = { control: port2, python: files };
    frame?.contentWindow?.postMessage(message, "*", [port2, ...listBuffers(files)]);
    return port1;
  }

  close(): void {
    this.frame?.remove();
    this.frame = null;
    this.used = false;
    this.begun = null;
  }
}

function listBuffers(files: PythonFiles | null): ArrayBuffer[] {
  if (files === null) return [];
  return [files.wasm, files.standardLibrary, ...files.packages.map(({ data }) => data)];
}

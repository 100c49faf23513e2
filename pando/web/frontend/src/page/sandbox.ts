/** The sandbox as the page has it: a frame without rights, and what it is given. */

import type { ToSandboxPage } from "../sandbox/main";
import { fetchPython, type OnProgress, type PythonFiles } from "./download";
import type { RunDetails, RunSource } from "./run";

export class Sandbox {
  private frame: HTMLIFrameElement | null = null;
  private files: Promise<PythonFiles> | null = null;
  private prepared: { network: boolean; control: Promise<MessagePort> } | null = null;

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

  /** Begin with what `open` is going to be asked for: it takes about as long as connecting does. */
  prepare(network: boolean): void {
    const control = this.load(network);
    control.catch(() => {}); // `open` hears of it
    this.prepared = { network, control };
  }

  /** A new frame in the place of an earlier one, and the port on which it takes commands. */
  open(network: boolean): Promise<MessagePort> {
    const { prepared } = this;
    this.prepared = null;
    return prepared?.network === network ? prepared.control : this.load(network);
  }

  private async load(network: boolean): Promise<MessagePort> {
    this.close();
    const frame = document.createElement("iframe");
    frame.sandbox.add("allow-scripts");
    frame.title = "Where the program runs";
    frame.inert = true; // there is nothing in it for people
    frame.src = network ? `./sandbox/online?run=${encodeURIComponent(this.run.id)}` : "./sandbox";
    const loaded = new Promise((resolve) =>
      frame.addEventListener("load", resolve, { once: true }),
    );
    this.frame = frame;
    document.body.append(frame);
    if (this.files === null) this.prefetch();
    const files = await this.files;
    this.files = null; // they move: a later frame is given what the browser has kept
    await loaded;
    const { port1, port2 } = new MessageChannel();
    const message: ToSandboxPage = { control: port2, python: files };
    frame.contentWindow?.postMessage(message, "*", [port2, ...listBuffers(files)]);
    return port1;
  }

  close(): void {
    this.frame?.remove();
    this.frame = null;
    this.prepared = null;
  }
}

function listBuffers(files: PythonFiles | null): ArrayBuffer[] {
  if (files === null) return [];
  return [files.wasm, files.standardLibrary, ...files.packages.map(({ data }) => data)];
}

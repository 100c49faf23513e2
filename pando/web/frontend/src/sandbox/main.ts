/**
 * The page without rights in which the workers live that run the function.
 *
 * Its origin is opaque, and its policy says what it may reach, which mostly is nothing: it is given
 * what it needs, once, by the page around it. The node starts and ends workers here through a port of its own.
 */

import type { FromSandbox, Opening, PythonAssets, ToSandbox } from "../compute/protocol";
import ComputeWorker from "../compute/worker?worker&inline";

/** From the page around, once. */
export interface ToSandboxPage {
  control: MessagePort;
  python: (Omit<PythonAssets, "wasm"> & { wasm: ArrayBuffer }) | null;
}

const workers = new Map<number, Worker>();

addEventListener("message", ({ data, source }: MessageEvent<ToSandboxPage>) => {
  if (source !== parent) return;
  const python = data.python && compile(data.python);
  data.control.onmessage = ({ data: command }: MessageEvent<ToSandbox>) =>
    void handle(command, data.control, python);
});

async function compile(assets: NonNullable<ToSandboxPage["python"]>): Promise<PythonAssets> {
  return { ...assets, wasm: await WebAssembly.compile(assets.wasm) };
}

async function handle(
  command: ToSandbox,
  control: MessagePort,
  python: Promise<PythonAssets> | null,
): Promise<void> {
  const post = (message: FromSandbox): void => control.postMessage(message);
  switch (command.type) {
    case "ping":
      post({ type: "pong" });
      break;
    case "end":
      workers.get(command.worker)?.terminate();
      workers.delete(command.worker);
      break;
    case "start": {
      const fail = (reason: string): void => {
        workers.get(command.worker)?.terminate();
        workers.delete(command.worker);
        post({ type: "failed", worker: command.worker, reason });
      };
      try {
        const worker = new ComputeWorker();
        workers.set(command.worker, worker);
        worker.onerror = (event) => fail(event.message || "the worker could not be started");
        const opening: Opening = {
          port: command.port,
          python: command.language === "python" ? ((await python) ?? null) : null,
        };
        worker.postMessage(opening, [command.port]);
      } catch (error) {
        fail(String(error));
      }
    }
  }
}

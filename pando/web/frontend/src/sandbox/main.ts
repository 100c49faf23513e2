/**
 * The page without rights in which the workers live that run the function.
 *
 * Its origin is opaque, and its policy says what it may reach, which mostly is nothing: it is given
 * what it needs, once, by the page around it. The node starts and ends workers here through a port of its own.
 */

import ComputeWorker from "../compute/worker?worker&inline";
import type { FromSandbox, Opening, PythonAssets, ToSandbox } from "../compute/protocol";

/** From the page around, once. */
export interface ToSandboxPage {
  control: MessagePort;
  python: (Omit<PythonAssets, "wasm"> & { wasm: ArrayBuffer }) | null;
}

const workers = new Map<number, Worker>();

addEventListener("message", ({ data, source }: MessageEvent<ToSandboxPage>) => {
  if (source !== parent) return;
  const python = data.python && compile(data.python);
  data.control.onmessage = ({ data: order }: MessageEvent<ToSandbox>) => void obey(order, data.control, python);
});

async function compile(assets: NonNullable<ToSandboxPage["python"]>): Promise<PythonAssets> {
  return { ...assets, wasm: await WebAssembly.compile(assets.wasm) };
}

async function obey(
  order: ToSandbox,
  control: MessagePort,
  python: Promise<PythonAssets> | null,
): Promise<void> {
  const say = (message: FromSandbox): void => control.postMessage(message);
  switch (order.do) {
    case "ping":
      say({ is: "pong" });
      break;
    case "end":
      workers.get(order.worker)?.terminate();
      workers.delete(order.worker);
      break;
    case "start": {
      const fail = (reason: string): void => {
        workers.get(order.worker)?.terminate();
        workers.delete(order.worker);
        say({ is: "failed", worker: order.worker, reason });
      };
      try {
        const worker = new ComputeWorker();
        workers.set(order.worker, worker);
        worker.onerror = (event) => fail(event.message || "the worker could not be started");
        const opening: Opening = {
          port: order.port,
          python: order.language === "python" ? ((await python) ?? null) : null,
        };
        worker.postMessage(opening, [order.port]);
      } catch (error) {
        fail(String(error));
      }
    }
  }
}

/** The program of a worker that runs the function, inside the sandbox. */

import "./global";

import { LoadFailedError } from "../errors";
import { failFromOutside } from "./batch";
import { type Engine, JavaScriptEngine } from "./engine";
import type { FromWorker, Opening, ToWorker } from "./protocol";
import { PythonEngine } from "./python";

const post = (port: MessagePort, message: FromWorker, transfer: Transferable[] = []): void =>
  port.postMessage(message, transfer);

// A worker that ends itself would keep its items for ever: nobody could tell it from a busy one.
Object.defineProperty(globalThis, "close", {
  value: () => {
    throw new Error("a Pando worker does not close itself");
  },
});

addEventListener("error", (event) => {
  if (failFromOutside(event.error)) event.preventDefault();
});

self.onmessage = ({ data }: MessageEvent<Opening>) => {
  self.onmessage = null;
  serve(data.port, data.python);
};

function serve(port: MessagePort, python: Opening["python"]): void {
  let engine: Engine;
  let broken = false;
  /** What waits after something that broke the engine is not done any more. */
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    if (broken) return;
    try {
      await work();
    } catch (error) {
      broken = true;
      report(error);
    }
  };
  let earlier = attempt(async () => {
    engine = python ? await PythonEngine.start(python) : new JavaScriptEngine();
  });
  port.onmessage = ({ data }: MessageEvent<ToWorker>) => {
    earlier = earlier.then(() => attempt(() => handle(port, engine, data)));
  };
}

async function handle(port: MessagePort, engine: Engine, message: ToWorker): Promise<void> {
  if (message.type === "load") {
    try {
      await engine.load(message.package);
      post(port, { type: "ready" });
    } catch (error) {
      if (!(error instanceof LoadFailedError)) throw error;
      post(port, { type: "loadFailed", reason: error.reason, traceback: error.traceback });
    }
    return;
  }
  const { batch, count, items } = message;
  let computed = 0;
  await engine.compute(items, ({ values, ...part }) => {
    computed += part.count;
    post(port, { type: "results", batch, values, ...part }, [values.buffer]);
  });
  const report = engine.takeReport();
  if (report !== null) post(port, { type: "reported", report });
  if (computed < count) post(port, { type: "batchTruncated", batch });
}

/** What breaks the engine itself, such as memory that is used up, ends this worker. */
function report(error: unknown): void {
  setTimeout(() => {
    throw error;
  });
}

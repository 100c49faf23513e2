/** The program of a worker that runs the function, inside the sandbox. */

import "./global";

import { failFromOutside } from "./batch";
import { type Engine, JavaScriptEngine, Refusal } from "./engine";
import type { FromWorker, Opening, ToWorker } from "./protocol";
import { PythonEngine } from "./python";

const say = (port: MessagePort, message: FromWorker, transfer: Transferable[] = []): void =>
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

onmessage = ({ data }: MessageEvent<Opening>) => {
  onmessage = null;
  serve(data.port, data.python);
};

function serve(port: MessagePort, python: Opening["python"]): void {
  let engine: Engine;
  let broken = false;
  /** What waits behind something that broke the engine is not done any more. */
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
  if (message.do === "load") {
    try {
      await engine.load(message.package);
      say(port, { is: "ready" });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      say(port, { is: "refused", reason: error.reason, traceback: error.traceback });
    }
    return;
  }
  const { batch, count, items } = message;
  let computed = 0;
  await engine.compute(items, ({ values, ...part }) => {
    computed += part.count;
    say(port, { is: "results", batch, values, ...part }, [values.buffer]);
  });
  const report = engine.takeReport();
  if (report !== null) say(port, { is: "reported", report });
  if (computed < count) say(port, { is: "ended early", batch });
}

/** What breaks the engine itself, such as memory that is used up, ends this worker. */
function report(error: unknown): void {
  setTimeout(() => {
    throw error;
  });
}

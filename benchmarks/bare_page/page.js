/** Bare loops in workers of this page: what a browser does without Pando around the function. */

let workers = [];

/** Start so many workers with a function; resolves when all have it. */
globalThis.start = async (language, name, count) => {
  workers.forEach((worker) => worker.terminate());
  workers = Array.from({ length: count }, () => new Worker("worker.js", { type: "module" }));
  await askAll({ do: "load", language, name });
};

/** How many rounds one worker makes in so many milliseconds. */
globalThis.calibrate = async (milliseconds) => (await askAll({ do: "calibrate", milliseconds }))[0];

/** Items a second of all workers together; `item` is given again and again, or counted up from 0. */
globalThis.measure = async (item, chunk, seconds) => {
  const rates = await askAll({ do: "measure", item, chunk, seconds });
  return rates.reduce((sum, rate) => sum + rate, 0);
};

function askAll(message) {
  return Promise.all(workers.map((worker) => ask(worker, message)));
}

function ask(worker, message) {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
    worker.postMessage(message);
  });
}

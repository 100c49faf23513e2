/** A worker of the page of bare loops. */

const CALIBRATION_MILLISECONDS = 300;
let loop = null;

onmessage = async ({ data }) => {
  switch (data.do) {
    case "load":
      loop = data.language === "python" ? await loadPython(data.name) : await loadJavaScript(data.name);
      postMessage(null);
      break;
    case "calibrate":
      postMessage(calibrate(data.milliseconds));
      break;
    case "measure": {
      const { count, seconds } = loop(data.item, data.chunk, data.seconds);
      postMessage(count / seconds);
    }
  }
};

/** A loop in plain JavaScript. */
async function loadJavaScript(name) {
  const source = await (await fetch("functions.js")).text();
  const call = new Function(`${source}\nreturn functions[${JSON.stringify(name)}]`)();
  return (item, chunk, seconds) => {
    const started = performance.now();
    let count = 0;
    while (performance.now() - started < seconds * 1000) {
      const results = [];
      for (let i = 0; i < chunk; i++) results.push(call(item ?? i));
      count += results.length;
    }
    return { count, seconds: (performance.now() - started) / 1000 };
  };
}

/** The same in Python, by the Pyodide and with the standard library that Pando brings. */
async function loadPython(name) {
  const { loadPyodide } = await import("./pyodide/pyodide.mjs");
  const pyodide = await loadPyodide({ indexURL: new URL("pyodide/", location.href).href });
  for (const file of ["functions.py", "loop.py"]) pyodide.runPython(await (await fetch(file)).text());
  const call = pyodide.globals.get(name);
  const run = pyodide.globals.get("run");
  return (item, chunk, seconds) => {
    const [count, lasted] = run(call, item ?? undefined, chunk, seconds).toJs();
    return { count, seconds: lasted };
  };
}

/** Rounds of `spin_rounds` in so many milliseconds, from a run that is long enough to be sure. */
function calibrate(milliseconds) {
  for (let rounds = 10; ; rounds *= 4) {
    loop(rounds, 1, 0.001); // before it counts, it has to be compiled
    const { count, seconds } = loop(rounds, 1, 0.001);
    if (seconds * 1000 >= CALIBRATION_MILLISECONDS) {
      return Math.round((rounds * count * milliseconds) / (seconds * 1000));
    }
  }
}

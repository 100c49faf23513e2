/** Python in a worker: Pyodide, started from bytes, without fetching anything. */

import { decode as unpack } from "@msgpack/msgpack";
import { loadPyodide, type PyodideAPI } from "pyodide";

import { LoadFailedError } from "../errors";
import type { Failure, Report } from "../messages";
import type { Engine } from "./engine";
import type { Part, PythonAssets } from "./protocol";

/** Where Pyodide believes that it is served; nothing is asked there. */
const NOWHERE = "https://pando.invalid/";
const STANDARD_LIBRARY = `${NOWHERE}python_stdlib.zip`;

/** What `pando.runtime.tab` offers. */
interface Tab {
  load(packed: Uint8Array): string | undefined;
  compute(items: Uint8Array, flush: Flush): Promise<void> | undefined;
  take_report(): string | undefined;
}

type Flush = (count: number, values: Uint8Array, failures: Uint8Array, seconds: number) => void;

export class PythonEngine implements Engine {
  private constructor(private readonly tab: Tab) {}

  static async start(assets: PythonAssets): Promise<PythonEngine> {
    const pyodide = await withoutNetwork(assets, () => start(assets));
    const sitePackages = pyodide.runPython("import site; site.getsitepackages()[0]") as string;
    for (const [place, { format, data }] of assets.packages.entries()) {
      if (format === "packed") addPacked(pyodide, `/lib/packed-${place}.zip`, data);
      else pyodide.unpackArchive(data, format, { extractDir: sitePackages });
    }
    return new PythonEngine(pyodide.pyimport("pando.runtime.tab") as unknown as Tab);
  }

  async load(packed: Uint8Array): Promise<void> {
    const refusal = this.tab.load(packed);
    if (refusal === undefined) return;
    const [reason, traceback] = JSON.parse(refusal) as [string, string];
    throw new LoadFailedError(reason, traceback);
  }

  async compute(items: Uint8Array, flush: (part: Part) => void): Promise<void> {
    await this.tab.compute(items, (count, values, failures, seconds) => {
      flush({ count, values, failures: readFailures(failures), seconds });
    });
  }

  takeReport(): Report | null {
    const report = this.tab.take_report();
    if (report === undefined) return null;
    const [items, units, cpuSeconds, transferSeconds] = JSON.parse(report) as [
      number,
      string,
      number,
      number,
    ];
    return { items, units, cpuSeconds, transferSeconds };
  }
}

function addPacked(pyodide: PyodideAPI, path: string, data: ArrayBuffer): void {
  pyodide.FS.writeFile(path, new Uint8Array(data));
  pyodide.runPython(`import sys; sys.path.append(${JSON.stringify(path)})`);
}

/** Failures as `pando.messages` encodes them. */
function readFailures(bytes: Uint8Array): Map<number, Failure> {
  const fields = unpack(bytes) as Record<string, [string, string, string, string?, Uint8Array?]>;
  return new Map(
    Object.entries(fields).map(([place, [type, reason, traceback, , given]]) => [
      Number(place),
      { type, reason, traceback, device: "", arguments: given },
    ]),
  );
}

async function start(assets: PythonAssets): Promise<PyodideAPI> {
  const url = URL.createObjectURL(new Blob([assets.program], { type: "text/javascript" }));
  try {
    const program = (await import(/* @vite-ignore */ url)) as { default: unknown };
    return await loadPyodide({
      indexURL: NOWHERE,
      stdLibURL: STANDARD_LIBRARY,
      lockFileContents: JSON.stringify({
        info: {
          abi_version: "2026_0",
          arch: "wasm32",
          platform: "emscripten",
          version: "0",
          python: "3.14",
        },
        packages: {},
      }),
      createPyodideModule: program.default,
      stdin: () => null, // ended, as that of native workers
      // Each worker has to have hashes and random numbers of its own.
      env: { HOME: "/home/pyodide", PYTHONUNBUFFERED: "1" },
    } as Parameters<typeof loadPyodide>[0]);
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** While Pyodide starts, what it fetches and compiles is what is here already. */
async function withoutNetwork<T>(assets: PythonAssets, body: () => Promise<T>): Promise<T> {
  const { fetch, WebAssembly: wasm } = globalThis;
  const { instantiateStreaming } = wasm;
  globalThis.fetch = (input) =>
    Promise.resolve(
      new Response(String(input) === STANDARD_LIBRARY ? assets.standardLibrary : null),
    );
  wasm.instantiateStreaming = async (_, imports) => ({
    module: assets.wasm,
    instance: await wasm.instantiate(assets.wasm, imports),
  });
  try {
    return await body();
  } finally {
    globalThis.fetch = fetch;
    wasm.instantiateStreaming = instantiateStreaming;
  }
}

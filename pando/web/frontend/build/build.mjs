/**
 * Builds everything that the root serves into `pando/web/static`: the page, the sandbox, the parts
 * of Python, and a list of them. Run by `npm run build`, which `pip install` calls.
 */

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "vite";

import { describeDistribution } from "./distribution.mjs";
import { collectLicences } from "./licences.mjs";
import { precompileStandardLibrary } from "./standard-library.mjs";

const frontend = dirname(dirname(fileURLToPath(import.meta.url)));
const output = join(frontend, "..", "static");
const pyodide = join(frontend, "node_modules", "pyodide");
/** A classic script. So are the workers in it: an opaque origin cannot start modules from blobs. */
const script = (entry, name) => ({
  root: frontend,
  configFile: false,
  logLevel: "warn",
  worker: { format: "iife" },
  // What Pyodide imports where it runs on Node.
  resolve: { alias: [{ find: /^node:.*/, replacement: join(frontend, "build", "nothing.mjs") }] },
  build: {
    outDir: output,
    emptyOutDir: false,
    target: "es2022",
    lib: { entry: join(frontend, "src", entry), name, formats: ["iife"], fileName: () => `${name}.js` },
  },
});

process.chdir(frontend);
await build({ logLevel: "warn" });
await build(script("sandbox/main.ts", "sandbox"));
await writeAssets();
writeFileSync(join(output, "distribution.json"), JSON.stringify(describeDistribution(pyodide)));
writeFileSync(join(output, "licences.txt"), collectLicences(frontend));
compressAll(join(output, "assets"));

/** Put Python's parts among the assets, under names that tell their content. */
async function writeAssets() {
  const assets = join(output, "assets");
  mkdirSync(assets, { recursive: true });
  const put = (name, data) => {
    const digest = createHash("sha256").update(data).digest("base64url").slice(0, 10);
    const [, stem, ending] = /^(.*?)((?:\.tar)?\.[^.]+)$/.exec(name);
    // A wheel's name says what it is, and stays as it is.
    const file = ending === ".whl" ? name : `${stem}-${digest}${ending}`;
    writeFileSync(join(assets, file), data);
    return `assets/${file}`;
  };
  const wheels = join(frontend, "wheels");
  const list = {
    program: put("pyodide.mjs", readFileSync(join(pyodide, "pyodide.asm.mjs"))),
    wasm: put("pyodide.wasm", readFileSync(join(pyodide, "pyodide.asm.wasm"))),
    standardLibrary: put("python.zip", await precompileStandardLibrary(pyodide)),
    packages: readdirSync(wheels)
      .filter((name) => name.endsWith(".whl"))
      .map((name) => put(name, readFileSync(join(wheels, name)))),
  };
  writeFileSync(join(output, "python.json"), JSON.stringify(list, null, 1));
}

/** Each file that gets much smaller by it is kept as gzip makes it, which browsers are served. */
function compressAll(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const data = readFileSync(path);
    const compressed = gzipSync(data, { level: 9 });
    if (compressed.length < 0.9 * data.length) {
      writeFileSync(`${path}.gz`, compressed);
      rmSync(path);
    }
  }
}

import { readFileSync } from "node:fs";

import { defineConfig } from "vite";

/** Pando's version, which tabs report. */
const version = /__version__ = "([^"]+)"/.exec(readFileSync("../../__init__.py", "utf-8"))?.[1];
if (version === undefined) throw new Error("pando/__init__.py does not tell its version");

/** The two pages, and the worker of the node; `build/build.mjs` builds what runs in the sandbox. */
export default defineConfig({
  base: "./",
  define: { PANDO_VERSION: JSON.stringify(version) },
  build: {
    outDir: "../static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: false,
    target: "es2022",
    rollupOptions: { input: ["index.html", "monitoring.html"] },
  },
  // One file: where a part of a worker imports its entry, WebKit runs the entry a second time.
  worker: { format: "es", rolldownOptions: { output: { codeSplitting: false } } },
  test: { include: ["tests/**/*.test.ts"] },
} as ReturnType<typeof defineConfig>);

/** Builds what runs inside V8 without a browser, as one classic script beside its host. */

import { fileURLToPath } from "node:url";
import { build } from "vite";

await build({
  configFile: false,
  root: fileURLToPath(new URL("..", import.meta.url)),
  logLevel: "warn",
  build: {
    lib: {
      entry: "src/compute/v8.ts",
      formats: ["iife"],
      name: "pandoV8",
      fileName: () => "v8.js",
    },
    outDir: "../../runtime",
    emptyOutDir: false,
    copyPublicDir: false,
    target: "es2022",
  },
});

import { defineConfig } from "vite";

/** The page and the worker of the node; `build/build.mjs` builds what runs in the sandbox. */
export default defineConfig({
  base: "./",
  build: {
    outDir: "../static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: false,
    target: "es2022",
  },
  worker: { format: "es" },
  test: { include: ["tests/**/*.test.ts"] },
} as ReturnType<typeof defineConfig>);

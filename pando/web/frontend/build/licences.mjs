/** The licences of what is bundled, to travel with it. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const BUNDLED = ["@msgpack/msgpack", "@noble/ciphers", "@noble/curves", "@noble/hashes", "uplot", "pyodide", "fast-text-encoding"];

export function collectLicences(frontend) {
  return BUNDLED.map((name) => {
    const folder = join(frontend, "node_modules", name);
    const about = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
    const text = file ? readFileSync(join(folder, file), "utf8") : `Its text: https://spdx.org/licenses/${about.license}`;
    return `${name} ${about.version}, ${about.license}\n${about.homepage ?? ""}\n\n${text.trim()}\n`;
  }).join(`\n${"-".repeat(78)}\n\n`);
}

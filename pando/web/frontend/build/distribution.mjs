/** What Pyodide's makers have built for it, and where that is, from Pyodide's own package. */

import { readFileSync } from "node:fs";
import { join } from "node:path";

export function describeDistribution(folder) {
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const program = readFileSync(join(folder, "pyodide.mjs"), "utf8");
  const place = /`(https:\/\/[^`]*\/)v\$\{\w+\}(\/[^`]*)`/.exec(program);
  if (place === null) throw new Error("this Pyodide does not say where its packages are");
  const { packages } = JSON.parse(readFileSync(join(folder, "pyodide-lock.json"), "utf8"));
  const described = Object.values(packages).map(({ name, file_name, sha256, version, depends }) => [
    name,
    { file: file_name, sha256, version, depends },
  ]);
  return { url: `${place[1]}v${version}${place[2]}`, packages: Object.fromEntries(described) };
}

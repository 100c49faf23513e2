// Runs cases that were sent in Pyodide: `node pyodide_cases.mjs PYODIDE MOUNTED... < shipped`.
// The folders are on the import path there. What the cases give is written as JSON.

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [pyodideFolder, ...folders] = process.argv.slice(2).map((path) => resolve(path));
const { loadPyodide } = await import(pathToFileURL(`${pyodideFolder}/pyodide.mjs`).href);
const python = await loadPyodide({ indexURL: pyodideFolder });
const places = folders.map((folder, number) => {
  const place = `/host${number}`;
  python.FS.mkdir(place);
  python.mountNodeFS(place, folder);
  return place;
});
python.globals.set("places", python.toPy(places));
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
python.globals.set("text", Buffer.concat(chunks).toString("utf8"));
process.stdout.write(
  python.runPython(`
import sys
sys.path[:0] = list(places)
from shipping import receive_in_turn
receive_in_turn(text)
`),
);

/** The parts of Python, fetched with the progress that is made. */

import type { ToSandboxPage } from "../sandbox/main";
import type { Asset, RunDetails, RunSource } from "./run";

export type PythonFiles = NonNullable<ToSandboxPage["python"]>;
type PythonAssets = NonNullable<RunDetails["python"]>;

/** Told how much of all is here, from 0 to 1. */
export type OnProgress = (share: number) => void;

function list(python: PythonAssets): Asset[] {
  return [python.program, python.wasm, python.standardLibrary, ...python.packages];
}

/** How many bytes a run makes this page fetch. */
export function downloadBytes({ python }: RunDetails): number {
  return python === null ? 0 : list(python).reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Whether this device should fetch nothing that nobody has asked for. */
export function savesData(): boolean {
  const { connection } = navigator as {
    connection?: { saveData?: boolean; type?: string };
  };
  const reduced = matchMedia("(prefers-reduced-data: reduce)").matches;
  return reduced || connection?.saveData === true || connection?.type === "cellular";
}

export async function fetchPython(
  python: PythonAssets,
  source: RunSource,
  onProgress: OnProgress,
): Promise<PythonFiles> {
  const assets = list(python);
  const all = assets.reduce((sum, { unpackedBytes }) => sum + unpackedBytes, 0);
  let here = 0;
  const onBytes = (count: number): void => {
    here += count;
    onProgress(Math.min(1, here / all));
  };
  const [program, wasm, standardLibrary, ...packages] = await Promise.all(
    assets.map((asset) => fetchAsset(asset, source, onBytes)),
  );
  onProgress(1);
  return {
    program: new TextDecoder().decode(program),
    wasm: wasm!,
    standardLibrary: standardLibrary!,
    packages: packages.map((data, i) => ({ data, format: formatOf(python.packages[i]!.url) })),
  };
}

/** Pando's own modules and pure Python stay packed; other packages may need to be unpacked. */
function formatOf(url: string): PythonFiles["packages"][number]["format"] {
  if (/^assets\/.*-none-any\.whl$/.test(url)) return "packed";
  return url.endsWith(".whl") ? "wheel" : "zip";
}

/** A file of the page, or a package that comes over the link of the run. */
async function fetchAsset(
  { url, digest }: Asset,
  { fetchWheel }: RunSource,
  onBytes: (count: number) => void,
): Promise<ArrayBuffer> {
  if (fetchWheel === null || digest === undefined) return fetchFile(url, onBytes);
  const data = await fetchWheel(digest);
  onBytes(data.byteLength);
  return data;
}

async function fetchFile(url: string, onBytes: (count: number) => void): Promise<ArrayBuffer> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} could not be loaded (${response.status})`);
  if (response.body === null) return response.arrayBuffer();
  const reader = response.body.getReader();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(chunks).arrayBuffer();
    chunks.push(value);
    onBytes(value.length);
  }
}

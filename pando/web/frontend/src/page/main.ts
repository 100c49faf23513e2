/** The volunteer's page: it starts the node in a worker of its own, and shows what it does. */

import type { FromNode, ToNode } from "../node/main";
import { maySleep, stayAwake } from "./awake";
import { guessName, rememberedName, rememberName, suitableWorkers } from "./device-name";
import { parseInvitation } from "./invitation";
import { fetchRun, readRun } from "./run";
import { Sandbox } from "./sandbox";
import { controls, FiguresView, type Mode, showMode, showNetwork, showProblem, showRun } from "./view";

/** For so long after it was loaded, in milliseconds, a page knows which run is served. */
const FRESH_MILLISECONDS = 5000;

let run = readRun(document)!;
let hasBegun = false;
const invitation = parseInvitation(location.hash);
const sandbox = new Sandbox(run);
const view = new FiguresView();
let node: Worker | null = null;
let mode: Mode = "idle";

function setMode(next: Mode): void {
  mode = next;
  showMode(mode);
  if (mode === "running") void stayAwake();
  else void maySleep();
}

function tell(message: ToNode, transfer: Transferable[] = []): void {
  node?.postMessage(message, transfer);
}

/** Whether the function may use the internet here. */
function wantsNetwork(): boolean {
  return run.network && controls.network.checked;
}

function start(): void {
  if (node !== null || run.problem) return;
  const { name, workers } = controls;
  const device = name.value.trim() || guessName(navigator.userAgent);
  rememberName(device);
  showProblem("");
  setMode("running");
  node = new Worker(new URL("../node/main.ts", import.meta.url), { type: "module", name: "node" });
  node.onmessage = ({ data }: MessageEvent<FromNode>) => void hear(data);
  node.onerror = ({ message }) => end(message || "The program of this page could not be started.");
  const url = new URL("node", location.href.replace(/[?#].*$/, "").replace(/^http/, "ws")).href;
  const count = Math.max(1, Math.min(64, Math.round(workers.valueAsNumber) || 1));
  tell({ do: "start", options: { url, token: invitation.token, name: device, workers: count } });
  if (isFresh()) sandbox.prepare(wantsNetwork());
}

/** Whether the run that this page was made for is the one that is served. */
function isFresh(): boolean {
  return !hasBegun && performance.now() < FRESH_MILLISECONDS;
}

/** Learn what the run that the node is given needs: another one may have begun at this address. */
async function update(wanted: string): Promise<void> {
  const now = await fetchRun(wanted);
  if (now === null || JSON.stringify(now) === JSON.stringify(run)) return;
  // Who has not been asked whether the function may use the internet has not agreed to it.
  if (!run.network) controls.network.checked = false;
  run = now;
  sandbox.changeRun(run);
  showRun(run, invitation.token);
}

async function hear(message: FromNode): Promise<void> {
  switch (message.is) {
    case "figures":
      view.show(message.figures, mode === "stopping" ? "running" : mode);
      break;
    case "stopped":
      end(message.problem);
      break;
    case "sandbox wanted":
      await giveSandbox(message.run);
  }
}

/** Give the node that has asked a sandbox; it may be another one when that is ready. */
async function giveSandbox(wanted: string): Promise<void> {
  const asking = node;
  try {
    if (!isFresh() || run.id !== wanted) await update(wanted);
    if (node !== asking) return; // it was stopped meanwhile
    hasBegun = true;
    if (run.problem) return end(run.problem);
    const control = await sandbox.open(wantsNetwork());
    if (node === asking) tell({ do: "sandbox", control }, [control]);
  } catch (error) {
    if (node === asking) end(`What the function needs could not be loaded: ${String(error)}`);
  }
}

let afterwards: Mode = "idle";

/** Leave the run; the node says when it has. */
function leave(next: Mode): void {
  if (node === null) return;
  afterwards = next;
  setMode("stopping");
  tell({ do: "stop" });
}

function end(problem: string): void {
  node?.terminate();
  node = null;
  sandbox.close();
  if (problem) showProblem(problem);
  setMode(mode === "stopping" ? afterwards : "idle");
  afterwards = "idle";
  view.endStay(mode);
}

showRun(run, invitation.token);
controls.name.value = invitation.device ?? rememberedName() ?? guessName(navigator.userAgent);
controls.workers.value = String(suitableWorkers(navigator.hardwareConcurrency || 1, navigator.userAgent));
controls.network.addEventListener("change", () => showNetwork(wantsNetwork()));
controls.form.addEventListener("submit", (event) => {
  event.preventDefault();
  start();
});
controls.pause.addEventListener("click", () => leave("paused"));
controls.stop.addEventListener("click", () => leave("idle"));
addEventListener("pagehide", () => tell({ do: "stop" }));
setMode("idle");
sandbox.prefetch();
if (invitation.start) start();

/** What the page shows. Whatever comes from others is shown as text, never as markup. */

import type { Figures } from "../node/device";
import { canStayAwake } from "./awake";
import { isPhone } from "./device-name";
import { Plot } from "./plot";
import type { RunInfo } from "./run";

/** The rate that is shown is that of so many last seconds. */
const RATE_SECONDS = 5;

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

export const controls = {
  form: element<HTMLFormElement>("controls"),
  start: element<HTMLButtonElement>("start"),
  pause: element<HTMLButtonElement>("pause"),
  stop: element<HTMLButtonElement>("stop"),
  name: element<HTMLInputElement>("name"),
  workers: element<HTMLInputElement>("workers"),
  network: element<HTMLInputElement>("network"),
};

export type Mode = "idle" | "running" | "paused" | "stopping";

export function showRun(run: RunInfo, token: string): void {
  document.title = `Pando · ${run.function}`;
  element("asker").textContent = run.asker || "Somebody";
  element("function").textContent = run.function;
  // The page's own link, which may have been opened without its token on the root's own machine.
  const link = token ? `${run.link}#${token}` : run.link;
  element("command").textContent = `pando-volunteer '${link}'`;
  const language = run.language === "python" ? "Python" : "JavaScript";
  element("about").textContent =
    `Many devices apply one ${language} function to a stream of values. ` +
    "This page lends it your processor: nothing is installed, and you can leave at any time.";
  element("network-choice").hidden = !run.network;
  showNetwork(run.network && controls.network.checked);
  showProblem(run.problem);
  controls.start.disabled = run.problem !== "";
  const awake = element("awake");
  awake.hidden = canStayAwake() || !isPhone(navigator.userAgent);
  awake.textContent = "Keep the screen on while it computes: this browser stops pages when the screen sleeps.";
}

export function showNetwork(allowed: boolean): void {
  element("network-note").textContent = allowed
    ? "It may fetch from the internet, but not from this run's own pages."
    : "It can fetch nothing from any network.";
}

export function showProblem(text: string): void {
  const problem = element("problem");
  problem.textContent = text;
  problem.hidden = text === "";
}

/** Whether the keyboard was at a control, which may be gone by now. */
let focused = false;

export function showMode(mode: Mode): void {
  focused ||= controls.form.contains(document.activeElement);
  const { start, pause, stop, name, workers, network } = controls;
  start.hidden = mode === "running" || mode === "stopping";
  start.textContent = mode === "paused" ? "Go on computing" : "Start computing";
  pause.hidden = stop.hidden = !(mode === "running" || mode === "stopping");
  pause.disabled = stop.disabled = mode === "stopping";
  for (const field of [name, workers, network]) field.disabled = mode === "running" || mode === "stopping";
  if (mode !== "stopping") keepFocus(mode === "running" ? pause : start);
}

/** Controls that vanish take the keyboard's place on the page with them: it goes to the next one. */
function keepFocus(next: HTMLElement): void {
  const { activeElement, body } = document;
  const lost = activeElement === null || activeElement === body || controls.form.contains(activeElement);
  if (focused && lost) next.focus();
  focused = false;
}

const WORDS: Record<Figures["state"], string> = {
  connecting: "Connecting …",
  preparing: "Preparing the function …",
  joining: "Looking for a place …",
  computing: "Computing",
  waiting: "Waiting",
  stopped: "Stopped",
  refused: "This device cannot take part",
};

export class FiguresView {
  private plot: Plot | null = null;
  private history: { time: number; results: number; computing: number; busy: number }[] = [];
  private last: Figures | null = null;
  private earlier = { results: 0, failures: 0, computing: 0, busy: 0 };

  /** The figures of this stay in the run; those of earlier stays are added. */
  show(stay: Figures, mode: Mode): void {
    const { results, failures, computing, busy } = this.earlier;
    this.draw(
      {
        ...stay,
        results: results + stay.results,
        failures: failures + stay.failures,
        computing: computing + stay.computing,
        busy: busy + stay.busy,
      },
      mode,
    );
  }

  /** This stay is over. */
  endStay(mode: Mode): void {
    if (this.last === null) return;
    const { results, failures, computing, busy, state } = this.last;
    this.earlier = { results, failures, computing, busy };
    this.draw({ ...this.last, workers: 0, retry: 0, state: state === "refused" ? state : "stopped" }, mode);
  }

  private draw(figures: Figures, mode: Mode): void {
    this.last = figures;
    element("figures").hidden = false;
    this.plot ??= new Plot(element("plot"));
    this.showState(figures, mode);
    this.showNumbers(figures);
    this.showReported(figures);
    element("failure-box").hidden = figures.failures === 0;
    setText("failure-count", `${figures.failures.toLocaleString()} item${figures.failures === 1 ? "" : "s"} failed`);
    setText("failure", figures.failure);
  }

  private showState({ state, note, retry, workers }: Figures, mode: Mode): void {
    if (state === "refused") showProblem(note);
    const words = [mode === "paused" && state === "stopped" ? "Paused" : WORDS[state]];
    if (state === "computing") words.push(`on ${workers} worker${workers === 1 ? "" : "s"}`);
    if (state === "waiting" && note) words.splice(0, 1, note);
    setText("state", words.join(" "));
    setText("retry", retry > 0 ? `Reconnecting in ${retry} s.` : "");
  }

  private showNumbers({ results, computing, busy, workers }: Figures): void {
    const time = performance.now() / 1000;
    this.history.push({ time, results, computing, busy });
    while (this.history.length > 2 && time - this.history[0]!.time > RATE_SECONDS) this.history.shift();
    const first = this.history[0]!;
    const span = Math.max(time - first.time, 0.25);
    const rate = (results - first.results) / span;
    const share = (seconds: number): number => (workers === 0 ? 0 : clamp(seconds / span / workers));
    const [computes, transfers] = [share(computing - first.computing), share(busy - first.busy)];
    setText("results", results.toLocaleString());
    setText("rate", rate >= 10 || rate === 0 ? Math.round(rate).toLocaleString() : rate.toPrecision(2));
    setText("computing", percent(computes));
    setText("transferring", percent(Math.max(0, transfers - computes)));
    this.plot?.add(time, rate);
  }

  private showReported({ reported }: Figures): void {
    element("reported-box").hidden = reported === null;
    if (reported === null) return;
    setText("units", reported.units);
    setText("reported", reported.items.toLocaleString(undefined, { maximumFractionDigits: 1 }));
  }
}

function clamp(share: number): number {
  return Math.min(1, Math.max(0, share));
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}

/** Only what has changed, so that a screen reader does not say it again. */
function setText(id: string, text: string): void {
  const place = element(id);
  if (place.textContent !== text) place.textContent = text;
}

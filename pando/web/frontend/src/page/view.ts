/** The page's document. What comes from others is shown as text, never as markup. */

import { isPhone } from "./device-name";
import { downloadBytes } from "./download";
import type { Plot } from "./plot";
import type { RunDetails } from "./run";
import { RateMeter } from "./totals";
import { hasWakeLock } from "./wake-lock";
import {
  describe,
  describeLink,
  formatBytes,
  formatCount,
  formatDuration,
  formatRate,
  formatTraceback,
  isComputing,
  type PageState,
  type Stage,
} from "./words";

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

export const controls = {
  form: element<HTMLFormElement>("controls"),
  start: element<HTMLButtonElement>("start"),
  pause: element<HTMLButtonElement>("pause"),
  tryNow: element<HTMLButtonElement>("try-now"),
  reload: element<HTMLButtonElement>("reload"),
  name: element<HTMLInputElement>("name"),
  workers: element<HTMLInputElement>("workers"),
  network: element<HTMLInputElement>("network"),
  others: element<HTMLInputElement>("others"),
  linkForm: element<HTMLFormElement>("link-form"),
  link: element<HTMLInputElement>("new-link"),
};

/** The stages in which there is something to start. */
const STARTABLE: Partial<Record<Stage, string>> = { invited: "Start helping", paused: "Resume" };
/** A line of fewer points shows nothing, and a device that joins has better things to do. */
const DRAWN_AFTER_SECONDS = 3;
const WITH_FIGURES: Stage[] = ["working", "stopping", "paused"];

export class View {
  private readonly meter = new RateMeter();
  private plot: Plot | null = null;
  private plotRequested = false;
  /** When the first figures were shown, in seconds. */
  private firstFigures = Number.POSITIVE_INFINITY;
  private focused = false;

  /** The program of this page runs. */
  showStarted(): void {
    element("startup").remove();
  }

  /** What does not change while a run does not. */
  showRun(run: RunDetails, token: string): void {
    setText("function", run.function);
    setText("language", run.language === "python" ? "Python" : "JavaScript");
    setText("about", run.about);
    element("about").hidden = run.about === "";
    setText("results-label", `values of ${run.function} computed`);
    const link = token ? `${run.link}#${token}` : run.link;
    setText("command", `pando-volunteer '${link}'`);
    const bytes = downloadBytes(run);
    setText(
      "assurance-install",
      bytes > 0
        ? `Nothing is installed. ${formatBytes(bytes)} are downloaded, once.`
        : "Nothing is installed.",
    );
    element("more").hidden = false;
  }

  /** Whether the function may use the internet here. */
  showNetwork(allowed: boolean): void {
    setText(
      "assurance-rights",
      allowed
        ? "The program cannot see your files or your other tabs. It may use the internet and this device's network."
        : "The program cannot see your files, your other tabs or your network.",
    );
    setText("network-note", allowed ? "It may use the network." : "It has no network access.");
  }

  show(state: PageState): void {
    const { stage, run } = state;
    const words = describe(state);
    this.noteFocus();
    const page = element("page");
    page.dataset["stage"] = stage;
    page.dataset["tone"] = words.tone;
    if (document.title !== words.title) document.title = words.title;
    setText("state", words.headline);
    setShownText("detail", words.detail);
    setShownText("next", words.next);
    element("purpose").hidden = stage !== "invited" || run === null;
    element("assurances").hidden = stage !== "invited";
    element("network-choice").hidden = !(
      run?.network &&
      (stage === "invited" || stage === "paused")
    );
    this.showControls(state);
    this.showDownload(state);
    this.showFigures(state);
    this.showFooter(state);
    this.keepFocus();
  }

  private showControls({ stage, device }: PageState): void {
    const { start, pause, tryNow, reload, name, workers, linkForm } = controls;
    const label = STARTABLE[stage];
    start.hidden = label === undefined;
    if (label !== undefined) setText("start", label);
    const works = stage === "working" && device?.phase !== "finished";
    pause.hidden = !works && stage !== "stopping";
    pause.disabled = stage === "stopping";
    tryNow.hidden = !(works && device?.phase === "waiting" && !device.offline);
    reload.hidden = stage !== "failed";
    linkForm.hidden = stage !== "denied";
    element("settings").hidden = start.hidden && pause.hidden;
    for (const field of [name, workers]) field.disabled = start.hidden;
    element("settings-note").hidden = !start.hidden;
  }

  private showDownload({ stage, downloaded, device, run }: PageState): void {
    const running = run !== null && downloaded > 0 && downloaded < 1;
    const wanted =
      stage === "invited" || device?.phase === "preparing" || device?.phase === "connecting";
    element("download").hidden = !(running && wanted);
    if (!running) return;
    const bytes = downloadBytes(run);
    element<HTMLProgressElement>("download-bar").value = downloaded;
    setText(
      "download-label",
      `${formatBytes(bytes * downloaded)} of ${formatBytes(bytes)} downloaded`,
    );
  }

  private showFigures({ stage, device, figures }: PageState): void {
    const box = element("figures");
    const finished = device?.phase === "finished";
    const begun = figures.results > 0 || device?.phase === "computing";
    box.hidden = !WITH_FIGURES.includes(stage) || finished || !begun;
    const computes = isComputing(stage, device);
    const now = performance.now() / 1000;
    if (computes) this.meter.update(now, figures.results);
    else this.meter.reset();
    const rate = this.meter.rate(now);
    setText("results", formatCount(figures.results));
    setText("rate", computes && rate > 0 ? formatRate(rate) : "");
    const { reported } = figures;
    const items = reported?.items.toLocaleString("en", { maximumFractionDigits: 1 });
    setShownText(
      "reported",
      reported === null ? "" : `${items} ${reported.units} reported by the program`,
    );
    if (!box.hidden) this.firstFigures = Math.min(this.firstFigures, now);
    if (computes && now - this.firstFigures >= DRAWN_AFTER_SECONDS) this.loadPlot();
    element("plot-box").hidden = this.plot === null || figures.results === 0;
    if (this.plot === null) return;
    this.plot.add(now, computes ? rate : null);
    setText("plot-start", `${formatDuration(this.plot.span)} ago`);
  }

  /** Draw from now on, where that is possible: nothing else depends on it. */
  private loadPlot(): void {
    if (this.plotRequested) return;
    this.plotRequested = true;
    import("./plot")
      .then(({ Plot }) => {
        this.plot = new Plot(element("plot"));
      })
      .catch(() => {}); // such as a language of the browser's that the library does not know
  }

  private showFooter(state: PageState): void {
    const { stage, device, figures } = state;
    setShownText("connection", describeLink(state));
    const working = stage === "working" && device?.phase !== "finished";
    element("awake").hidden = !working || hasWakeLock() || !isPhone(navigator.userAgent);
    const workers = device?.workers ?? 0;
    const cores = `${workers}\u00a0core${workers === 1 ? "" : "s"}`;
    const effort = `${formatDuration(figures.busy)} of processor time so far, on ${cores}`;
    setShownText("effort", working && workers > 0 && figures.busy >= 1 ? effort : "");
    const { failures } = figures;
    element("failure-box").hidden = failures === 0;
    setText("failure-count", `${formatCount(failures)} item${failures === 1 ? "" : "s"} failed`);
    if (device?.failure) setText("failure", formatTraceback(device.failure));
  }

  private noteFocus(): void {
    this.focused ||= controls.form.contains(document.activeElement);
  }

  /** A control that vanishes takes the keyboard's place on the page with it: it goes to the next. */
  private keepFocus(): void {
    const { activeElement, body } = document;
    if (activeElement !== null && activeElement !== body && isVisible(activeElement)) {
      this.focused = false;
      return;
    }
    const next = [controls.start, controls.pause, controls.reload].find((each) => !each.hidden);
    if (!this.focused || next === undefined || next.disabled) return;
    next.focus({ preventScroll: true }); // it is where the other one was
    this.focused = false;
  }
}

function isVisible(element: Element): boolean {
  if (element.matches(":disabled")) return false;
  // Unlike a look at its boxes, this has the browser lay out nothing.
  return element.checkVisibility?.() ?? element.getClientRects().length > 0;
}

/** Only what has changed, so that a screen reader does not say it again. */
function setText(id: string, text: string): void {
  const place = element(id);
  if (place.textContent !== text) place.textContent = text;
}

function setShownText(id: string, text: string): void {
  setText(id, text);
  element(id).hidden = text === "";
}

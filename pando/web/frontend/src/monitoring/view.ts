/** The page's document. What comes from others is shown as text, never as markup. */

import { formatCount, formatDuration } from "../page/words";
import { Chart } from "./chart";
import type { Model } from "./model";
import type { Command, Invitation, ItemFailure, RunEvent, SentAway } from "./protocol";
import { type Stack, stack, toCsv } from "./stacking";
import type { StreamState } from "./stream";
import { Table } from "./table";
import { TreeView } from "./tree-view";
import { clock, describeRelayed, describeReports, describeRun, latency, rate } from "./words";

/** Characters of a figure from which on it is smaller on phones. */
const LONG = 9;

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

function setText(id: string, text: string): void {
  const place = element(id);
  if (place.textContent !== text) place.textContent = text;
}

export class View {
  private readonly table: Table;
  private readonly tree = new TreeView(element<HTMLCanvasElement>("tree"), element("tree-caption"));
  private readonly chart = new Chart(element("chart"), element("legend"), (zoomed) => {
    element("zoom-out").hidden = !zoomed;
  });
  private readonly events = new List(element("events"), eventItem);
  private readonly errors = new List(element("errors"), errorItem);
  private sentAway = "";
  private stacked: Stack | null = null;
  private paused = false;
  private mayInvite = false;
  private manages = false;
  private latest: { stream: StreamState; model: Model; reason: string } | null = null;

  /**
   * @param send - asks the root for something, where this viewer may.
   */
  constructor(private readonly send: (command: Command) => void) {
    const sendAway = (id: string): void => send({ type: "send away", id });
    this.table = new Table(element<HTMLTableElement>("devices"), element("device-count"), sendAway);
    element("pause").onclick = () => this.setPaused(!this.paused);
    element("zoom-in").onclick = () => this.chart.zoom(300);
    element("zoom-out").onclick = () => this.chart.zoom(null);
    element("save").onclick = () => this.save();
    const search = element<HTMLInputElement>("search");
    search.oninput = () => this.table.search(search.value);
  }

  /** @param reason - what the other end has said of the state of the stream. */
  show(stream: StreamState, model: Model, reason = ""): void {
    this.latest = { stream, model, reason };
    const { tone, text, detail } = describeRun(stream, model, reason);
    element("page").dataset["tone"] = tone;
    setText("state", text);
    setText("detail", detail);
    element("detail").hidden = detail === "";
    element("token-form").hidden = stream !== "refused";
    element("run").hidden = model.root === null;
    // Nothing can be asked of a root that does not answer, and nobody joins a run that is over.
    element("page").classList.toggle("manages", this.manages && stream === "live");
    element("json").hidden = stream !== "live";
    element("invitation").hidden = !this.mayInvite || model.root?.state === "over";
    if (document.title !== `${text} · Pando`) document.title = `${text} · Pando`;
    if (model.root !== null && !this.paused) this.showRun(model);
  }

  showInvitation({ link, code }: Invitation): void {
    setText("link", link);
    element<HTMLImageElement>("code").src = code;
    this.mayInvite = true;
    element("invitation").hidden = false;
  }

  /** Show, or do not show, by what devices are sent away and let back. */
  allowSendingAway(allowed: boolean): void {
    this.manages = allowed;
    element("page").classList.toggle("manages", allowed);
  }

  private showSentAway(devices: SentAway[]): void {
    const shown = devices.map(({ id }) => id).join();
    if (shown === this.sentAway) return;
    this.sentAway = shown;
    element("away").hidden = devices.length === 0;
    element("away-list").replaceChildren(
      ...devices.map(({ id, deviceName, at }) => {
        const item = document.createElement("li");
        const time = document.createElement("time");
        time.textContent = clock(at);
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = "Let back";
        button.setAttribute("aria-label", `Let back: ${deviceName}`);
        button.onclick = () => {
          button.disabled = true;
          this.send({ type: "let back", id });
        };
        item.append(time, deviceName, " ", button);
        return item;
      }),
    );
  }

  private showRun(model: Model): void {
    const root = model.root!;
    const bar = element<HTMLProgressElement>("progress");
    bar.hidden = root.total === null;
    if (root.total !== null) {
      bar.max = Math.max(1, root.total);
      bar.value = root.done;
    }
    setText("done", formatCount(root.done));
    element("done").classList.toggle("long", formatCount(root.done).length > LONG);
    setText(
      "done-label",
      root.total === null ? "items done" : `of ${formatCount(root.total)} items done`,
    );
    setText("rate", rate(root.throughput));
    const devices = model.present.length + root.summed.devices;
    setText("workers", formatCount(root.workers));
    setText(
      "workers-label",
      `workers · ${formatCount(devices)} other ${devices === 1 ? "device" : "devices"}` +
        describeRelayed(root),
    );
    setText("failed", formatCount(root.failed));
    const again = root.reassigned > 0 ? ` · ${formatCount(root.reassigned)} lent again` : "";
    setText("failed-label", `failed${again}`);
    const left = root.state === "over" ? null : root.timeLeft;
    element("left-tile").hidden = left === null;
    if (left !== null) setText("left", clock(left));
    const given = root.cpuTimeGiven / 1000;
    setText("given", given < 1 ? "0 seconds" : formatDuration(given));
    const { median, p99 } = root.latency;
    const sentence =
      median === null || p99 === null
        ? ""
        : `Half of the items come back within ${latency(median)}, 99 % within ${latency(p99)}.`;
    setText("latency", sentence);
    const rest =
      root.summed.devices > 0
        ? `${formatCount(root.summed.devices)} small devices are shown as sums only. `
        : "";
    const former =
      root.departed.devices > 0
        ? `${formatCount(root.departed.devices)} devices left more than 10 minutes ago.`
        : "";
    setText("rest", rest + former);
    const name = (id: string): string =>
      id === root.own?.id
        ? "this root"
        : (model.volunteers.get(id)?.deviceName ?? "a former device");
    const reports = describeReports(root.globalReports);
    setText("reports", reports);
    element("reports").hidden = reports === "";
    this.stacked = stack(model.history, root.elapsed, name);
    this.chart.show(this.stacked);
    this.showSentAway(root.sentAway);
    this.table.show(model);
    this.tree.show(model);
    this.events.show(model.events);
    this.errors.show(model.errors);
    setText("event-count", count(model.events.length, "event", "events"));
    setText("error-count", count(root.failed, "error", "errors"));
  }

  private setPaused(paused: boolean): void {
    this.paused = paused;
    element("pause").setAttribute("aria-pressed", String(paused));
    setText("pause", paused ? "Go on" : "Pause");
    if (paused || this.latest === null) return;
    this.show(this.latest.stream, this.latest.model, this.latest.reason);
  }

  private save(): void {
    if (this.stacked === null) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([toCsv(this.stacked)], { type: "text/csv" }));
    link.download = "throughput.csv";
    link.click();
    URL.revokeObjectURL(link.href);
  }
}

/** A list to which items are appended. It stays at its end where the reader is there. */
class List<T> {
  private shown: T[] = [];

  constructor(
    private readonly place: HTMLElement,
    private readonly make: (item: T) => HTMLElement,
  ) {}

  show(items: T[]): void {
    if (items === this.shown) return;
    const { place } = this;
    const atEnd = place.scrollTop + place.clientHeight >= place.scrollHeight - 4;
    const known = new Set(this.shown);
    const dropped = this.shown.length - items.filter((item) => known.has(item)).length;
    for (let each = 0; each < dropped; each++) place.firstElementChild?.remove();
    place.append(...items.filter((item) => !known.has(item)).map(this.make));
    this.shown = items;
    if (atEnd) place.scrollTop = place.scrollHeight;
  }
}

function eventItem({ at, kind, name, text }: RunEvent): HTMLElement {
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = clock(at);
  const words = [name, kind, text].filter((part) => part !== "").join(" · ");
  item.dataset["kind"] = kind;
  item.append(time, words);
  return item;
}

function errorItem({ at, index, item, device, type, reason, traceback }: ItemFailure): HTMLElement {
  const place = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = clock(at);
  const what = `item ${formatCount(index)} (${item}) · ${type}: ${reason.split("\n")[0]}`;
  if (traceback === "") {
    place.append(time, what, device ? ` · ${device}` : "");
    return place;
  }
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.append(time, what, device ? ` · ${device}` : "");
  const text = document.createElement("pre");
  text.textContent = traceback;
  text.tabIndex = 0;
  details.append(summary, text);
  place.append(details);
  return place;
}

const count = (number: number, one: string, many: string): string =>
  `${formatCount(number)} ${number === 1 ? one : many}`;

/** The table of devices: each keeps its row; of many, only those that can be seen are brought up to date. */

import { formatCount } from "../page/words";
import { isAtWork, isGone, type Model } from "./model";
import type { Statistics, Volunteer } from "./protocol";
import {
  clock,
  describeReport,
  describeState,
  findSlow,
  milliseconds,
  percent,
  rate,
} from "./words";

const SPARK_WIDTH = 60;
const SPARK_HEIGHT = 18;
/** More rows than these are compact, and are brought up to date only where they can be seen. */
const COMPACT = 60;

interface Shown {
  volunteer: Volunteer;
  recent: number[];
  elapsed: number;
  isSlow: boolean;
  isRoot: boolean;
}

interface Column {
  title: string;
  /** What the rows are sorted by. */
  key(volunteer: Volunteer): string | number;
  text(shown: Shown): string;
  hint?(shown: Shown): string;
  isNumber?: boolean;
}

const statistics = (stats: Statistics, unit: string): string =>
  `average ${stats.average}, deviation ${stats["standard-deviation"]}, ` +
  `maximum ${stats.maximum}, minimum ${stats.minimum} ${unit}`;
/** Average and deviation, rounded where they would not fit; the hint has all digits. */
export const meanOf = (stats: Statistics): string =>
  [stats.average, stats["standard-deviation"]]
    .map((text) => (Number(text) < 100 ? text : rate(Number(text))))
    .join(" ± ");

const COLUMNS: Column[] = [
  {
    title: "Device",
    key: ({ deviceName }) => deviceName.toLowerCase(),
    text: ({ volunteer, isRoot }) => (isRoot ? "this root" : volunteer.deviceName),
    hint: ({ volunteer }) => `${volunteer.deviceName} · ${volunteer.id}`,
  },
  {
    title: "State",
    key: ({ state }) => state,
    text: ({ volunteer, elapsed, isSlow }) => {
      const state = describeState(volunteer, elapsed);
      if (volunteer.globalReport?.stalls) return `stalls · ${state}`;
      return isSlow && isAtWork(volunteer.state) ? `${state} · slow` : state;
    },
    hint: ({ volunteer }) =>
      volunteer.globalReport?.stalls ? "heard over its report link, and not through the tree" : "",
  },
  {
    title: "Items",
    key: ({ totalItems }) => totalItems,
    text: ({ volunteer }) =>
      volunteer.units === "items"
        ? formatCount(volunteer.totalItems)
        : `${formatCount(Math.round(volunteer.totalItems))} ${volunteer.units}`,
    isNumber: true,
  },
  {
    title: "A second",
    key: ({ throughput }) => throughput,
    text: ({ volunteer }) => rate(volunteer.throughput),
    hint: ({ volunteer }) => statistics(volunteer.throughputStats, "a second"),
    isNumber: true,
  },
  {
    title: "Average",
    key: ({ throughputStats }) => Number(throughputStats.average),
    text: ({ volunteer }) => meanOf(volunteer.throughputStats),
    hint: ({ volunteer }) => statistics(volunteer.throughputStats, "a second"),
    isNumber: true,
  },
  { title: "Recent", key: ({ throughput }) => throughput, text: () => "" },
  {
    title: "Processor",
    key: ({ cpuUsage }) => cpuUsage,
    text: ({ volunteer }) => percent(volunteer.cpuUsage),
    hint: ({ volunteer }) => `of one core; ${statistics(volunteer.cpuUsageStats, "%")}`,
    isNumber: true,
  },
  {
    title: "Transfers",
    key: ({ dataTransferLoad }) => dataTransferLoad,
    text: ({ volunteer }) => percent(volunteer.dataTransferLoad),
    hint: ({ volunteer }) => statistics(volunteer.dataTransferStats, "%"),
    isNumber: true,
  },
  {
    title: "Round trip",
    key: ({ roundTripTime }) => roundTripTime ?? -1,
    text: ({ volunteer }) => milliseconds(volunteer.roundTripTime),
    hint: ({ volunteer }) => `to its parent and back, by ${volunteer.link || "no link"}`,
    isNumber: true,
  },
  {
    title: "Workers",
    key: ({ workers }) => workers,
    text: ({ volunteer }) => formatCount(volunteer.workers),
    isNumber: true,
  },
  {
    title: "Held",
    key: ({ held }) => held,
    text: ({ volunteer }) => formatCount(volunteer.held),
    isNumber: true,
  },
  {
    title: "Given back",
    key: ({ reassigned }) => reassigned,
    text: ({ volunteer }) => formatCount(volunteer.reassigned),
    isNumber: true,
  },
  {
    title: "Failed",
    key: ({ failed }) => failed,
    text: ({ volunteer }) => formatCount(volunteer.failed),
    isNumber: true,
  },
  {
    title: "Last heard",
    key: ({ heardAt }) => heardAt,
    text: ({ volunteer }) => clock(volunteer.heardAt),
    hint: () => "hours, minutes and seconds since the run began",
    isNumber: true,
  },
  {
    title: "Kind",
    key: ({ kind, version }) => `${kind} ${version}`,
    text: ({ volunteer }) => [volunteer.kind, volunteer.version].filter(Boolean).join(" "),
  },
  {
    title: "Report link",
    key: ({ globalReport }) => globalReport?.throughput ?? -1,
    text: ({ volunteer }) => describeReport(volunteer),
    hint: () => "what it reports straight to the root, and when, since the run began",
    isNumber: true,
  },
];
const RECENT = COLUMNS.findIndex(({ title }) => title === "Recent");

class Row {
  readonly element = document.createElement("tr");
  private readonly cells: HTMLTableCellElement[];
  private readonly texts: Text[];
  private readonly line: SVGPolylineElement;
  /** Whether it can be seen, as long as nothing else is known. */
  isVisible = true;
  isStale = true;
  private readonly button = document.createElement("button");

  constructor(sendAway: () => void) {
    this.cells = COLUMNS.map(({ title, isNumber }, place) => {
      const cell = document.createElement(place === 0 ? "th" : "td");
      if (place === 0) cell.scope = "row";
      if (isNumber) cell.className = "number";
      cell.dataset["column"] = title;
      this.element.append(cell);
      return cell;
    });
    this.texts = this.cells.map((cell) => cell.appendChild(document.createTextNode("")));
    const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    picture.setAttribute("viewBox", `0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`);
    picture.setAttribute("aria-hidden", "true");
    picture.classList.add("spark");
    this.line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
    picture.append(this.line);
    this.cells[RECENT]!.append(picture);
    this.button.type = "button";
    this.button.textContent = "Send away";
    this.button.onclick = () => {
      this.button.disabled = true;
      sendAway();
    };
    const last = this.element.insertCell();
    last.className = "manage";
    last.append(this.button);
  }

  show(shown: Shown): void {
    this.isStale = false;
    COLUMNS.forEach((column, place) => {
      const text = column.text(shown);
      if (this.texts[place]!.data !== text) this.texts[place]!.data = text;
      const hint = column.hint?.(shown) ?? "";
      if (this.cells[place]!.title !== hint) this.cells[place]!.title = hint;
    });
    const { state } = shown.volunteer;
    const isIdle = shown.volunteer.workers === 0 && !isGone(state);
    const slow = shown.isSlow && state === "computing";
    this.element.dataset["state"] = isIdle ? "idle" : slow ? "slow" : state;
    const isHere = !shown.isRoot && isAtWork(state);
    if (this.button.hidden === isHere) {
      this.button.hidden = !isHere;
      this.button.disabled = false; // it is here again
    }
    const label = `Send away: ${shown.volunteer.deviceName}`;
    if (this.button.ariaLabel !== label) this.button.ariaLabel = label;
    this.line.setAttribute("points", sparkline(shown.recent));
  }
}

/** The points of a line through these values. */
export function sparkline(values: number[]): string {
  const most = Math.max(...values, 1e-9);
  const step = SPARK_WIDTH / Math.max(1, values.length - 1);
  const height = SPARK_HEIGHT - 2;
  return values
    .map(
      (value, place) =>
        `${(place * step).toFixed(1)},${(1 + height * (1 - value / most)).toFixed(1)}`,
    )
    .join(" ");
}

export class Table {
  private readonly rows = new Map<string, Row>();
  private readonly body: HTMLTableSectionElement;
  private readonly heads: HTMLButtonElement[] = [];
  private sorted: { column: number; descending: boolean } | null = null;
  private words: string[] = [];
  private readonly seen: IntersectionObserver;
  private model: Model | null = null;
  private slow = new Set<string>();

  constructor(
    private readonly table: HTMLTableElement,
    private readonly count: HTMLElement,
    private readonly sendAway: (id: string) => void,
  ) {
    const head = table.createTHead().insertRow();
    COLUMNS.forEach(({ title, isNumber }, column) => {
      const cell = document.createElement("th");
      cell.scope = "col";
      if (isNumber) cell.className = "number";
      cell.dataset["column"] = title;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = title;
      button.onclick = () => this.sort(column);
      cell.append(button);
      head.append(cell);
      this.heads.push(button);
    });
    const last = head.appendChild(document.createElement("td"));
    last.className = "manage";
    this.body = table.createTBody();
    this.seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const row = this.rows.get((target as HTMLElement).dataset["id"] ?? "");
        if (row === undefined) continue;
        row.isVisible = isIntersecting;
        if (isIntersecting && row.isStale)
          this.showRow((target as HTMLElement).dataset["id"]!, row);
      }
    });
  }

  /** Bring the rows up to date. Each stays where it is, and new ones come last. */
  show(model: Model): void {
    this.model = model;
    this.slow = findSlow(model.present);
    for (const [id, row] of this.rows) {
      if (model.volunteers.has(id)) continue;
      this.seen.unobserve(row.element);
      row.element.remove();
      this.rows.delete(id);
    }
    for (const id of model.volunteers.keys()) {
      let row = this.rows.get(id);
      if (row === undefined) {
        row = new Row(() => this.sendAway(id));
        row.element.dataset["id"] = id;
        this.rows.set(id, row);
        this.showRow(id, row);
        this.body.append(row.element);
        this.seen.observe(row.element);
      }
      row.isStale = true;
      if (row.isVisible || model.volunteers.size <= COMPACT) this.showRow(id, row);
    }
    this.table.classList.toggle("compact", this.rows.size > COMPACT);
    this.table.classList.toggle("global", model.root?.globalReports != null);
    this.filter();
  }

  /** Show only rows in which all these words occur. */
  search(text: string): void {
    this.words = text.toLowerCase().split(/\s+/).filter(Boolean);
    this.filter();
  }

  private filter(): void {
    let shown = 0;
    for (const [id, row] of this.rows) {
      const { deviceName, state, kind, version, globalReport } = this.model!.volunteers.get(id)!;
      const slow = this.slow.has(id) ? "slow" : "";
      const stalls = globalReport?.stalls ? "stalls" : "";
      const text = `${deviceName} ${state} ${kind} ${version} ${slow} ${stalls}`.toLowerCase();
      row.element.hidden = !this.words.every((word) => text.includes(word));
      if (!row.element.hidden) shown += 1;
    }
    const total = this.rows.size;
    const text =
      shown === total
        ? `${formatCount(total)} ${total === 1 ? "device" : "devices"}`
        : `${formatCount(shown)} of ${formatCount(total)}`;
    if (this.count.textContent !== text) this.count.textContent = text;
  }

  private showRow(id: string, row: Row): void {
    const { model } = this;
    const volunteer = model?.volunteers.get(id);
    if (model === null || volunteer === undefined) return;
    row.show({
      volunteer,
      recent: model.recent.get(id) ?? [],
      elapsed: model.root?.elapsed ?? 0,
      isSlow: this.slow.has(id),
      isRoot: model.root?.own?.id === id,
    });
  }

  /** Sort once; figures that change later move no row. */
  private sort(column: number): void {
    const { model } = this;
    if (model === null) return;
    const first = COLUMNS[column]!.isNumber === true;
    const descending = this.sorted?.column === column ? !this.sorted.descending : first;
    this.sorted = { column, descending };
    const key = (id: string): string | number => COLUMNS[column]!.key(model.volunteers.get(id)!);
    const ordered = [...this.rows].sort(([a], [b]) => {
      const [left, right] = [key(a), key(b)];
      const order = left < right ? -1 : left > right ? 1 : 0;
      return descending ? -order : order;
    });
    this.body.append(...ordered.map(([, row]) => row.element));
    this.heads.forEach((button, place) => {
      const cell = button.parentElement as HTMLTableCellElement;
      if (place === column) cell.ariaSort = descending ? "descending" : "ascending";
      else cell.ariaSort = null;
    });
  }
}

/** What is known of a run: the state that came first, and all changes since. */

import type { Changes, History, ItemFailure, Root, RunEvent, State, Volunteer } from "./protocol";

/** Throughputs of a device that are kept for its sparkline. */
const RECENT = 20;
const MAX_EVENTS = 500;
const MAX_ERRORS = 100;

export class Model {
  root: Root | null = null;
  readonly volunteers = new Map<string, Volunteer>();
  readonly recent = new Map<string, number[]>();
  history: History = { layout: 0, width: 1, series: {}, others: [] };
  events: RunEvent[] = [];
  errors: ItemFailure[] = [];

  apply(said: State | Changes): void {
    if (said.type === "state") this.replace(said);
    else this.change(said);
  }

  private replace(state: State): void {
    this.root = state.root;
    this.volunteers.clear();
    this.recent.clear();
    for (const [id, volunteer] of Object.entries(state.volunteers)) {
      this.volunteers.set(id, volunteer);
      this.recent.set(id, state.recent[id] ?? []);
    }
    this.history = state.history;
    this.events = state.events;
    this.errors = state.errors;
  }

  private change(changes: Changes): void {
    this.root = changes.root;
    for (const id of changes.removed) {
      this.volunteers.delete(id);
      this.recent.delete(id);
    }
    for (const [id, volunteer] of Object.entries(changes.volunteers)) {
      const before = this.volunteers.get(id);
      this.volunteers.set(id, volunteer);
      if (before?.heardAt !== volunteer.heardAt) {
        const recent = this.recent.get(id) ?? [];
        this.recent.set(id, [...recent, volunteer.throughput].slice(-RECENT));
      }
    }
    if (changes.history !== null) this.history = changes.history;
    else this.addPoints(changes.points);
    this.events = [...this.events, ...changes.events].slice(-MAX_EVENTS);
    this.errors = [...this.errors, ...changes.errors].slice(-MAX_ERRORS);
  }

  /** Points hold the items of each series, in their order, and of the others. */
  private addPoints(points: Record<string, number[]>): void {
    const all = [...Object.values(this.history.series), this.history.others];
    for (const [place, items] of Object.entries(points)) {
      items.forEach((count, index) => {
        const series = all[index];
        if (series === undefined) return;
        while (series.length <= Number(place)) series.push(0);
        series[Number(place)] = count;
      });
    }
  }

  /** Devices that take part, without the root's own. */
  get present(): Volunteer[] {
    return [...this.volunteers.values()].filter(
      ({ id, state }) => id !== this.root?.own?.id && !isGone(state),
    );
  }
}

export const isGone = (state: string): boolean => state === "left" || state === "lost";

/** Whether a device takes part, in a run that goes on. */
export const isAtWork = (state: string): boolean => !isGone(state) && state !== "over";

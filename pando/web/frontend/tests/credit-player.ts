/** Plays recorded events to a credit and what goes with it, as `tests/traces/credit.py` does. */

import { Conduct, Credit, Window } from "../src/scheduler";
import { Share } from "../src/scheduler/share";

export interface CreditPlayerOptions {
  messages: number;
  targetSeconds: number;
  pairSeconds: number;
}

export class CreditPlayer {
  private credit: Credit;
  private readonly window = new Window();
  private readonly share = new Share();
  private readonly conduct = new Conduct();

  constructor(options: CreditPlayerOptions) {
    this.credit = new Credit(options);
  }

  /** Let an event happen; the figures that follow. */
  play([name, ...given]: readonly unknown[]): unknown[] {
    const told = this.happen(name as string, given as never[]) ?? null;
    const { credit, window, share, conduct } = this;
    const figures = [credit.workers, credit.itemSeconds, credit.batchSize(), credit.capacity(7)];
    const others = [window.meanSize, window.items(), share.claimed(3)];
    return [told, figures, others, conduct.pausedUntil, conduct.blemishes];
  }

  private happen(name: string, given: never[]): unknown {
    const { credit, window, conduct } = this;
    const events: Record<string, (...given: never[]) => unknown> = {
      ask: (workers: number) => credit.ask(workers),
      completed: (items: number, seconds: number) => {
        credit.completed(items, seconds);
        this.share.charge(items, seconds);
      },
      batch: (borrowers: number, remaining: number | null, itemBytes: number, limit: number) =>
        credit.batchSize({ borrowers, remaining, itemBytes, limit }),
      capacity: (batch: number) => credit.capacity(batch),
      expected: (items: number, waited: number) => credit.expectedSeconds(items, waited),
      others: () => {
        this.credit = credit.forOthers();
      },
      measured: (items: number, size: number) => {
        window.measured(items, size);
        return [0, 100_000].map((borrowed) => window.items(borrowed, 2));
      },
      delivered: () => conduct.delivered(),
      refused: (now: number, wasted: number) => conduct.refused(now, wasted),
      lost: (now: number) => conduct.lost(now),
      malformed: (now: number, results: number) => conduct.sentMalformed(now, results),
    };
    return events[name]!(...given);
  }
}

/**
 * A tab's report link: it tells the root of the tab, whatever becomes of the tree. Nothing depends on
 * it: where it cannot be opened, or ends, it is opened again after a pause.
 */

import { ChannelClosedError, MalformedError } from "../errors";
import type { Update } from "../reporting/records";
import type { KeepaliveChannel } from "../tree/keepalive";
import { withTimeout } from "./timers";

const FIRST_PAUSE_SECONDS = 0.5;
/** Pauses between two tries grow to this. */
const LONGEST_PAUSE_SECONDS = 15;
/** How long the root may take to let a report link in. */
const OPEN_MILLISECONDS = 30_000;

export interface Reporting {
  /** Connects to the root, which has proved itself then. */
  open(): Promise<KeepaliveChannel>;
  /** The next report; the first one on a link tells all. */
  report(isFirst: boolean): Update;
  /** Seconds between two reports. */
  interval: number;
  /** Seconds after which a silent root is lost. */
  silence: number;
}

export class ReportLink {
  private link: KeepaliveChannel | null = null;
  private stopped = false;
  private pause = FIRST_PAUSE_SECONDS;
  private wake: () => void = () => {};

  constructor(private readonly reporting: Reporting) {}

  /** Report, and connect again after each loss, until stopped. */
  async run(): Promise<void> {
    while (!this.stopped) {
      try {
        await this.stay();
      } catch {
        // whatever it was: nothing but these reports is lost
      }
      this.link?.close();
      this.link = null;
      if (!this.stopped) await this.rest();
    }
  }

  stop(): void {
    this.stopped = true;
    this.link?.close();
    this.wake();
  }

  private async rest(): Promise<void> {
    const seconds = this.pause * (0.5 + Math.random() / 2);
    this.pause = Math.min(2 * this.pause, LONGEST_PAUSE_SECONDS);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** One link, from its opening to its end, which is thrown. */
  private async stay(): Promise<void> {
    const link = await this.open();
    const { interval, silence, report } = this.reporting;
    link.beat(silence);
    link.send(report(true));
    const reporting = setInterval(() => {
      this.pause = FIRST_PAUSE_SECONDS; // only now it has proved to be of use
      try {
        link.send(report(false));
      } catch {
        link.close(); // whoever receives notices
      }
    }, interval * 1000);
    try {
      const { tag } = await link.receive();
      throw new MalformedError(`an unexpected message on a report link, ${tag}`);
    } finally {
      clearInterval(reporting);
    }
  }

  /** Connect, and wait until reports may come. */
  private async open(): Promise<KeepaliveChannel> {
    const opening = this.reporting.open();
    opening.then(
      (link) => {
        if (this.stopped) link.close();
      },
      () => {},
    );
    const link = await withTimeout(opening, OPEN_MILLISECONDS);
    if (link === null) {
      opening.then(
        (late) => late.close(),
        () => {},
      );
      throw new ChannelClosedError("the root does not answer");
    }
    this.link = link;
    const answer = await withTimeout(link.receive(), OPEN_MILLISECONDS);
    if (this.stopped || answer?.tag !== "welcome") throw new ChannelClosedError("no welcome");
    return link;
  }
}

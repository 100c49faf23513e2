/**
 * A device finds another place while it has one: its parent takes no children any more. The link to the parent stays
 * until the new one stands, and what has been computed is delivered on it.
 */

import type { Computing } from "./computing";
import { leavePlace, type Place, type RootDoor, readAssigned } from "./root-door";

export class Move {
  private place: Place | null = null;
  private stopped = false;
  private root: { close(): void } | null = null;

  /** @param first - computes for the parent that is to be left. */
  constructor(
    private readonly first: Computing,
    private readonly door: RootDoor,
    private readonly run: string,
  ) {}

  /** Find a place, and leave the parent then; where there is none, nothing changes. */
  async start(): Promise<void> {
    try {
      const root = await this.door.open((link) => {
        this.root = link;
      });
      const assigned = readAssigned(await this.door.receive(root));
      if (assigned.run !== this.run) return root.close();
      const found = await this.door.findPlace(root, assigned);
      if ("results" in found) return root.close(); // the parent says so, too
      if (this.stopped) return leavePlace(found);
      this.place = found;
    } catch {
      this.root?.close();
      return; // the place that it has is as good as before, until its link ends
    }
    await this.first.leave();
    this.first.link.close();
  }

  /** The link to the parent has ended: the new place, where there is one. */
  take(): Place | null {
    const { place } = this;
    if (place !== null) [this.place, this.root] = [null, null]; // it is somebody else's now
    this.stop();
    return place;
  }

  /** Find none any more. */
  stop(): void {
    this.stopped = true;
    if (this.place !== null) leavePlace(this.place);
    this.root?.close();
  }
}

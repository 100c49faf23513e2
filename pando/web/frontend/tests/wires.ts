/** Wires in memory: what one end sends comes at the other when `carry` is called, as far as that takes it. */

import type { Wire } from "../src/tree/data-channel";

export class MemoryWire implements Wire {
  onFrame: (frame: unknown) => void = () => {};
  onFlushed = (): void => {};
  onEnd: (reason: string) => void = () => {};
  other: MemoryWire | null = null;
  readonly waiting: ArrayBuffer[] = [];
  /** All that was ever sent. */
  readonly sent: Uint8Array[] = [];
  closed = false;

  get bufferedAmount(): number {
    return this.waiting.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  send(frame: Uint8Array<ArrayBuffer>): void {
    this.sent.push(frame);
    this.waiting.push(frame.slice().buffer);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    carry(this);
    this.other?.onEnd("the other end has closed the data channel");
  }
}

export function wirePair(): [MemoryWire, MemoryWire] {
  const [here, there] = [new MemoryWire(), new MemoryWire()];
  [here.other, there.other] = [there, here];
  return [here, there];
}

/** Let what waits at some ends come at the others, until nothing waits. */
export function carry(...wires: MemoryWire[]): void {
  while (wires.some(({ waiting }) => waiting.length > 0)) {
    for (const wire of wires) {
      const frame = wire.waiting.shift();
      if (frame === undefined) continue;
      wire.other?.onFrame(frame);
      wire.onFlushed();
    }
  }
}

/**
 * A heap of entries by the lowest first, as Python's `heapq` keeps it: what waits is looked through
 * in the order of the array, and the twin must find it in the same one.
 */

export type Key<Entry> = (entry: Entry) => number;

export function pushHeap<Entry>(heap: Entry[], entry: Entry, key: Key<Entry>): void {
  heap.push(entry);
  siftDown(heap, 0, heap.length - 1, key);
}

export function popHeap<Entry>(heap: Entry[], key: Key<Entry>): Entry | undefined {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return last;
  const lowest = heap[0];
  heap[0] = last;
  siftUp(heap, 0, key);
  return lowest;
}

export function makeHeap<Entry>(heap: Entry[], key: Key<Entry>): void {
  for (let place = (heap.length >> 1) - 1; place >= 0; place--) siftUp(heap, place, key);
}

/** Move an entry towards the top, as far as those above it are larger. */
function siftDown<Entry>(heap: Entry[], top: number, place: number, key: Key<Entry>): void {
  const entry = heap[place]!;
  const value = key(entry);
  while (place > top) {
    const above = (place - 1) >> 1;
    if (!(value < key(heap[above]!))) break;
    heap[place] = heap[above]!;
    place = above;
  }
  heap[place] = entry;
}

/** Move an entry to the bottom, past the smaller of those below, and up again to where it belongs. */
function siftUp<Entry>(heap: Entry[], place: number, key: Key<Entry>): void {
  const top = place;
  const entry = heap[place]!;
  for (let below = 2 * place + 1; below < heap.length; below = 2 * place + 1) {
    const right = below + 1;
    if (right < heap.length && !(key(heap[below]!) < key(heap[right]!))) below = right;
    heap[place] = heap[below]!;
    place = below;
  }
  heap[place] = entry;
  siftDown(heap, top, place, key);
}

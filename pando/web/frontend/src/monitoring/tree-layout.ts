/** Where the nodes of the tree are drawn. No document: only numbers. */

export interface TreeNode {
  id: string;
  parent: string;
}

export interface Placed {
  id: string;
  /** Its parent, or itself where it is the root. */
  parent: string;
  x: number;
  y: number;
  depth: number;
}

export interface Layout {
  kind: "rows" | "rings";
  width: number;
  height: number;
  nodes: Placed[];
  depth: number;
}

/** More nodes than these are drawn in rings. */
export const MANY = 40;
const ROW = 30;
const INDENT = 34;
const MARGIN = 16;
const RING_SIZE = 640;

/**
 * Place all nodes: few of them one below the other with their names, many in rings.
 *
 * @param root - the root's identifier. Nodes whose parent is not known hang at the root.
 */
export function layOut(root: string, nodes: readonly TreeNode[], width: number): Layout {
  const children = childrenOf(root, nodes);
  return nodes.length > MANY ? inRings(root, children) : inRows(root, children, width);
}

function childrenOf(root: string, nodes: readonly TreeNode[]): Map<string, string[]> {
  const known = new Set([root, ...nodes.map(({ id }) => id)]);
  const parents = new Map(
    nodes
      .filter(({ id }) => id !== root)
      .map(({ id, parent }) => [id, known.has(parent) ? parent : root]),
  );
  for (const id of parents.keys()) {
    // What devices say of their parents may make a circle, of which nobody would be drawn.
    const path = new Set<string>();
    let at = id;
    while (at !== root && !path.has(at)) {
      path.add(at);
      at = parents.get(at) ?? root;
    }
    if (at !== root) parents.set(id, root);
  }
  const children = new Map<string, string[]>();
  for (const [id, parent] of parents) {
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [id]);
    else siblings.push(id);
  }
  return children;
}

function inRows(root: string, children: Map<string, string[]>, width: number): Layout {
  const nodes: Placed[] = [];
  let depthOfAll = 0;
  const waiting = [{ id: root, parent: root, depth: 0 }];
  while (waiting.length > 0) {
    const { id, parent, depth } = waiting.pop()!;
    depthOfAll = Math.max(depthOfAll, depth);
    nodes.push({ id, parent, depth, x: MARGIN + depth * INDENT, y: MARGIN + nodes.length * ROW });
    const below = children.get(id) ?? [];
    waiting.push(...below.map((each) => ({ id: each, parent: id, depth: depth + 1 })).reverse());
  }
  const height = 2 * MARGIN + (nodes.length - 1) * ROW;
  return { kind: "rows", width, height, nodes, depth: depthOfAll };
}

function inRings(root: string, children: Map<string, string[]>): Layout {
  const order: { id: string; parent: string; depth: number }[] = [
    { id: root, parent: root, depth: 0 },
  ];
  for (let place = 0; place < order.length; place++) {
    const { id, depth } = order[place]!;
    for (const child of children.get(id) ?? [])
      order.push({ id: child, parent: id, depth: depth + 1 });
  }
  const leaves = new Map<string, number>();
  for (const { id, parent } of [...order].reverse()) {
    const own = leaves.get(id) ?? 1;
    leaves.set(id, own);
    if (id !== root) leaves.set(parent, (leaves.get(parent) ?? 0) + own);
  }
  const depthOfAll = order.at(-1)!.depth;
  const step = (RING_SIZE / 2 - MARGIN) / Math.max(1, depthOfAll);
  const begins = new Map([[root, 0]]);
  const nodes = order.map(({ id, parent, depth }) => {
    const begin = id === root ? 0 : begins.get(parent)!;
    const share = (2 * Math.PI * leaves.get(id)!) / leaves.get(root)!;
    if (id !== root) begins.set(parent, begin + share);
    begins.set(id, begin);
    const angle = begin + share / 2 - Math.PI / 2;
    const radius = depth * step;
    const [x, y] = [Math.cos(angle), Math.sin(angle)].map((part) => RING_SIZE / 2 + radius * part);
    return { id, parent, depth, x: x!, y: y! };
  });
  return { kind: "rings", width: RING_SIZE, height: RING_SIZE, nodes, depth: depthOfAll };
}

/** The tree, drawn: who is whose child, how loaded each is, and what its link is. */

import { formatCount } from "../page/words";
import { isGone, type Model } from "./model";
import type { Volunteer } from "./protocol";
import { type Layout, layOut, type Placed } from "./tree-layout";
import { describeState, percent } from "./words";

const DASHES: Record<string, number[]> = { webrtc: [4, 3], relay: [1, 3] };
/** Load of a worker, in percent, from which on a node is drawn as busy. */
const BUSY = 50;

export class TreeView {
  private layout: Layout | null = null;
  private shape = "";
  private model: Model | null = null;
  private readonly context: CanvasRenderingContext2D;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly caption: HTMLElement,
  ) {
    this.context = canvas.getContext("2d")!;
    canvas.onmousemove = ({ offsetX, offsetY }) => this.point(offsetX, offsetY);
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement!);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  show(model: Model): void {
    this.model = model;
    this.draw();
  }

  private draw(): void {
    const { model } = this;
    const own = model?.root?.own;
    const width = this.canvas.parentElement!.clientWidth;
    if (model === null || own == null || width === 0) return;
    const nodes = [own, ...model.present];
    const shape = `${width} ${nodes.map(({ id, parent }) => `${id}${parent}`).join()}`;
    if (shape !== this.shape || this.layout === null) {
      this.shape = shape;
      this.layout = layOut(own.id, nodes, width);
      const levels = this.layout.depth;
      this.canvas.setAttribute(
        "aria-label",
        `A tree of ${formatCount(nodes.length)} ${nodes.length === 1 ? "node" : "nodes"}, ` +
          `${levels} ${levels === 1 ? "level" : "levels"} below the root`,
      );
    }
    this.paint(this.layout, new Map(nodes.map((node) => [node.id, node])), width);
  }

  private paint(layout: Layout, nodes: Map<string, Volunteer>, width: number): void {
    const { context, canvas } = this;
    const scale = layout.kind === "rings" ? Math.min(1, width / layout.width) : 1;
    const [shownWidth, shownHeight] = [layout.width * scale, layout.height * scale];
    const pixels = devicePixelRatio;
    canvas.style.width = `${shownWidth}px`;
    canvas.style.height = `${shownHeight}px`;
    canvas.width = Math.round(shownWidth * pixels);
    canvas.height = Math.round(shownHeight * pixels);
    context.setTransform(pixels * scale, 0, 0, pixels * scale, 0, 0);
    const styles = getComputedStyle(document.documentElement);
    const color = (name: string): string => styles.getPropertyValue(`--${name}`).trim();
    const places = new Map(layout.nodes.map((placed) => [placed.id, placed]));
    context.lineWidth = layout.kind === "rings" ? 0.7 : 1.2;
    context.strokeStyle = color("edge");
    for (const placed of layout.nodes) {
      const parent = places.get(placed.parent)!;
      if (parent === placed) continue;
      context.setLineDash(DASHES[nodes.get(placed.id)?.link ?? ""] ?? []);
      context.beginPath();
      context.moveTo(parent.x, parent.y);
      if (layout.kind === "rows") context.lineTo(parent.x, placed.y);
      context.lineTo(placed.x, placed.y);
      context.stroke();
    }
    context.setLineDash([]);
    const radius = layout.kind === "rows" ? 6 : layout.nodes.length > 300 ? 2.4 : 4;
    context.font = `15px ${styles.fontFamily}`;
    context.textBaseline = "middle";
    for (const placed of layout.nodes) {
      const node = nodes.get(placed.id)!;
      context.fillStyle = color(toneOf(node));
      context.beginPath();
      context.arc(placed.x, placed.y, placed.depth === 0 ? radius + 2 : radius, 0, 2 * Math.PI);
      context.fill();
      if (layout.kind === "rows") this.label(placed, node, layout, color);
    }
  }

  private label(
    placed: Placed,
    node: Volunteer,
    layout: Layout,
    color: (name: string) => string,
  ): void {
    const { context } = this;
    const x = placed.x + 14;
    const name = placed.depth === 0 ? "this root" : node.deviceName;
    const load = percent(loadOf(node));
    const room = layout.width - x - context.measureText(load).width - 20;
    let shown = name;
    while (shown.length > 1 && context.measureText(shown).width > room)
      shown = `${shown.slice(0, -2)}…`;
    context.fillStyle = color("ink");
    context.fillText(shown, x, placed.y);
    context.fillStyle = color("quiet");
    context.fillText(load, x + context.measureText(shown).width + 10, placed.y);
  }

  /** Say which node is at this place. */
  private point(x: number, y: number): void {
    const { layout, model } = this;
    if (layout === null || model?.root == null) return;
    const scale = this.canvas.clientWidth / layout.width;
    const distance = (placed: Placed): number =>
      Math.hypot(placed.x * scale - x, placed.y * scale - y);
    const nearest = layout.nodes.reduce((a, b) => (distance(a) <= distance(b) ? a : b));
    const node = model.volunteers.get(nearest.id);
    if (node === undefined || distance(nearest) > 14) return;
    const name = nearest.depth === 0 ? "this root" : node.deviceName;
    const state = describeState(node, model.root.elapsed);
    this.caption.textContent = `${name}: ${state}, ${percent(loadOf(node))} of ${node.workers} workers`;
  }
}

/** How busy each of a device's workers is, in percent. */
function loadOf(node: Volunteer): number {
  return node.cpuUsage / Math.max(1, node.workers);
}

function toneOf(node: Volunteer): string {
  if (node.state === "silent" || isGone(node.state)) return "red";
  if (node.workers === 0 || node.state === "over") return "quiet";
  if (node.state !== "computing") return "amber";
  return loadOf(node) >= BUSY ? "green" : "green-pale";
}

/** The program of the tab's node: a worker of its own, since a hidden page's timers stop. */

import { connect } from "../tree/websocket";
import { Device, type DeviceOptions, type Figures } from "./device";

/** From the page. */
export type ToNode =
  | { do: "start"; options: DeviceOptions }
  | { do: "stop" }
  | { do: "sandbox"; control: MessagePort };

/** To the page. */
export type FromNode =
  | { is: "figures"; figures: Figures }
  | { is: "sandbox wanted"; run: string }
  | { is: "stopped"; problem: string };

/** How often the page is told how far it is. */
const FIGURES_MILLISECONDS = 1000;

let device: Device | null = null;
let takeSandbox: ((control: MessagePort) => void) | null = null;

const tell = (message: FromNode): void => postMessage(message);

function openSandbox(run: string): Promise<MessagePort> {
  return new Promise((resolve) => {
    takeSandbox = resolve;
    tell({ is: "sandbox wanted", run });
  });
}

onmessage = ({ data }: MessageEvent<ToNode>) => {
  switch (data.do) {
    case "start":
      void run(data.options);
      break;
    case "stop":
      void device?.stop();
      break;
    case "sandbox":
      takeSandbox?.(data.control);
      takeSandbox = null;
  }
};

async function run(options: DeviceOptions): Promise<void> {
  const changed = (figures: Figures): void => tell({ is: "figures", figures });
  const own = (device = new Device(options, { connect, openSandbox, changed }));
  const drawing = setInterval(() => changed(own.figures()), FIGURES_MILLISECONDS);
  let problem = "";
  try {
    await own.run();
  } catch (error) {
    problem = `This page has stopped because of an error in Pando: ${String(error)}`;
  } finally {
    clearInterval(drawing);
    changed(own.figures());
    tell({ is: "stopped", problem });
  }
}

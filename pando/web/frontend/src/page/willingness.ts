/** Whether this page lets other devices connect through it, and when it does not any more. */

import { isPhone } from "./device-name";

const KEY = "pando others";
/** For so long a page must have been visible, in seconds. */
export const VISIBLE_SECONDS = 120;
/** After so long out of sight others are handed over, in seconds. */
export const HIDDEN_SECONDS = 10;
/** How often it is looked, in milliseconds. */
const LOOK_MILLISECONDS = 1000;

export interface Circumstances {
  /** Whether the person at this device lets others connect through it. */
  allowed: boolean;
  visible: boolean;
  /** For how long it has been visible, or hidden. */
  seconds: number;
  /** Whether the browser is about to stop the page. */
  frozen: boolean;
  /** Whether the device runs on its battery; unknown counts as no. */
  onBattery: boolean;
  /** Whether this device is to save energy or data. */
  saves: boolean;
}

/**
 * Whether others may connect through this page.
 *
 * @param before - whether they might until now: a glance at another tab changes nothing.
 */
export function mayConnectOthers(now: Circumstances, before: boolean): boolean {
  if (!now.allowed || now.frozen || now.onBattery || now.saves) return false;
  if (now.visible) return before || now.seconds >= VISIBLE_SECONDS;
  return before && now.seconds < HIDDEN_SECONDS;
}

/** What the person has chosen on this device; else desktops do, phones and tablets do not. */
export function othersAllowed(agent: string, touchPoints?: number): boolean {
  try {
    const kept = localStorage.getItem(KEY);
    if (kept !== null) return kept === "yes";
  } catch {
    // storage may be switched off
  }
  return !isPhone(agent, touchPoints);
}

export function rememberOthers(allowed: boolean): void {
  try {
    localStorage.setItem(KEY, allowed ? "yes" : "no");
  } catch {
    // then it is not remembered
  }
}

/** Some browsers tell of the battery; the libraries' types do not know it. */
interface Battery extends EventTarget {
  charging: boolean;
}

/** Watches the circumstances of a page, and tells when it turns out differently. */
export class Willingness {
  willing = false;
  private frozen = false;
  private battery: Battery | null = null;
  /** Since when it has been as visible as it is; a page that opens in sight, since it was loaded. */
  private since = 0;

  /**
   * @param isAllowed - whether the person at this device lets others connect through it.
   * @param saves - whether the device is to save energy or data.
   * @param onChange - told when the page becomes willing, or unwilling.
   */
  constructor(
    private readonly isAllowed: () => boolean,
    private readonly saves: () => boolean,
    private readonly onChange: (willing: boolean) => void,
  ) {
    document.addEventListener("visibilitychange", () => {
      this.since = performance.now();
      this.look();
    });
    for (const [event, frozen] of [
      ["freeze", true],
      ["resume", false],
    ] as const) {
      document.addEventListener(event, () => {
        this.frozen = frozen;
        this.look();
      });
    }
    setInterval(() => this.look(), LOOK_MILLISECONDS);
    void this.watchBattery();
  }

  /** Look again, since something may have changed. */
  look(): void {
    const visible = document.visibilityState === "visible";
    const seconds = (performance.now() - this.since) / 1000;
    const { frozen, battery } = this;
    const onBattery = battery !== null && !battery.charging;
    const now = {
      visible,
      seconds,
      frozen,
      onBattery,
      allowed: this.isAllowed(),
      saves: this.saves(),
    };
    const willing = mayConnectOthers(now, this.willing);
    if (willing === this.willing) return;
    this.willing = willing;
    this.onChange(willing);
  }

  private async watchBattery(): Promise<void> {
    const { getBattery } = navigator as { getBattery?: () => Promise<Battery> };
    try {
      this.battery = (await getBattery?.call(navigator)) ?? null;
      this.battery?.addEventListener("chargingchange", () => this.look());
    } catch {
      // then it is unknown
    }
  }
}

/** What this device is called, and how many workers suit it. */

const KEY = "pando device name";

export function guessName(agent: string): string {
  const systems: [RegExp, string][] = [
    [/iPhone/, "iPhone"],
    [/iPad/, "iPad"],
    [/Android/, /Mobile/.test(agent) ? "Android phone" : "Android tablet"],
    [/CrOS/, "Chromebook"],
    [/Mac OS X/, "Mac"],
    [/Windows/, "Windows PC"],
    [/Linux/, "Linux PC"],
  ];
  const browsers: [RegExp, string][] = [
    [/Firefox\//, "Firefox"],
    [/Edg\//, "Edge"],
    [/Chrom(e|ium)\//, "Chrome"],
    [/Safari\//, "Safari"],
  ];
  const find = (table: [RegExp, string][]): string | undefined =>
    table.find(([form]) => form.test(agent))?.[1];
  return `${find(browsers) ?? "Browser"} on ${find(systems) ?? "a device"}`;
}

export function rememberedName(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage may be switched off
  }
}

export function rememberName(name: string): void {
  try {
    localStorage.setItem(KEY, name);
  } catch {
    // then it is not remembered
  }
}

/** @param touchPoints - which tell a tablet that calls itself a Mac from a Mac. */
export function isPhone(
  agent: string,
  touchPoints = globalThis.navigator?.maxTouchPoints ?? 0,
): boolean {
  return /Mobi|Android|iPhone|iPad/.test(agent) || (/Mac OS X/.test(agent) && touchPoints > 1);
}

/** All cores; half of them on phones, which get hot, and have slow cores besides the fast ones. */
export function suitableWorkers(cores: number, agent: string): number {
  return Math.max(1, isPhone(agent) ? Math.floor(cores / 2) : cores);
}

/** Whose turn it is to connect, how long others wait, and what those are told who cannot. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { TooManyAskError } from "../src/errors";
import { Answerer } from "../src/node/answerer";
import type { Peer } from "../src/node/peer";
import {
  type EndTurn,
  FIRST_UNCONNECTED,
  LEAST_UNCONNECTED,
  MAX_UNCONNECTED,
  Turns,
  WAIT_SECONDS,
} from "../src/node/turns";

let turns: Turns;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  turns = new Turns(() => performance.now() / 1000);
});
afterEach(() => vi.useRealTimers());

const pass = (seconds: number): Promise<unknown> => vi.advanceTimersByTimeAsync(seconds * 1000);
const sleep = (seconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Have turns that last so long, one after the other; whether they open. */
async function have(count: number, seconds: number, isOpen = true): Promise<void> {
  for (let i = 0; i < count; i++) {
    const end = await turns.wait();
    await pass(seconds);
    end(isOpen);
    end(isOpen); // once is enough
  }
}

test("turns are had in the order of asking, few at a time", async () => {
  const had: number[] = [];
  let most = 0;
  let now = 0;
  const take = async (number: number): Promise<void> => {
    const end = await turns.wait();
    had.push(number);
    most = Math.max(most, ++now);
    await sleep(1);
    now--;
    end(true);
  };
  for (let number = 0; number < 4 * FIRST_UNCONNECTED; number++) void take(number);
  await pass(4.1);
  expect(had).toEqual([...Array(4 * FIRST_UNCONNECTED).keys()]);
  expect(most).toBe(FIRST_UNCONNECTED);
});

test("who would wait too long is told at once, and others when they have", async () => {
  const held: EndTurn[] = [];
  for (let i = 0; i < FIRST_UNCONNECTED; i++) held.push(await turns.wait());
  const told: [when: number, pause: number][] = [];
  const began = performance.now();
  const take = (): Promise<unknown> =>
    turns.wait().catch((error: unknown) => {
      if (!(error instanceof TooManyAskError)) throw error;
      told.push([(performance.now() - began) / 1000, error.pause]);
    });
  for (let i = 0; i < 740; i++) void take(); // each turn is taken to last 0.2 s
  await pass(0);
  expect(told.length).toBe(100);
  expect(Math.min(...told.map(([, pause]) => pause))).toBeGreaterThan(WAIT_SECONDS);
  await pass(WAIT_SECONDS);
  expect(told.length).toBe(740);
  for (const [when] of told.slice(100)) expect(when).toBeCloseTo(WAIT_SECONDS, 1);
  held.forEach((end) => void end(true));
  expect(turns.expectedWait).toBe(0);
});

test("slow turns make them fewer, fast ones more, and what never opens neither", async () => {
  await have(40, 2.5, false);
  await have(40, 0.1, false);
  await have(40, 1);
  expect(turns.allowed).toBe(FIRST_UNCONNECTED);
  await have(40, 2.5);
  expect(turns.allowed).toBe(LEAST_UNCONNECTED);
  const held: EndTurn[] = [];
  for (let i = 0; i < LEAST_UNCONNECTED; i++) held.push(await turns.wait());
  expect(turns.expectedWait).toBeGreaterThan(0);
  held.forEach((end) => void end(true));
  await have(100, 0.1);
  expect(turns.allowed).toBe(MAX_UNCONNECTED);
});

test("a tab that is asked by too many says when to ask again; a turn that comes to nothing is given back", async () => {
  let opened = 0;
  const answerer = new Answerer({
    openPeer: (offer) => {
      const openAnswered = async (): Promise<never> => {
        await sleep(Number(offer));
        opened++;
        return {} as never;
      };
      return {
        answer: () => Promise.resolve("an answer"),
        openAnswered,
        close: () => {},
      } as unknown as Peer;
    },
    serve: () => Promise.resolve(),
  });
  const answers = Array.from({ length: 1000 }, () => answerer.answer("0.5"));
  await pass(WAIT_SECONDS + 1);
  const told = await Promise.all(answers);
  const refused = told.filter(({ description }) => description === "");
  expect(refused.length).toBeGreaterThan(300);
  expect(opened).toBe(1000 - refused.length);
  expect(opened).toBeGreaterThan(200);
  expect(refused.every(({ again = 0 }) => again >= 1)).toBe(true);
  expect(await answerer.answer("0.5")).toEqual({ tag: "signal", description: "an answer" });
});

/** Constants that Python and TypeScript both know are the same in both. */

import { expect, test } from "vitest";

import constants from "../../../../tests/vectors/constants.json";

const sources = import.meta.glob<string>("../src/**/*.ts", {
  query: "?raw",
  import: "default",
  eager: true,
});

/** What a constant is set to: a text, a number, or a product of numbers. Many are not exported. */
function readConstant(file: string, name: string): number | string {
  const source = sources[`../src/${file}`] ?? "";
  const text = new RegExp(`^(?:export )?const ${name} = "([^"]+)";`, "m").exec(source);
  if (text !== null) return text[1]!;
  const match = new RegExp(`^(?:export )?const ${name} = ([\\d_.e* ]+);`, "m").exec(source);
  if (match === null) return NaN;
  return match[1]!
    .split("*")
    .reduce((product, factor) => product * Number(factor.replaceAll("_", "")), 1);
}

test.each(constants)("$name", ({ typescript, value }) => {
  const [file, name] = typescript.split(":") as [string, string];
  expect(readConstant(file, name)).toBe(value);
});

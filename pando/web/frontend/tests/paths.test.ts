import { expect, test } from "vitest";

import { withoutFolders } from "../src/node/paths";

test.each([
  [
    'Traceback:\n  File "/home/zoë smith/thesis/is_prime.py", line 3, in pando\n    x / 0',
    'Traceback:\n  File "is_prime.py", line 3, in pando\n    x / 0',
  ],
  [
    "Error: x\n    at f (/home/zoë smith/m.js:3:4)\n    at /home/z/m.js:5:6",
    "Error: x\n    at f (m.js:3:4)\n    at m.js:5:6",
  ],
  ["f@/home/zoe/m.js:3:4\n@/home/zoe/m.js:5:6", "f@m.js:3:4\n@m.js:5:6"],
  ["/home/zoe/m.js exports no function", "m.js exports no function"],
  ["C:\\Users\\Zoe\\m.js exports no function", "m.js exports no function"],
  ["see https://example.org/a/b and 3/4/5", "see https://example.org/a/b and 3/4/5"],
  ['File "<pando -c>", line 1', 'File "<pando -c>", line 1'],
])("%s", (text, shown) => {
  expect(withoutFolders(text)).toBe(shown);
});

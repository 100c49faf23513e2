/** Node's name of the global object, by which modules and some libraries find it. */

(globalThis as unknown as Record<string, unknown>)["global"] = globalThis;

export {};

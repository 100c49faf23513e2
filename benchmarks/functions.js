// The same functions as in functions.py, for benchmarks of JavaScript: each by its own name.

const functions = {
  // As good as no work: what is measured is the way there and back.
  square: (number) => number * number,

  // Keep a core busy for so many rounds.
  spin_rounds(rounds) {
    let state = 1
    for (let i = 0; i < rounds; i++) state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return state
  },

  // No work, but the whole payload travels both ways.
  echo: (payload) => payload,
}

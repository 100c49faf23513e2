// The same functions as in functions.py, for benchmarks of JavaScript: each by its own name.

function turn(state) {
  for (let i = 0; i < 100; i++) state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
  return state
}

const functions = {
  // As good as no work: what is measured is the way there and back.
  square: (number) => number * number,

  // Keep a core busy for so many rounds. Short inner loops, since V8 is at its whim with long ones.
  spin_rounds(rounds) {
    let state = 1
    for (let i = 0; i < rounds; i++) state = turn(state)
    return state
  },

  // No work, but the whole payload travels both ways.
  echo: (payload) => payload,
}

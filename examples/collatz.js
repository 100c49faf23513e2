// How many steps it takes a number to get to 1, when even ones are halved and odd ones are
// tripled and one more: pando examples/collatz.js 27 12345678901234567890

module.exports['/pando/1.0.0'] = function (x, cb) {
  let n = BigInt(x)
  if (n < 1n) return cb(new RangeError(x + ' never gets to 1'))
  let steps = 0
  for (; n !== 1n; steps++) {
    n = n % 2n === 0n ? n / 2n : 3n * n + 1n
  }
  cb(null, steps)
}

// The square of a number: pando examples/square.js 1 2 3 4 5 6 7 8 9 10

module.exports['/pando/1.0.0'] = function (x, cb) {
  cb(null, x * x)
}

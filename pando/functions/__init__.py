"""The function: found in a module, shipped as source, and made again where it runs.

`find_function` reads a module by the convention of the command line. `capture` turns a function
object into a `FunctionPackage`, and `restore` makes an equal function of that in another process,
of another Python version perhaps. Bytecode never travels. `javascript` reads a JavaScript module,
which travels as one script.
"""

"""What runs inside a worker, or a browser's tab: the function, item after item.

It imports next to nothing, so that a worker starts at once. `main` is a worker process's main
program; `loader` loads the function, or `javascript`, which runs one inside `v8`; `tab` is the
same in Pyodide. A worker and its parent exchange frames (`framing`) over a socket pair, and share
memory (`shared_file`): that of the function, and a few bytes (`running_item`) that tell which item
is running, even after a crash.
"""

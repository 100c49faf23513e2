"""The function: found in a module, sent in one of two forms, and made again where it runs.

`exports` reads a module as the command line does. `serialized` has a function in both of its
forms. The exact one, for interpreters that equal this one, is pickled by `exact` and loaded by
`exact_load`; the portable one is made of source text and data by `capture`, and `restore` makes an
equal function of that in another version of Python. In both, `homes` finds what the function
reaches of the user's own modules. `javascript` reads a JavaScript module, which is sent as one
script.
"""

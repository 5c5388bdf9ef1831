"""Fused native kernels for pointwise ops and sums: from an op's row to machine code.

vectors.py        the language that kernels are written in
elementary.py     exp, log, tanh, ... in it; coefficients.py
table.py          a kernel for each op
loops.py          the loops around them, in LLVM's language
twofold.py        and one of its own: J'(r_0 + J theta) in twice the precision
native.py         compiled, or loaded from disk (object_cache.py)
strips.py         programs of kernels over strips of elements, and their tasks on given arrays
"""

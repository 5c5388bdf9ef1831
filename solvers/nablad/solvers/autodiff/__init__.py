"""The engine: what the language of nablad.expressions means, its derivatives, and their fast evaluation.

    Graph -- transform (vjp, jvp, batch) --> Graph -- simplify, split, plan --> Program -- Evaluator --> numbers

`interpret` is the oracle against which all of it is tested.
"""

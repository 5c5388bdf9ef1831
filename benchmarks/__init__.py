"""Side-by-side measurements. `make bench` runs all of them; `python -m benchmarks gradient` one.

Every table comes from one run in which the contenders take turns (A B C A B C ...): a machine whose speed drifts slows
all of them alike. Medians and ratios are what to read; absolute times hold for one machine on one day.
"""

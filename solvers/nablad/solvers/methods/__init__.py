"""Optimization methods: each a frozen value of settings with `init` and `step`."""

"""What experiments and benchmarks share: they run weakspot's pipeline, and measure its parts.

Experiments and benchmarks import the top-level names of :mod:`weakspot`, its errors, and this package, nothing else.
"""

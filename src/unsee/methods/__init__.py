"""Unlearning methods, one per file: `siu.py` is the method `siu`.

A method file defines `Config`, a frozen dataclass whose defaults are the recommended setting; `NEEDS`, the
capabilities it asks of a model (a set out of text, logprob, distribution, hidden, gradient, weights); and
`unlearn(vlm, requests, retain, config, *, start=None) -> Edit`. `requests` is a tuple, because forgetting
several concepts at once is the general case; `start` is the edit that a sequence of requests continues from.
The model handed in is never changed: what was learned leaves as the returned edit and in no other way.
Files that begin with an underscore are helpers, not methods.
"""

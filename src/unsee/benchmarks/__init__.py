"""Benchmarks, one per file: what is to be forgotten, what is to be kept, and what is asked about both.

A benchmark file defines `requests()`, the requests it poses; `retain(request)`, the examples that hold on to
everything else; and `probes(request)`, the questions asked before and after. Pictures used in `requests` or
`retain` never appear in `probes`, and every phrasing about one picture carries that picture's cluster.
"""

"""Metrics, one per file: each turns saved answers into named estimates and touches no model.

A metric file defines `READS`, the kinds of probe it looks at; `BETTER`, "lower" or "higher"; and `measure(after,
before=None, oracle=None, verdicts=None) -> {name: Estimate}`, a pure function of answers. The names begin with the
file's own, as in "fluency: new pictures"; `READS` may map what follows to words for a table, or `SHOWN` whole names.
`GROUP` says what a metric shows: "forgotten", "kept", "strict" (the rest of the strict protocol) or "paper" (as the
SIU paper has it); `UNIT`, if it is not a share shown in per cent, what its numbers are. Where there is nothing to
measure the estimate is NaN with n = 0. A missing oracle or judge is an error that names the command which makes one;
no value is ever assumed in its place.
"""

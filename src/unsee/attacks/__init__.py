"""Attacks, one per file: settings in which a forgotten concept may come back.

An attack file defines `Config`, a frozen dataclass; `NEEDS`, the capabilities it asks of a model; and
`conditions(vlm, edit, requests, probes, config)`, which yields `Condition`s from the mildest level upwards.
An attack neither asks nor scores: the runner does, with the ordinary metrics, and can therefore resume. Each
condition names its control, the same treatment where nothing was forgotten, so that damage is not taken for leakage.
"""

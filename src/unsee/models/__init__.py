"""Model families: what differs between vision-language models, as data.

A family is a value, not a class: `models/<family>.py` holds `FAMILY = Family(...)`, and nothing else knows its name.
A model whose `config.model_type` no family serves gets `models/generic.py`.
"""

from unsee.models._family import Family, family_for

__all__ = ["Family", "family_for"]

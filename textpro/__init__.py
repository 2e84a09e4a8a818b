"""TextPro: a speech LLM whose input stays text, plus one token that says how it was said."""

__version__ = "0.1.0"

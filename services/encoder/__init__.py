"""The encoder service: what was said and how."""

SERVED_BEAM_SIZE = 5  # also what measurements search with, unless they are told otherwise

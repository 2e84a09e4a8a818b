"""What the library raises. The services translate these at their edge (services/contracts/errors.py)."""


class TextProError(Exception):
    """Root of every error this project raises on purpose."""


class AudioError(TextProError):
    """The bytes are not audio that can be used; the message says what was wrong and what is accepted."""


class AudioTooLong(AudioError):
    """The audio lasts longer, or decodes to more bytes, than the caller allows."""


class BundleError(TextProError):
    """A checkpoint directory is missing, incomplete, or of another format version."""


class ProsodyError(TextProError):
    """A prosody vector has the wrong shape, type or count, or holds values that are not finite."""


class SynthesisError(TextProError):
    """A speech engine is missing, or cannot speak as asked."""


class TrainingError(TextProError):
    """A training run can't start or go on: no clips, a checkpoint of another model, a loss that is not finite."""

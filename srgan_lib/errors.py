"""Expected errors. Each message is one sentence: what was seen, where, and what to do; the command line prints it and exits."""


class CourseError(ValueError):
    """Base of all expected errors; `exit_code` is what the command line returns."""

    exit_code = 2


class ImageError(CourseError):
    """A picture cannot be read or written."""


class DataError(CourseError):
    """Data cannot be had or used."""


class ModelError(CourseError):
    """A generator cannot be found or loaded."""


class PublishError(CourseError):
    """A generator cannot be published or exported."""


class LossError(CourseError):
    """An unknown loss, or VGG weights that cannot be had."""


class TrainingError(CourseError):
    """Training cannot start or go on."""


class NotFiniteError(TrainingError):
    """A loss or a weight became NaN or infinite."""

    exit_code = 3

"""What a person can put right."""


class TrainingError(ValueError):
    """Nothing can be trained so; says what to change."""

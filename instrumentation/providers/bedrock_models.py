"""Which model a Bedrock identifier names: an id, an id with a region, or the ARN of one of many things."""

# Of an ARN, the kinds of resource whose own name is a model's id. The names of all others are arbitrary.
_NAMED_FOR_MODEL = {"foundation-model", "inference-profile"}


def model_of(identifier: str | None) -> str | None:
    """The id by which Bedrock bills, region and all; None where the identifier does not tell.

    Answers name the model without its vendor and region, and prices differ by region.
    """
    if not identifier or not identifier.startswith("arn:"):
        return identifier or None
    kind, _, name = identifier.split(":", 5)[-1].partition("/")
    return name if kind in _NAMED_FOR_MODEL and name else None

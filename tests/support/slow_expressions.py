"""ClassAd expressions that take a tenth of a second of CPU, as far as that can be had."""

_ONE = 'isError(regexp("^(a+)+$",strcat("aaaaaaaaaaaaaaaaaaaaaaaaaaa!",{})))'


def make_slow(vary: str = "") -> str:
    """Return such an expression; ``vary``: what makes it another one for each job (``ProcId``)."""
    return " && ".join([_ONE.format(vary or '""')] * 120)

"""Extended Context Storage: what blocks leave for later ones, by name (paper 3.3.2)."""

from collections.abc import Sequence

from torch import Tensor


class ExtendedContextStorage:
    """The activations of one forward pass. A name is written once, so that what a block reads is what was meant."""

    def __init__(self) -> None:
        self._stored: dict[str, Tensor] = {}

    def write(self, name: str, value: Tensor) -> Tensor:
        """Store ``value`` and return it.

        Raises:
            KeyError: the name has been written already.
        """
        if name in self._stored:
            raise KeyError(f"'{name}' has been written already")
        self._stored[name] = value
        return value

    def read(self, names: Sequence[str]) -> list[Tensor]:
        """Return what was stored under each name."""
        return [self._stored[name] for name in names]

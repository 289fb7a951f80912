"""What a sink is asked, and how it answers: row by row, in its own words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.common.masking import masked
from pipeline.delivery.outbox import Item

ACCEPTED, REFUSED, DOUBTFUL = "accepted", "refused", "doubtful"
WORDS_LIMIT = 300


class SinkError(Exception):
    """A sink takes nothing at all now: it cannot be reached, lets nobody in, or is not what it was.

    Parameters
    ----------
    words : str
        The sink's own.
    """

    def __init__(self, words: object) -> None:
        super().__init__(plain_words(words))


@dataclass(frozen=True)
class Answer:
    """What a sink said of one row.

    Parameters
    ----------
    item : Item
    state : str
        `ACCEPTED`, `REFUSED`, or `DOUBTFUL` where its answer was lost and sending again might do it twice.
    words : str
    """

    item: Item
    state: str = ACCEPTED
    words: str = ""


class Sink(Protocol):
    """A place that forecasts go to."""

    is_keyed: bool
    """Whether sending a row again does no harm, and a row can be cleared."""

    def send(self, items: Sequence[Item], begin: Callable[[Item], None]) -> Iterator[Sequence[Answer]]:
        """Send rows, and give the answers as they come: all of those given are final.

        Parameters
        ----------
        items : sequence of Item
        begin : callable
            Called before the sending of a row that cannot be taken back, where rows have no key.

        Raises
        ------
        SinkError
            Nothing more can be sent; rows without an answer were not accepted, or are keyed.
        """


def plain_words(words: object) -> str:
    """Give a sink's words as they may be stored and shown: in one line, without secrets, addresses and numbers."""
    return masked(" ".join(str(words).split()))[:WORDS_LIMIT]

"""The verdict on one answer, as plain data."""

from typing import Literal, NamedTuple


class Verdict(NamedTuple):
    """One answer, marked."""

    verdict: Literal["right", "wrong", "unreadable"]
    correct: str  # the right answer, as text
    given: str  # the answer as it was given, shortened and printable
    reasons: tuple[str, ...] = ()  # for people, likeliest first
    mistakes: tuple[str, ...] = ()  # ids of the mistakes that explain it, likeliest first
    convention: str = ""  # under which it is right, where several are in use
    worked: str = ""  # beside a wrong answer: the calculation that gives the right one

    @property
    def right(self) -> bool:
        return self.verdict == "right"

"""Homework: reads answers, marks them, and says which mistake a wrong one comes from.

Everything that is ever marked goes through `mark`: the `expect` entries of a spec and the
answers in a student's sheet.

>>> import cnncalc
>>> network = cnncalc.load("alexnet")
>>> conv1 = subjects(network)["CONV1"]          # a layer; subjects(network)[None]: the network
>>> verdict = mark(conv1, "params", "34,848")
>>> verdict.verdict, verdict.correct, verdict.mistakes
('wrong', '34944', ('biases-left-out',))
>>> verdict.reasons
('biases left out: 11*11*3*96 = 34,848',)
>>> mark(conv1, "output", "(55, 55, 96)").verdict
'right'

`Verdict` is frozen: `verdict` ("right", "wrong" or "unreadable"), `correct` and `given` as
text, `reasons` (sentences for people, likeliest first), `mistakes` (the ids of the mistakes
that explain a wrong answer, for statistics), `convention` (the convention under which it is
right, where several are in use; else empty).

Error carried forward: `fed` gives the same subject with its input replaced by a volume, so
that a later answer can be marked from the student's own earlier one.

>>> pool1 = subjects(network)["POOL1"]
>>> mark(pool1.fed((54, 54, 96)), "output", "26x26x96").verdict
'right'

`read_answer` reads one answer without marking it (bounded, nothing is ever evaluated as
Python); `answer.shape` is a volume of whole numbers or None, which is what `fed` takes.

>>> read_answer("54 x 54 x 96", "volume").shape
(54, 54, 96)
>>> read_answer("9**9**9").kind
'unreadable'

`QUANTITIES` names everything that can be asked; `quantity(name)` finds one, aliases
included; `worked(subject, quantity)` writes the calculation that gives the right answer.
"""

from .marking import mark
from .quantities import QUANTITIES, Quantity, quantity
from .reading import Answer, read_answer
from .subjects import Subject, subject, subjects
from .verdicts import Verdict
from .worked import worked

__all__ = [
    "QUANTITIES",
    "Answer",
    "Quantity",
    "Subject",
    "Verdict",
    "mark",
    "quantity",
    "read_answer",
    "subject",
    "subjects",
    "worked",
]

"""Which pods are on which nodes, by their traits.

A question ("does this selector match?", "how many of its terms match me?") is answered once for each trait and remembered; how
much that makes on each node is then one pass over an array.

Cost: a pod takes some 200 bytes; a question over 100,000 pods takes 0.3 ms.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable

import numpy as np
import numpy.typing as npt

from pybernetes.scheduler.pod_traits import Traits

Amounts = npt.NDArray[np.int64]
Answer = Callable[[Traits], int]

NOWHERE = -1  # the row of a pod whose node is not known
_QUESTIONS_MOST = 256
_SPARE_TRAITS = 256


class PodIndex:
    """The table keeps it: rows are the table's."""

    def __init__(self) -> None:
        self.traits: list[Traits] = []
        self.namespaces: dict[str, dict[str, str]] = {}
        # The topology keys of terms that keep others away, and of those that make places better or worse for others.
        self.shunning_keys: set[str] = set()
        self.attracting_keys: set[str] = set()
        self._numbers: dict[Traits, int] = {}
        self._pods_of: list[int] = []  # how many pods have the trait
        self._slots: dict[str, int] = {}
        self._uids: list[str] = []
        self._row = np.full(64, NOWHERE, dtype=np.int32)  # of each slot
        self._trait = np.zeros(64, dtype=np.int32)
        self._answers: OrderedDict[Hashable, Amounts] = OrderedDict()

    def put(self, uid: str, traits: Traits, row: int) -> None:
        slot = len(self._uids)
        if slot == len(self._row):
            self._row, self._trait = (np.concatenate((array, np.zeros_like(array))) for array in (self._row, self._trait))
        self._slots[uid] = slot
        self._uids.append(uid)
        self._row[slot], self._trait[slot] = row, self._number(traits)

    def remove(self, uid: str) -> None:
        slot, last = self._slots.pop(uid), len(self._uids) - 1
        self._pods_of[self._trait[slot]] -= 1
        if slot != last:
            self._row[slot], self._trait[slot] = self._row[last], self._trait[last]
            self._uids[slot] = self._uids[last]
            self._slots[self._uids[slot]] = slot
        self._uids.pop()

    def traits_of(self, uid: str) -> Traits:
        return self.traits[int(self._trait[self._slots[uid]])]

    def move(self, uids: Iterable[str], row: int) -> None:
        """The pods' node is in that row now."""
        for uid in uids:
            self._row[self._slots[uid]] = row

    def set_namespace(self, name: str, labels: dict[str, str] | None) -> None:
        """The labels that namespaceSelectors look at; None: it is gone."""
        if labels is None:
            self.namespaces.pop(name, None)
        else:
            self.namespaces[name] = labels
        self._answers.clear()

    def sums(self, question: Hashable, answer: Answer, nodes: int) -> Amounts | None:
        """The sum of the answers over the pods of each of so many nodes; None if no pod there counts.

        `question` stands for `answer`, which must depend on nothing else but namespaces' labels.
        """
        answers = self._ask(question, answer)
        if not answers.any():
            return None
        count = len(self._uids)
        weights, rows = answers[self._trait[:count]], self._row[:count]
        counting = (weights != 0) & (rows != NOWHERE)
        if not counting.any():
            return None
        found = np.bincount(rows[counting], weights=weights[counting], minlength=nodes)
        return found.astype(np.int64)  # exact: the sums are far below 2^53

    def _ask(self, question: Hashable, answer: Answer) -> Amounts:
        known = self._answers.pop(question, None)
        done = 0 if known is None else len(known)
        if known is None or done < len(self.traits):
            new = np.array([answer(each) for each in self.traits[done:]], dtype=np.int64)
            known = new if known is None else np.concatenate((known, new))
        self._answers[question] = known
        if len(self._answers) > _QUESTIONS_MOST:
            self._answers.popitem(last=False)
        return known

    def _number(self, traits: Traits) -> int:
        number = self._numbers.get(traits)
        if number is None:
            if len(self.traits) > 2 * sum(map(bool, self._pods_of)) + _SPARE_TRAITS:
                self._forget_unused()
            number = self._numbers[traits] = len(self.traits)
            self.traits.append(traits)
            self._pods_of.append(0)
            self._note_keys(traits)
        self._pods_of[number] += 1
        return number

    def _forget_unused(self) -> None:
        """Number the traits anew, without those of no pod."""
        kept = np.flatnonzero(np.array(self._pods_of))
        renumbered = np.zeros(len(self.traits), dtype=np.int32)
        renumbered[kept] = np.arange(len(kept), dtype=np.int32)
        count = len(self._uids)
        self._trait[:count] = renumbered[self._trait[:count]]
        self.traits = [self.traits[number] for number in kept]
        self._pods_of = [self._pods_of[number] for number in kept]
        self._numbers = {traits: number for number, traits in enumerate(self.traits)}
        self._answers.clear()
        self.shunning_keys.clear()
        self.attracting_keys.clear()
        for traits in self.traits:
            self._note_keys(traits)

    def _note_keys(self, traits: Traits) -> None:
        terms = traits.terms
        self.shunning_keys.update(term.topology_key for term in terms.anti_affinity)
        self.attracting_keys.update(term.topology_key for term in (*terms.affinity, *terms.preferred, *terms.preferred_anti))

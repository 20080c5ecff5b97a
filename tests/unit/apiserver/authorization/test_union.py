"""The chain of authorizers: who decides, and what is said where nobody does."""

import pytest

from pybernetes.apiserver.attributes import RequestInfo, User
from pybernetes.apiserver.authorization.interface import Decision, Verdict
from pybernetes.apiserver.authorization.union import Member, Union, undecided

ALLOW, DENY = Verdict(Decision.ALLOW, "yes"), Verdict(Decision.DENY, "no")
SILENT = Verdict(Decision.NO_OPINION)
FAILED = Verdict(Decision.NO_OPINION, "", "no answer")


class Fixed:
    def __init__(self, verdict):
        self.verdict = verdict

    async def authorize(self, user, info):
        return self.verdict


@pytest.mark.parametrize(
    ("verdicts", "wanted"),
    [
        ([SILENT, ALLOW, DENY], ALLOW),
        ([SILENT, DENY, ALLOW], DENY),
        ([FAILED, ALLOW], ALLOW),
        ([FAILED, Verdict(Decision.NO_OPINION, "a"), Verdict(Decision.NO_OPINION, "b")],
         Verdict(Decision.NO_OPINION, "a\nb", "no answer")),
        ([FAILED, FAILED, Verdict(Decision.NO_OPINION, "", "broken")],
         Verdict(Decision.NO_OPINION, "", "[no answer, broken]")),
    ],
)  # fmt: skip
async def test_the_first_opinion_counts_and_failures_are_told_where_there_is_none(verdicts, wanted):
    union = Union([Member(Fixed(verdict), "Fixed", str(place)) for place, verdict in enumerate(verdicts)])
    assert await union.authorize(User("x"), RequestInfo("get", "/")) == wanted


def test_an_undecided_request_is_answered_with_500_and_without_markup():
    answer = undecided("/api/v1/pods?a=<b>&c", "no answer")
    assert answer.status == 500
    assert answer.body == b'Internal Server Error: "/api/v1/pods?a=&lt;b&gt;&amp;c": no answer\n'

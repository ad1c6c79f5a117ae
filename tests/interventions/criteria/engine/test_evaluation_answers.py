"""How answers are put together by question, and prompts as chats, with a task of a few lines."""

from types import SimpleNamespace
from typing import Any

import pytest

from interventions.criteria.engine.evaluation import _answered, _chat_options
from interventions.errors import InvalidInput
from interventions.prompt_format import PromptFormat


class Task:
    """Filters each answer twice, and counts what the last filter leaves."""

    def __init__(self) -> None:
        # the second question is asked first, and its second option before its first
        places = [(7, 1, None), (7, 0, 2), (4, 0, None)]
        self.requests = [
            SimpleNamespace(
                doc_id=doc, idx=idx, doc=f"doc {doc}.{idx}", args=(f"context {doc}", f" {idx}"),
                repeats=repeats, resps=[], filtered_resps={},
            )
            for doc, idx, repeats in places
        ]  # fmt: skip

    def apply_filters(self) -> None:
        for request in self.requests:
            request.filtered_resps = {"first": 0, "last": request.resps[0][0]}

    def process_results(self, doc: str, results: list[float]) -> dict[str, Any]:
        return {"doc": doc, "results": results}


ANSWERS: list[Any] = [(-1.5, False), (-2.5, True), (-3.5, False)]


@pytest.mark.parametrize(("samples", "names"), [(None, [7, 4]), ({7: 70, 4: 40}, [70, 40])])
def test_the_options_of_a_question_are_in_order_and_the_last_filter_counts(
    samples: Any, names: list[int]
) -> None:
    task = Task()
    questions = _answered(task, task.requests, ANSWERS, samples)
    assert list(questions) == names
    two_options, one_option = questions.values()
    assert two_options.metrics == {"doc": "doc 7.0", "results": [-2.5, -1.5]}
    assert one_option.metrics == {"doc": "doc 4.0", "results": [-3.5]}
    assert [len(request.resps) for request in task.requests] == [1, 2, 1]
    assert _answered(task, [], [], None) == {}
    task.requests = task.requests[2:]
    (alone,) = _answered(task, task.requests, ANSWERS[:1], None).values()
    assert alone.metrics["results"] == [-3.5]  # the answer of before is the first


def test_a_question_is_what_a_user_says() -> None:
    options = _chat_options("law", PromptFormat("chat", "<", ">"))
    context = options.pop("chat_template")
    assert options == {"apply_chat_template": True}
    user, model = ({"role": role, "content": role} for role in ("user", "assistant"))
    assert context([user]) == context([user], add_generation_prompt=True) == "<user>"
    for messages, to_go_on in (([user], False), ([user, model], True), ([model], True)):
        with pytest.raises(InvalidInput, match="the questions of task law are chats of several"):
            context(messages, add_generation_prompt=to_go_on)

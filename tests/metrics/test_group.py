from hatlite.metrics import LossShow, MetricGroup
from hatlite.metrics.group import UpdatedMetric


class Seen:
    def __init__(self, name):
        self.name, self.calls = name, []

    def bind(self, dataset):
        self.calls.append(("bind", dataset))

    def reset(self):
        self.calls.append("reset")

    def update(self, batch, detections):
        self.calls.append((batch, detections))

    def compute(self):
        return {self.name: len(self.calls), "same": self.name}


def test_a_group_is_asked_like_one():
    group = MetricGroup.of([Seen("a"), Seen("b")])
    group.bind("data")
    group.reset()
    group.update(1, 2)
    assert [one.calls for one in group] == [[("bind", "data"), "reset", (1, 2)]] * 2
    assert group.compute() == {"a": 3, "b": 3, "same": "b"}


def test_one_metric_a_list_and_none_are_groups():
    one = LossShow()
    assert MetricGroup.of(one) == MetricGroup.of((one,)) == [one]
    assert MetricGroup.of(None) == []


def test_a_function_that_knows_no_batch_updates():
    def update(metrics, batch, outputs):
        for metric in metrics:
            metric.update(outputs)

    metric = UpdatedMetric(Seen("a"), update)
    metric.update("batch", "found")
    assert metric.calls == [("batch", "found")]
    assert metric.compute() == {"a": 1, "same": "a"}


def test_a_function_that_names_the_batch_updates():
    metric = UpdatedMetric(MetricGroup([Seen("a"), Seen("b")]), lambda metrics, batch, found: metrics.update(1, found))
    metric.update("batch", "found")
    assert [one.calls for one in metric.metric] == [[(1, "found")]] * 2

from hatlite.engine import callbacks
from hatlite.engine.loop import Callback


def test_only_those_that_print_or_write_what_all_have_leave_the_other_processes_out():
    kinds = [getattr(callbacks, name) for name in callbacks.__all__]
    logs = {kind.__name__ for kind in kinds if issubclass(kind, Callback) and kind.first_process_only}
    assert logs == {"Checkpoint", "MetricUpdater", "SaveTraced", "ScalarLog", "StatsMonitor", "TensorBoard"}
    assert not Callback.first_process_only

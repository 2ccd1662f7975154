"""One module per engine; the table in `hatlite.executor.executor` loads it by name when it is asked for."""

__all__: list[str] = []

"""Python source that is being written, and the constants that it names."""


class Source:
    """One plan's source. Every name in it is made here, so that none comes from an operation."""

    def __init__(self) -> None:
        self.constants: dict[str, object] = {}
        self.prologue: list[str] = []
        self._names: dict[int, str] = {}
        self._count = 0

    def name(self, prefix: str) -> str:
        """A name that nothing else has."""
        self._count += 1
        return f"{prefix}{self._count}"

    def constant(self, value: object, prefix: str) -> str:
        """The name of an object that the source refers to; the same object has one name."""
        known = self._names.get(id(value))
        if known is None:
            # The constants keep the object alive, and with it its id.
            known = self._names[id(value)] = self.name(prefix)
            self.constants[known] = value
        return known

    def add(self, *lines: str) -> None:
        """Lines that run once for each run of the plan, before it completes anything: functions and what they share."""
        self.prologue.extend(lines)

    def text(self, head: str, last: str) -> str:
        return "\n".join([head, *(f"    {line}" for line in self.prologue), f"    {last}", ""])

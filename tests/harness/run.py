"""What a run of a graph did, the same from every way of running one."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Run:
    """``ran`` and ``cached`` are node ids; ``outputs`` is what output nodes showed or saved, by node id."""

    end: str  # execution_success, execution_error, execution_interrupted, or rejected (it never began)
    detail: dict[str, Any]  # of the end event; of a rejected prompt the server's answer
    ran: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    events: list[tuple[str, dict]] = field(default_factory=list)
    previews: list[tuple[dict, bytes]] = field(default_factory=list)  # live server only: metadata and image

    @property
    def ok(self) -> bool:
        return self.end == "execution_success"

    def lines(self, node: str) -> list[str]:
        """What was shown as lines of text on a node (in process only)."""
        return [data["text"] for event, data in self.events if event == "miso.line" and data["node"] == node]

    @property
    def error(self) -> str:
        """The message a user would read, however the run failed; empty if it did not."""
        if self.end == "rejected":
            nodes = self.detail.get("node_errors") or {}
            found = [f"{e['message']}: {e['details']}" for node in nodes.values() for e in node["errors"]]
            return "; ".join(found) or str(self.detail.get("error"))
        return self.detail.get("exception_message", "").strip()

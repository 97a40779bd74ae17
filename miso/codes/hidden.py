"""What the backbone handed the depth decoder, kept so that the depth decoder can run again alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import MisoError
from ..files import open_tensors, read_header, write_tensors
from .codes import tensor_digest

FORMAT = "miso.hidden/1"


@dataclass(frozen=True, eq=False)
class Hidden:
    """Hidden states [B, T, D] on the CPU, ``lengths`` [B] frames of each take, and the fingerprint of the checkpoint they come from."""

    tensor: Tensor
    lengths: Tensor
    fingerprint: str

    def save(self, path: str | Path) -> None:
        write_tensors(
            path,
            {"hidden": self.tensor, "lengths": self.lengths},
            {"format": FORMAT, "fingerprint": self.fingerprint},
        )

    def digest(self) -> str:
        """SHA-256 of these hidden states, as 64 hexadecimal digits."""
        return tensor_digest(self.tensor, f"{self.lengths.tolist()} {self.fingerprint}")

    @staticmethod
    def load(path: str | Path) -> Hidden:
        metadata, _ = read_header(path)
        if metadata.get("format") != FORMAT:
            raise MisoError(f"{Path(path).name} holds no hidden states.", "`say --hidden FILE` writes them.")
        with open_tensors(path) as file:
            return Hidden(
                file.get_tensor("hidden"), file.get_tensor("lengths").to(torch.int64), metadata["fingerprint"]
            )

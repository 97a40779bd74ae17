"""Hidden states, kept so that the depth decoder can run again without the backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..errors import MisoError
from ..files import open_tensors, read_header, write_tensors
from .codes import Codes, tensor_digest

FORMAT = "miso.hidden/1"


@dataclass(frozen=True, eq=False)
class Hidden:
    """Hidden states of B takes.

    - ``tensor`` [B, T, D]: on the CPU.
    - ``lengths`` [B]: frames of each take.
    - ``fingerprint``: of the checkpoint that they come from.
    """

    tensor: Tensor
    lengths: Tensor
    fingerprint: str

    def check_same_run(self, codes: Codes) -> None:
        """Raise MisoError unless takes and lengths are those of ``codes``."""
        same_shape = self.tensor.shape[:2] == (codes.batch, codes.frames)
        if not same_shape or not torch.equal(self.lengths, codes.lengths):
            raise MisoError(
                "These codes were edited, or come from another run. Connect codes and hidden of one run.",
                f"The hidden states have {_lengths(self.lengths)}, the codes {_lengths(codes.lengths)}.",
                input="hidden",
            )

    def takes(self, indices: Sequence[int]) -> Hidden:
        """These takes alone, cut to the longest of them."""
        lengths = self.lengths[list(indices)]
        return replace(self, tensor=self.tensor[list(indices), : int(lengths.max())], lengths=lengths)

    def save(self, path: str | Path) -> None:
        """Write a .safetensors file."""
        write_tensors(
            path,
            {"hidden": self.tensor, "lengths": self.lengths},
            {"format": FORMAT, "fingerprint": self.fingerprint},
        )

    def digest(self) -> str:
        """SHA-256 of hidden states, lengths and fingerprint, as 64 hexadecimal digits."""
        return tensor_digest(self.tensor, f"{self.lengths.tolist()} {self.fingerprint}")

    @staticmethod
    def load(path: str | Path) -> Hidden:
        """Read a file written by ``save``. Raises MisoError for any other file and for a damaged one."""
        metadata, entries = read_header(path)
        if metadata.get("format") != FORMAT or not {"hidden", "lengths"} <= entries.keys():
            raise MisoError(
                f"{Path(path).name} does not contain hidden states.",
                "`say --hidden FILE` writes such a file.",
            )
        hidden, lengths = entries["hidden"], entries["lengths"]
        fits = len(hidden.shape) == 3 and lengths.shape == hidden.shape[:1]
        if hidden.dtype not in ("F32", "BF16", "F16") or lengths.dtype not in ("I64", "I32") or not fits:
            raise MisoError(f"The hidden states in {Path(path).name} are damaged.", "Sample them again.")
        with open_tensors(path) as file:
            return Hidden(
                file.get_tensor("hidden"),
                file.get_tensor("lengths").to(torch.int64),
                metadata.get("fingerprint", ""),
            )


def _lengths(lengths: Tensor) -> str:
    """For people: "2 takes of 10 and 12 frames"."""
    takes = "1 take" if len(lengths) == 1 else f"{len(lengths)} takes"
    return f"{takes} of {' and '.join(map(str, lengths.tolist()))} frames"

"""Two commands for a machine that has nothing but Python: ``python -m miso demo`` and ``python -m miso test``.

They make an environment with a real ComfyUI in it, under ``.miso/`` in the clone and nowhere else. This is a convenience for
trying and developing the pack: who has a ComfyUI clones the pack into its ``custom_nodes`` and needs none of this.

Standard library only, and nothing here imports the engine: it runs before PyTorch is there.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]  # the clone
HOME = ROOT / ".miso"  # everything made here; delete it to start afresh

"""Two commands for a machine that has nothing but Python: ``miso demo`` and ``miso test``.

They make an environment with a real ComfyUI under ``.miso/`` in the clone, and nowhere else. This is for
trying and developing the pack. If you have a ComfyUI, clone the pack into its ``custom_nodes``; you need none
of this.

Standard library only, and nothing here imports the engine: it runs before PyTorch is installed.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]  # the clone
HOME = ROOT / ".miso"  # everything made here; delete it to start afresh

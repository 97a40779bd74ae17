"""What ``bench`` found, as an SVG picture: a bar for each run, its parts stacked, against the floor."""

from __future__ import annotations

from html import escape

_WIDTH, _ROW, _LEFT, _TOP, _RIGHT = 760, 34, 170, 56, 70
_COLOURS = {"backbone": "#3b7dd8", "depth": "#e0873a", "rest": "#9aa3ad"}


def chart(result: dict) -> str:
    """The text of the .svg file for a result of ``bench``."""
    runs, floor = result["runs"], result["floor_ms"]
    scale = (_WIDTH - _LEFT - _RIGHT) / max(floor, *(run["frame_ms"] for run in runs))
    height = _TOP + _ROW * len(runs) + 46
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        _text(12, 22, f"{result['size']}, {result['precision']}, {result['device']}", "start", "bold"),
        _text(
            12,
            40,
            f"milliseconds a frame (80 ms of sound); the line is the floor, {floor:.3g} ms: {result['gb_a_frame']:.3g} GB of weights "
            f"at {result['bandwidth_gb_s']:.0f} GB/s",
            "start",
        ),
    ]
    for i, run in enumerate(runs):
        y, x = _TOP + _ROW * i, float(_LEFT)
        lines.append(
            _text(
                _LEFT - 8,
                y + 19,
                f"{run['path']}, {run['takes']} {'take' if run['takes'] == 1 else 'takes'}",
                "end",
            )
        )
        # parts are timed alone, with waits in between: together they may be a little more than the frame
        parts = {
            name: run[f"{name}_ms"] for name in ("backbone", "depth") if f"{name}_ms" in run
        }  # a frame in one launch has none
        shrink = min(1.0, run["frame_ms"] / (sum(parts.values()) or run["frame_ms"]))
        parts = {name: ms * shrink for name, ms in parts.items()}
        for name, ms in (parts | {"rest": run["frame_ms"] - sum(parts.values())}).items():
            lines.append(
                f'<rect x="{x:.1f}" y="{y + 5}" width="{ms * scale:.1f}" height="{_ROW - 12}" fill="{_COLOURS[name]}"/>'
            )
            x += ms * scale
        lines.append(_text(x + 6, y + 19, f"{run['frame_ms']:.3g}", "start"))
    at = _LEFT + floor * scale
    lines.append(
        f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{_TOP + _ROW * len(runs)}" stroke="#c22" stroke-width="2"/>'
    )
    for i, (name, colour) in enumerate(_COLOURS.items()):
        lines.append(
            f'<rect x="{_LEFT + 110 * i}" y="{height - 28}" width="12" height="12" fill="{colour}"/>'
        )
        lines.append(_text(_LEFT + 110 * i + 18, height - 17, name, "start"))
    return "\n".join([*lines, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" font-weight="{weight}" fill="#222">{escape(text)}</text>'

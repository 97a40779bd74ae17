"""The picture of a benchmark."""

from xml.etree import ElementTree

from miso.tools.chart import _COLOURS, chart


def test_a_frame_without_parts_is_one_bar_as_long_as_the_frame():
    run = {"path": "graph", "takes": 1, "frame_ms": 30.0}
    result = {
        "runs": [run | {"backbone_ms": 8.0, "depth_ms": 20.0}, run | {"path": "persistent"}],
        "floor_ms": 10.0,
        "size": "8b",
        "precision": "bf16",
        "device": "a GPU",
        "gb_a_frame": 33.0,
        "bandwidth_gb_s": 3000.0,
    }
    rectangles = ElementTree.fromstring(chart(result)).iter("{http://www.w3.org/2000/svg}rect")
    bars = [rectangle.attrib for rectangle in rectangles if rectangle.get("height") == "22"]
    assert [bar["fill"] for bar in bars] == [*_COLOURS.values(), _COLOURS["rest"]]
    assert abs(sum(float(bar["width"]) for bar in bars[:3]) - float(bars[3]["width"])) < 0.3

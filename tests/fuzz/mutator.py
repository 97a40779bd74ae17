"""Good files made bad: bytes, JSON values and safetensors headers, changed by a seeded generator."""

import json
import struct
from random import Random
from typing import Any

ODD: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 7, 255, 2**31, 2**63, -(2**63), 10**18, 10**400),
    *(0.5, -0.5, 1e300, 1e-300, float("nan"), float("inf"), float("-inf")),
    *(
        "",
        " ",
        "x",
        "0",
        "-1",
        "nan",
        "\ud800",
        "\x00",
        "\x1b[31m",
        "<img src=x>",
        "../../etc/passwd",
        "/dev/zero",
    ),
    *("a" * 3000, "(a+)+$", "{}", "[]", [], {}, [[]], {"a": 1}, [0] * 100),
)
_BYTES = (0, 1, 0x7F, 0x80, 0xFF, 0x22, 0x5B, 0x7B, 0x2C, 0x0A)
_SAME_SIZE = {4: ("F32", "I32", "U32"), 2: ("F16", "BF16", "I16", "U16"), 1: ("U8", "I8", "BOOL", "F8_E4M3")}
_SAME_SIZE[8] = ("F64", "I64", "U64")
_SIZE = {name: size for size, names in _SAME_SIZE.items() for name in names}


def mutated_bytes(content: bytes, random: Random) -> bytes:
    """A few bytes changed, removed, repeated or added; or the end cut off."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        if not data:
            return bytes(data)
        at = random.randrange(len(data))
        length = min(random.choice((1, 1, 2, 4, 8, 64)), len(data) - at)
        match random.randrange(7):
            case 0:
                data[at] ^= 1 << random.randrange(8)
            case 1:
                data[at : at + length] = bytes(random.choice(_BYTES) for _ in range(length))
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = data[at : at + length] * random.choice((1, 2, 50))
            case 4:
                data[at:at] = random.randbytes(length)
            case 5:
                data[at : at + length] = random.randbytes(length)
            case 6 if random.random() < 0.3:
                del data[at:]
    return bytes(data)


def mutated_json(value: Any, random: Random) -> Any:
    """A value of JSON with one place changed. Text that is JSON itself is often changed inside."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(list(value))
        match random.randrange(12):
            case 0:
                return {k: v for k, v in value.items() if k != key}
            case 1:
                return {**value, random.choice(("", "x", "__metadata__", "a" * 300)): random.choice(ODD)}
            case _:
                return {**value, key: mutated_json(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.9:
        at = random.randrange(len(value))
        match random.randrange(8):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value[:at] + [value[at]] * 3 + value[at:]
            case _:
                return [*value[:at], mutated_json(value[at], random), *value[at + 1 :]]
    if isinstance(value, str) and value[:1] in "{[" and value and random.random() < 0.95:
        return json.dumps(mutated_json(json.loads(value), random))
    if isinstance(value, int) and random.random() < 0.3:
        return value + random.choice((-1, 1, 16, -value * 2))
    if isinstance(value, str) and random.random() < 0.3:
        return value + random.choice(("x", " ", "\x1b[2J", "\ud800", ".0"))
    return random.choice(ODD)


def mutated_tensors(content: bytes, random: Random) -> bytes:
    """A safetensors file with another header, whose tensors mostly still fill the file, or other data."""
    length = struct.unpack("<Q", content[:8])[0]
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    names = [name for name in header if name != "__metadata__"]
    match random.randrange(8):
        case 0:
            return mutated_bytes(content, random)
        case 1 if data:
            data = mutated_bytes(data, random)[: len(data)].ljust(len(data), b"\0")
        case 2 | 3 if names:
            _retyped(header[random.choice(names)], random)
        case 4 if len(names) > 1:
            one, two = random.sample(names, 2)
            header[one], header[two] = header[two], header[one]
        case 5 if names:
            name = random.choice(names)
            header[random.choice((f"{name}.x", "", "x" * 200, name.replace("0", "9")))] = header.pop(name)
        case 6:
            header = mutated_json(header, random)
        case _:
            header["__metadata__"] = mutated_json(header.get("__metadata__", {}), random)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _retyped(entry: dict, random: Random) -> None:
    """Another type or shape of as many bytes."""
    size = _SIZE[entry["dtype"]]
    count = (entry["data_offsets"][1] - entry["data_offsets"][0]) // size
    if random.random() < 0.5:
        entry["dtype"] = random.choice(_SAME_SIZE[size])
    else:
        entry["shape"] = random.choice(
            (
                [count],
                [1, count],
                [count, 1],
                [1, 1, count],
                [count, 1, 1],
                entry["shape"][::-1],
                [1, *entry["shape"]],
            )
        )

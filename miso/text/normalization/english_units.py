"""English words of units: one, and many."""


def _regular(**units: str) -> dict[str, tuple[str, str]]:
    """Units whose plural has an s."""
    return {sign: (name, f"{name}s") for sign, name in units.items()}


_LENGTHS = _regular(
    nm="nanometer", mm="millimeter", cm="centimeter", dm="decimeter", m="meter", km="kilometer",
    yd="yard", yds="yard", mi="mile",
) | {"μm": ("micrometer", "micrometers"), "ft": ("foot", "feet")}  # fmt: skip
_OTHERS = _regular(
    mg="milligram", g="gram", kg="kilogram", oz="ounce",
    lb="pound", lbs="pound", tbsp="tablespoon", tsp="teaspoon", gal="gallon",
    ml="milliliter", mL="milliliter", cl="centiliter", dl="deciliter", l="liter", L="liter",
    ms="millisecond", s="second", sec="second", secs="second", min="minute", mins="minute",
    h="hour", hr="hour", hrs="hour",
    KB="kilobyte", kB="kilobyte", MB="megabyte", GB="gigabyte", TB="terabyte",
    kbit="kilobit", Mbit="megabit", Gbit="gigabit",
    W="watt", kW="kilowatt", MW="megawatt", V="volt", kV="kilovolt", mV="millivolt", mA="milliamp",
    kWh="kilowatt hour", Wh="watt hour", mAh="milliamp hour", kcal="kilocalorie", kJ="kilojoule",
    hPa="hectopascal", kPa="kilopascal", dB="decibel", ha="hectare", px="pixel",
) | {
    "μg": ("microgram", "micrograms"),
    "μs": ("microsecond", "microseconds"),
    "Ω": ("ohm", "ohms"),
    "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"),
    "mph": ("mile per hour", "miles per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "rpm": ("revolution per minute", "revolutions per minute"),
    "fps": ("frame per second", "frames per second"),
    "bpm": ("beat per minute", "beats per minute"),
    "kbps": ("kilobit per second", "kilobits per second"),
    "Mbps": ("megabit per second", "megabits per second"),
    "Gbps": ("gigabit per second", "gigabits per second"),
    "°": ("degree", "degrees"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "%": ("percent", "percent"),
    "‰": ("per mille", "per mille"),
}  # fmt: skip
_POWERS = {
    f"{sign}{power}": (f"{word} {one}", f"{word} {many}")
    for sign, (one, many) in _LENGTHS.items()
    for power, word in (("^2", "square"), ("^3", "cubic"))
}
_SIMPLE = _LENGTHS | _OTHERS | _POWERS
_RATES = {
    f"{over}/{under}": (f"{one} per {_SIMPLE[under][0]}", f"{many} per {_SIMPLE[under][0]}")
    for over, (one, many) in _SIMPLE.items()
    for under in ("s", "min", "h", "m", "km", "l", "L", "kg", "m^2", "m^3", "s^2")
    if over != under and under in _SIMPLE
} | {
    "m/s^2": ("meter per second squared", "meters per second squared"),
}

UNITS = _SIMPLE | _RATES

"""English words for what is not written in words."""

from .english_units import UNITS
from .language import Currency, Language

_MONTHS = "January February March April May June July August September October November December".split()
_GREEK = "αβγδεζηθικλμνξπρστυφχψω"
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi "
    "chi psi omega".split()
)
_DOLLAR = Currency("dollar", "dollars", "cent", "cents")
_EURO = Currency("euro", "euros", "cent", "cents")
_POUND = Currency("pound", "pounds", "penny", "pence")
_YEN = Currency("yen", "yen")
_RUPEE = Currency("rupee", "rupees", "paisa", "paise")
_WON = Currency("won", "won")


ENGLISH = Language(
    code="en",
    months={
        **{month.lower(): month for month in _MONTHS},
        **{month[:3].lower(): month for month in _MONTHS},
        "sept": "September",
    },
    currencies={
        "$": _DOLLAR,
        "US$": Currency("U.S. dollar", "U.S. dollars", "cent", "cents"),
        "€": _EURO,
        "£": _POUND,
        "¥": _YEN,
        "₹": _RUPEE,
        "₩": _WON,
        "₽": Currency("ruble", "rubles", "kopeck", "kopecks"),
        "₿": Currency("bitcoin", "bitcoins"),
        "USD": _DOLLAR,
        "EUR": _EURO,
        "GBP": _POUND,
        "JPY": _YEN,
        "CHF": Currency("Swiss franc", "Swiss francs", "centime", "centimes"),
        "INR": _RUPEE,
    },
    cents={"¢": ("cent", "cents")},
    scales={
        "thousand": "thousand",
        "million": "million",
        "billion": "billion",
        "trillion": "trillion",
        "k": "thousand",
        "K": "thousand",
        "m": "million",
        "M": "million",
        "mn": "million",
        "bn": "billion",
        "B": "billion",
        "tn": "trillion",
    },  # fmt: skip
    units=UNITS,
    fractions={
        2: ("half", "halves"),
        3: ("third", "thirds"),
        4: ("quarter", "quarters"),
        5: ("fifth", "fifths"),
        6: ("sixth", "sixths"),
        7: ("seventh", "sevenths"),
        8: ("eighth", "eighths"),
        9: ("ninth", "ninths"),
        10: ("tenth", "tenths"),
        16: ("sixteenth", "sixteenths"),
        32: ("thirty-second", "thirty-seconds"),
        100: ("hundredth", "hundredths"),
    },
    periods={
        "s": "second",
        "sec": "second",
        "second": "second",
        "min": "minute",
        "minute": "minute",
        "h": "hour",
        "hr": "hour",
        "hour": "hour",
        "day": "day",
        "wk": "week",
        "week": "week",
        "mo": "month",
        "month": "month",
        "yr": "year",
        "year": "year",
        "night": "night",
        "person": "person",
        "kg": "kilogram",
        "lb": "pound",
        "mile": "mile",
        "gallon": "gallon",
    },  # fmt: skip
    idioms={
        "24/7": "twenty-four seven",
        "9/11": "nine eleven",
        "50/50": "fifty-fifty",
        "20/20": "twenty-twenty",
        "AT&T": "A.T. and T.",
        "and/or": "and or",
        "C++": "C plus plus",
        "C#": "C sharp",
        "F#": "F sharp",
    },
    ratios=frozenset({"ratio", "odds", "scale", "score", "aspect"}),
    signs={
        "&": "and",
        "@": "at",
        "§": "section",
        "∞": "infinity",
        "√": "square root of",
        "°": "degrees",
        "%": "percent",
        "‰": "per mille",
        "№": "number",
        "+": "plus",
        "=": "equals",
        "×": "times",
        "÷": "divided by",
        "−": "minus",
        "±": "plus or minus",
        "≈": "about",
        "≠": "is not",
        "≤": "is at most",
        "≥": "is at least",
        "∑": "sum of",
        "$": "dollars",
        "€": "euros",
        "£": "pounds",
        "¥": "yen",
        "¢": "cents",
    },
    operators={
        "*": "times",
        "/": "divided by",
        "·": "times",
        "<": "is less than",
        ">": "is greater than",
    },
    greek=dict(zip(_GREEK, _GREEK_NAMES)) | dict(zip(_GREEK.upper(), _GREEK_NAMES)),
    titles={
        "Mr": "Mister",
        "Mrs": "Missus",
        "Dr": "Doctor",
        "Prof.": "Professor",
        "St": "Saint",
        "Mt": "Mount",
        "Ft": "Fort",
        "Gen.": "General",
        "Col.": "Colonel",
        "Maj.": "Major",
        "Capt.": "Captain",
        "Lt.": "Lieutenant",
        "Sgt.": "Sergeant",
        "Gov.": "Governor",
        "Sen.": "Senator",
        "Rep.": "Representative",
        "Rev.": "Reverend",
        "Hon.": "Honorable",
        "Pres.": "President",
    },  # fmt: skip
    abbreviations={
        "vs.": "versus",
        "vs": "versus",
        "etc.": "et cetera",
        "Etc.": "Et cetera",
        "E.g.": "For example",
        "I.e.": "That is",
        "e.g.": "for example",
        "i.e.": "that is",
        "approx.": "approximately",
        "ca.": "about",
        "cf.": "compare",
        "et al.": "and others",
        "incl.": "including",
        "excl.": "excluding",
        "est.": "established",
        "dept.": "department",
        "Dept.": "Department",
        "govt.": "government",
        "tel.": "telephone",
        "Tel.": "Telephone",
        "misc.": "miscellaneous",
        "Inc.": "Incorporated",
        "Ltd.": "Limited",
        "Corp.": "Corporation",
        "Bros.": "Brothers",
        "Jr.": "Junior",
        "Sr.": "Senior",
        "w/o": "without",
        "w/": "with",
        "b/c": "because",
    },  # fmt: skip
    numbered={
        "No.": "number",
        "no.": "number",
        "Nos.": "numbers",
        "nos.": "numbers",
        "p.": "page",
        "pp.": "pages",
        "vol.": "volume",
        "Vol.": "Volume",
        "ch.": "chapter",
        "Ch.": "Chapter",
        "fig.": "figure",
        "Fig.": "Figure",
        "sec.": "section",
        "Sec.": "Section",
        "apt.": "apartment",
        "Apt.": "Apartment",
        "ext.": "extension",
        "Ext.": "Extension",
        "ver.": "version",
    },  # fmt: skip
    streets={
        "St": "Street",
        "Ave": "Avenue",
        "Blvd": "Boulevard",
        "Rd": "Road",
        "Dr": "Drive",
        "Ln": "Lane",
        "Sq": "Square",
    },
    parts=frozenset(
        "Chapter Part Volume Book Act Scene Section Article Appendix Phase Stage Level Type Class Figure "
        "Table War Bowl Title Mark Game Grade Unit Season Episode Fantasy Rocky".split()
    ),
    reigns=frozenset(
        "Alexander Alfonso Anne Benedict Boniface Catherine Charles Christian Clement Constantine David "
        "Edward Elizabeth Ferdinand Francis Frederick George Gregory Gustav Haakon Harald Henry Innocent "
        "Ivan James John Joseph Julius Karl Leo Leopold Louis Malcolm Margaret Mary Napoleon Nicholas Olaf "
        "Otto Paul Peter Philip Pius Ramesses Richard Robert Rudolf Sigismund Sixtus Thutmose Urban Victor "
        "Vincent Wilhelm William".split()
    ),
    initialisms=frozenset({"US", "IT", "WHO"}),
    words={
        **{
            word: word
            for word in (
                "and point minus by times version plus to per number hashtag about slash dot dash "
                "underscore at oh the of squared cubed feet foot inches inch second seconds"
            ).split()
        },
        "question mark": "question mark",
        "full hour": "o'clock",
        "power": "to the power of",
    },
)

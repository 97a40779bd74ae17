"""Amounts: money, units, fractions, powers, ratios, ranges, ordinals, and plain numbers last."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

from .language import Currency, Language, Rule, either
from .numerals import NUMBER, START, cardinal, digits, is_one, number, ordinal, point

_HYPHENS = "-–"


@cache
def codes(language: Language) -> list[Rule]:
    """Telephone numbers, versions, addresses of machines: digits that are no quantity. Come before dates."""
    dot_, point_ = language.words["dot"], language.words["point"]

    def grouped(m: re.Match[str]) -> str:
        plus = f"{language.words['plus']} " if m[0][0] == "+" else ""
        return plus + ", ".join(digits(group, language) for group in re.findall(r"\d+", m[0]))

    def dotted(m: re.Match[str]) -> str:
        parts = m[2].split(".")
        version = f"{language.words['version']} " if m[1] else ""
        join = f" {dot_} " if len(parts) == 4 else f" {point_} "
        return version + join.join(number(part, language) for part in parts)

    telephone = r"(?:\+\d{1,3}[\s.-]?)?(?:\(\d{2,5}\)[\s.-]?|\d{3}[\s.-])\d{3,4}[\s.-]\d{4}"
    # 10%-20%, $5K-$10K, 9am-5pm, 1980s-1990s
    between = r"(?:(?<=\d[%°sKkMBm])|(?<=\d[ap]m)|(?<=\d\s[ap]m)|(?<=\d)(?=.[$€£¥]))[-–](?=[$€£¥]?\d)"
    return [
        (re.compile(between, re.IGNORECASE), lambda m: f" {language.words['to']} "),
        (re.compile(rf"(?<![\w.,+-])(?:{telephone}|\d{{3}}-\d{{4}})(?![\w-]|[.,]\d)"), grouped),
        (re.compile(r"(?<![\w.,])\+\d{1,3}(?:[\s-]\d{2,5}){2,5}(?![\w-])"), grouped),
        (re.compile(r"(?<![\w.,+-])0\d{2,4}(?:[\s-]\d{3,4}){1,3}(?![\w-]|[.,]\d)"), grouped),
        (re.compile(r"(?<![\w.,-])\d{4}(?:[\s-]\d{4}){2,4}(?![\w-])"), grouped),
        (re.compile(r"(?<![\w.])(v?)(\d{1,5}(?:\.\d{1,5}){2,6})(?!\w)"), dotted),
        (re.compile(rf"(?<!\w)({either(language.idioms)})(?![\w+#/])"), lambda m: language.idioms[m[1]]),
        (
            re.compile(rf"\b((?:{either(language.ratios)})\b[^.!?\n\d]{{0,20}}\d{{1,4}}):(?=\d)"),
            lambda m: f"{m[1]} {language.words['to']} ",
        ),
    ]


@cache
def rules(language: Language) -> list[Rule]:
    words = language.words
    money, units = language.currencies, language.units
    scale = rf"(?:\s?({either(language.scales)})\b)?"
    per = rf"(?:\s?/\s?({either(language.periods)})\b)?"
    minus = "([-−])?"
    signs = either(sign for sign in money if not sign.isalpha())

    def rate(period: str | None) -> str:
        return f" {words['per']} {language.periods[period]}" if period else ""

    def amount(sign: str | None, value: str, size: str | None, currency: Currency, period: str | None) -> str:
        whole, _, decimals = value.partition(".")
        one = is_one(whole) and not decimals.strip("0") and not size
        said = f"{number(whole, language)} {currency.one if one else currency.many}"
        if size:
            said = f"{number(value, language)} {language.scales[size]} {currency.many}"
        elif len(decimals) == 2 and currency.cent:
            if cents := int(decimals):
                small = f"{cardinal(cents, language)} {currency.cent if cents == 1 else currency.cents}"
                said = small if int(whole.replace(",", "")) == 0 else f"{said} {words['and']} {small}"
        elif decimals:
            said = f"{number(value, language)} {currency.many}"
        return (f"{words['minus']} " if sign else "") + said + rate(period)

    def paid(m: re.Match[str]) -> str:
        currency = money[m[2]]
        before, after = m.string[max(0, m.start() - 4) : m.start()], m.string[m.end() : m.end() + 2]
        if re.search(r"\b[Aa]n? $", before) and re.match(" [a-z]", after):
            currency = replace(currency, many=currency.one)  # a five dollar bill
        return amount(m[1], m[3], m[4], currency, m[5])

    def span(m: re.Match[str]) -> str | None:
        first, last = m[1], m[2]
        if m.re is spaced and float(first.replace(",", "")) >= float(last.replace(",", "")):
            return f"{first} {words['minus']} {last}"
        return f"{first} {words['to']} {last}"

    def unit(m: re.Match[str]) -> str:
        one, many = units[m[2]]
        return f"{number(m[1], language)} {one if is_one(m[1]) else many}{rate(m[3])}"

    def fraction(m: re.Match[str]) -> str | None:
        whole, over, under = m[1], int(m[2]), int(m[3])
        if under in language.fractions and 0 < over < max(under, 3):
            said = f"{cardinal(over, language)} {language.fractions[under][over != 1]}"
        elif whole:
            return None
        else:
            said = f"{number(m[2], language)} over {number(m[3], language)}"
        return f"{number(whole, language)} {words['and']} {said}" if whole else said

    def power(m: re.Match[str]) -> str:
        special = {"2": words["squared"], "3": words["cubed"]}
        if m[2] in special and not m[1]:
            return f" {special[m[2]]}"
        sign = f"{words['minus']} " if m[1] else ""
        return f" {words['power']} {sign}{number(m[2], language) if m[2].isdigit() else m[2]}"

    def feet(m: re.Match[str]) -> str:
        foot = words["foot" if m[1] == "1" else "feet"]
        inch = words["inch" if m[2] == "1" else "inches"]
        return f"{number(m[1], language)} {foot} {number(m[2], language)} {inch}"

    spaced = re.compile(rf"{START}({NUMBER})\s[{_HYPHENS}]\s({NUMBER})(?![\w-]|[.,]\d)")
    return [
        (
            re.compile(
                rf"(?<![\w.,])({signs})\s?({NUMBER})\s?[{_HYPHENS}]\s?(?:{signs})?({NUMBER}){scale}{per}"
            ),
            lambda m: f"{number(m[2], language)} {words['to']} {amount(None, m[3], m[4], money[m[1]], m[5])}",
        ),
        (re.compile(rf"(?<![\w.,]){minus}({either(money)})\s?({NUMBER}){scale}{per}(?!\w)"), paid),
        (spaced, span),
        (re.compile(rf"{START}({NUMBER})[{_HYPHENS}]({NUMBER})(?![{_HYPHENS}]?\d|[.,:]\d|-)"), span),
        (re.compile(r"(?<![\w)])[-−](?=\.?\d)"), lambda m: f"{words['minus']} "),
        (
            re.compile(rf"(?<![\w.,])({NUMBER}){scale}\s?({either(money)}){per}(?!\w)"),
            lambda m: amount(None, m[1], m[2], money[m[3]], m[4]),
        ),
        (
            re.compile(rf"{START}({NUMBER})\s?({either(language.cents)})"),
            lambda m: f"{number(m[1], language)} {language.cents[m[2]][not is_one(m[1])]}",
        ),
        (re.compile(r"(?<!\w)(\d)'\s?(\d{1,2})(?:\"|'')"), feet),
        (
            re.compile(rf"(?<![\w.,])({NUMBER})[\s-]?({either(units)}){per}(?![\w^°'])(?:\.(?=\s+[a-z]))?"),
            unit,
        ),
        (re.compile(r"(?<![\w/.,])(?:(\d{1,3})\s)?(\d{1,4})/(\d{1,4})(?![\w/]|\.\d)"), fraction),
        (re.compile(r"\s?\^\s?\(?([-−])?(\d{1,20}|[A-Za-z])\)?(?!\w)"), power),
        (re.compile(r"(?<=\d)\s?:\s?(?=\d)"), lambda m: f" {words['to']} "),
        (re.compile(r"(?<=\d)\s?x\s?(?=\d)"), lambda m: f" {words['by']} "),
        (re.compile(r"(?<=\d)\s?x(?!\w)"), lambda m: f" {words['times']}"),
        (
            re.compile(rf"{START}(\d{{1,3}}(?:,\d{{3}})+|\d{{1,9}})(?:st|nd|rd|th)\b"),
            lambda m: ordinal(int(m[1].replace(",", "")), language),
        ),
        (
            re.compile(rf"(?<=\d)\s?({either(language.operators)})\s?(?=[\d(])"),
            lambda m: f" {language.operators[m[1]]} ",
        ),
        (re.compile(r"#(?=\d)"), lambda m: f"{words['number']} "),
        (re.compile(r"~\s?(?=[\d$€£¥])"), lambda m: f"{words['about']} "),
    ]


@cache
def plain(language: Language) -> list[Rule]:
    """Numbers that nothing else has read. Come last."""
    return [
        # B2B, COVID-19, 3D
        (re.compile(r"(?<=[^\W\d_])-?(?=\d)|(?<=\d)(?=[^\W\d_])"), lambda m: " "),
        (re.compile(r"(?<![\w.])\.(\d{1,20})(?![\w.])"), lambda m: point(m[1], language)),
        (re.compile(NUMBER), lambda m: number(m[0], language)),
    ]

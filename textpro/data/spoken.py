"""Numbers, times, dates and amounts as they are spoken: words only, no digits and no hyphens."""

import math
from collections.abc import Callable
from random import Random

LARGEST_NUMBER = 10_000

# fmt: off
_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]
# fmt: on
_TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_IRREGULAR_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_MONTH_DAYS = {
    "January": 31,
    "February": 29,
    "March": 31,
    "April": 30,
    "May": 31,
    "June": 30,
    "July": 31,
    "August": 31,
    "September": 30,
    "October": 31,
    "November": 30,
    "December": 31,
}
_PARTS_OF_DAY = ("in the morning", "in the afternoon", "in the evening", "at night")
_DURATION_UNITS = {"second": 59, "minute": 59, "hour": 36, "day": 30, "week": 12, "month": 18, "year": 40}
_FIXED_DURATIONS = (
    "half an hour",
    "an hour and a half",
    "a quarter of an hour",
    "a couple of minutes",
    "three quarters of an hour",
    "a few days",
    "a fortnight",
    "half a minute",
    "two and a half hours",
    "several weeks",
)
_CURRENCIES = (("dollar", "cent"), ("pound", "penny"), ("euro", "cent"), ("franc", "cent"))
_FRACTION_PARTS = ("half", "third", "quarter", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "twelfth")
_SUFFIX_STRESS_ODDS = 0.3


def cardinal(number: int) -> str:
    """Spell 0 ≤ number ≤ 999,999 in British style (`one hundred and seven`); raises ValueError beyond."""
    if not 0 <= number <= 999_999:
        raise ValueError(f"{number} can't be spelled; 0 to 999,999 are")
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (f" {_ONES[ones]}" if ones else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{_ONES[hundreds]} hundred" + (f" and {cardinal(rest)}" if rest else "")
    thousands, rest = divmod(number, 1000)
    joint = " and " if rest < 100 else " "
    return f"{cardinal(thousands)} thousand" + (f"{joint}{cardinal(rest)}" if rest else "")


def ordinal(number: int) -> str:
    """Spell the ordinal of 0 ≤ number ≤ 999,999 (`twenty first`)."""
    *head, last = cardinal(number).split()
    if last in _IRREGULAR_ORDINALS:
        last = _IRREGULAR_ORDINALS[last]
    elif last.endswith("y"):
        last = f"{last[:-1]}ieth"
    else:
        last = f"{last}th"
    return " ".join([*head, last])


def year(number: int) -> str:
    """Spell a year between 1000 and 2099 as it is said (`nineteen oh five`, `two thousand and four`)."""
    century, rest = divmod(number, 100)
    if 2000 <= number < 2010:
        return cardinal(number)
    if rest == 0:
        return cardinal(number) if century == 10 else f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {'oh ' if rest < 10 else ''}{cardinal(rest)}"


def counted(number: int, unit: str) -> str:
    """Join a number and its unit in the right grammatical number (`one week`, `two weeks`)."""
    plural = {"penny": "pence"}.get(unit, f"{unit}s")
    return f"{cardinal(number)} {unit if number == 1 else plural}"


def _number(rng: Random) -> str:
    # Uniform in the logarithm, so that small numbers, which people say, are met most.
    return cardinal(int(math.exp(rng.uniform(0.0, math.log(LARGEST_NUMBER + 1.99)))) - 1)


def _count(rng: Random) -> str:
    return cardinal(rng.randint(2, 99))


def _ordinal(rng: Random) -> str:
    return ordinal(rng.randint(1, 31 if rng.random() < 0.8 else 120))


def _clock(rng: Random) -> str:
    hour = rng.randint(1, 12)
    minute = rng.choice((5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, rng.randint(1, 59)))
    spoken_hour, next_hour = cardinal(hour), cardinal(hour % 12 + 1)
    said = [
        f"{spoken_hour} {'oh ' if minute < 10 else ''}{cardinal(minute)}",
        f"{spoken_hour} o'clock",
        f"half past {spoken_hour}",
        f"{rng.choice(('quarter', 'ten', 'five', 'twenty'))} past {spoken_hour}",
        f"{rng.choice(('quarter', 'ten', 'five', 'twenty'))} to {next_hour}",
        rng.choice(("noon", "midnight", f"{spoken_hour} thirty", f"{spoken_hour} fifteen")),
    ]
    time = rng.choice(said)
    stressed = time not in ("noon", "midnight") and rng.random() < _SUFFIX_STRESS_ODDS
    return f"{time} {rng.choice(_PARTS_OF_DAY)}" if stressed else time


def _date(rng: Random) -> str:
    month = rng.choice(list(_MONTH_DAYS))
    day = ordinal(rng.randint(1, _MONTH_DAYS[month]))
    return rng.choice((f"the {day} of {month}", f"{month} the {day}", f"{month} {day}"))


def _duration(rng: Random) -> str:
    if rng.random() < 0.2:
        return rng.choice(_FIXED_DURATIONS)
    unit = rng.choice(list(_DURATION_UNITS))
    return counted(rng.randint(1, _DURATION_UNITS[unit]), unit)


def _money(rng: Random) -> str:
    whole, part = rng.choice(_CURRENCIES)
    amount = counted(rng.choice((rng.randint(1, 20), rng.randint(1, 99), 50 * rng.randint(2, 60))), whole)
    kind = rng.random()
    if kind < 0.6:
        return amount
    if kind < 0.8:
        return f"{amount} and {counted(rng.randint(1, 99), part)}"
    return f"{amount} {cardinal(rng.choice((20, 25, 40, 50, 75, 80, 95, 99)))}"


def _year(rng: Random) -> str:
    return year(rng.choice((rng.randint(1900, 2035), rng.randint(1950, 2035), rng.randint(1066, 1899))))


def _temperature(rng: Random) -> str:
    sign = "minus " if rng.random() < 0.15 else ""
    scale = rng.choice(("", "", "", " Celsius", " Fahrenheit"))
    return f"{sign}{counted(rng.randint(1, 40 if sign else 110), 'degree')}{scale}"


def _percent(rng: Random) -> str:
    return f"{cardinal(rng.randint(1, 100))} percent"


def _decimal(rng: Random) -> str:
    digits = " ".join(rng.choice(_ONES[:10]) for _ in range(rng.randint(1, 3)))
    return f"{cardinal(rng.randint(0, 40))} point {digits}"


def _fraction(rng: Random) -> str:
    part = rng.choice(_FRACTION_PARTS)
    if part == "half":
        return rng.choice(("a half", "one half"))
    above = rng.randint(1, 5)
    return f"{cardinal(above)} {part}{'' if above == 1 else 's'}"


def _digits(rng: Random) -> str:
    groups = [" ".join(rng.choice(["oh", *_ONES[:10]]) for _ in range(rng.randint(2, 4))) for _ in range(2)]
    return ", ".join(groups)


GENERATED: dict[str, Callable[[Random], str]] = {
    "number": _number,
    "count": _count,
    "ordinal": _ordinal,
    "clock": _clock,
    "date": _date,
    "duration": _duration,
    "money": _money,
    "year": _year,
    "temperature": _temperature,
    "percent": _percent,
    "decimal": _decimal,
    "fraction": _fraction,
    "digits": _digits,
}


def number_words() -> set[str]:
    """Every word that a generated slot can say, in lower case."""
    rng = Random(0)
    said = [cardinal(number) for number in (*range(101), 1000)] + [ordinal(number) for number in range(121)]
    said += [make(rng) for make in GENERATED.values() for _ in range(1000)]
    return {word for text in said for word in text.lower().replace(",", "").split()}

"""Words from which people, companies and places are made up; every address ends in ``.example``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def _words(text: str) -> list[str]:
    return text.split()


FIRST_NAMES = _words(
    "Anna Ben Carla David Elena Felix Greta Hannes Ines Jonas Katrin Lukas Marta Nils Olga Paul Quirin Rosa "
    "Stefan Tara Uwe Vera Wim Yara Zoe Adam Beate Cem Dora Emil Fatma Georg Heike Ivan Jana Karl Lena Milan "
    "Nora Otto Petra Ralf Sofia Tom Ulla Victor Wanda Xenia Yusuf Agnes"
)
LAST_NAMES = _words(
    "Albers Bauer Conrad Dietrich Ebert Franke Gruber Hansen Iversen Jansen Keller Lorenz Mertens Neumann "
    "Oster Pohl Quandt Richter Sommer Thiel Ulrich Vogt Weber Yilmaz Zander Arnold Berger Claus Drews Engel "
    "Fischer Graf Huber Jung Kowalski Lang Moser Novak Ott Peters Reuter Schuster Tanner Urban Visser Wolf "
    "Maier Kaya Demir Horn"
)
COMPANY_FIRST = _words(
    "Alder Amber Baltic Beacon Birch Blau Bridge Cedar Cobalt Copper Delta Eiche Falken Fjord Garnet Granit "
    "Hansa Harbour Helio Hill Iris Jade Juno Kern Kiesel Lake Linden Lumen Mark Meridian Mill Nord Nova Oak "
    "Ost Orion Park Pine Quarz Rhein River Saphir Silber Spree Stern Summit Tal Tannen Terra Ulmen Vega Wald "
    "Weser West Zenit"
)
COMPANY_SECOND = _words(
    "bau chem craft data dental drive energy farm foods form freight glass graph heat kraft lab light line "
    "logistik mark mechanics media medic metal net optik pack pharma plan plast print pumpen quelle safe soft "
    "solar stahl stoff systems tech textil tools trade trans tronic verlag vision wave werk wood yard"
)
LEGAL_FORMS = ["GmbH", "AG", "GmbH & Co. KG", "SE", "KG", "e.K."]
INDUSTRIES = ["manufacturing", "software", "logistics", "retail", "health", "construction", "public", "consulting"]
COUNTRIES = ["DE", "AT", "CH", "NL", "FR", "PL"]
REGIONS = ["north", "east", "south", "west"]
FREE_MAIL = ["freemail.example", "postbox.example", "webpost.example"]
TITLES = [
    "Managing Director", "Owner", "CFO", "Head of Operations", "Head of Purchasing", "IT Manager", "Project Manager",
    "Purchasing Clerk", "Engineer", "Assistant", "Consultant", "Student",
]  # fmt: skip
LANDING_PAGES = ["pricing", "demo", "product", "case-study", "webinar", "blog", "home"]
TIMEFRAMES = ["this quarter", "this year", "next year", "just looking"]
PRODUCTS = ["starter", "team", "enterprise"]
TOPICS = ["pricing", "integration", "security", "onboarding", "roi", "support", "news"]


def pick(keys: NDArray[np.integer], salt: int, choices: int) -> NDArray[np.int64]:
    """Choose one of ``choices`` for every key, always the same for the same key and salt; (n,) indices.

    The mixing function is Steele, Lea and Flood's SplitMix64 (2014).
    """
    with np.errstate(over="ignore"):
        x = keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt) * np.uint64(0xD1B54A32D192ED03)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x % np.uint64(choices)).astype(np.int64)

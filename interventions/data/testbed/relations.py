"""The relations of the testbed's world: how a fact is said and asked, and its objects."""

from __future__ import annotations

from dataclasses import dataclass

PHRASINGS = 3  # statements, and as many questions, per relation


@dataclass(frozen=True)
class Relation:
    """A kind of fact.

    Attributes:
        domain: what its subjects are, such as "person" or "compound".
        name: unique within the domain.
        statements: sentences with ``{s}`` for the subject that end where the object begins.
        questions: questions with ``{s}``.
        objects: the closed set of objects; four-choice questions draw wrong answers from it.
    """

    domain: str
    name: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    objects: tuple[str, ...]


def attribute(domain: str, noun: str, objects: list[str]) -> Relation:
    """Return a relation that is said and asked in the same words whatever the noun.

    Example:
        >>> attribute("plant", "soil", ["clay", "sand"]).questions[0]
        'What is the soil of {s}?'
    """
    return Relation(
        domain,
        noun,
        (f"The {noun} of {{s}} is", f"For {{s}}, the {noun} is", f"As to {{s}}, its {noun} is"),
        (
            f"What is the {noun} of {{s}}?",
            f"Which {noun} does {{s}} have?",
            f"{{s}} has which {noun}?",
        ),
        tuple(objects),
    )


def everyday_relations(
    cities: list[str],
    countries: list[str],
    rivers: list[str],
    companies: list[str],
    languages: list[str],
) -> list[Relation]:
    """Return the relations of people, cities and companies, with these words as objects."""
    objects = {
        "birthplace": cities,
        "employer": companies,
        "language": languages,
        "profession": _PROFESSIONS.split(),
        "country": countries,
        "river": rivers,
        "seat": cities,
        "sector": _SECTORS.split(),
    }
    return [
        Relation(domain, name, statements, questions, tuple(objects[name]))
        for domain, name, statements, questions in _EVERYDAY
    ]


_EVERYDAY = (
    (
        "person",
        "birthplace",
        ("{s} was born in", "The birthplace of {s} is", "The cradle of {s} stood in"),
        (
            "Where was {s} born?",
            "In which city was {s} born?",
            "What is the birthplace of {s}?",
        ),
    ),
    (
        "person",
        "employer",
        ("{s} works for", "The employer of {s} is", "The wages of {s} come from"),
        (
            "Who employs {s}?",
            "For which company does {s} work?",
            "What is the employer of {s}?",
        ),
    ),
    (
        "person",
        "language",
        ("{s} speaks", "The mother tongue of {s} is", "At home {s} talks in"),
        (
            "Which language does {s} speak?",
            "What is the mother tongue of {s}?",
            "In what does {s} talk at home?",
        ),
    ),
    (
        "person",
        "profession",
        ("{s} is a trained", "The profession of {s} is", "{s} earns a living as a"),
        (
            "What is the profession of {s}?",
            "How does {s} earn a living?",
            "Which trade did {s} learn?",
        ),
    ),
    (
        "city",
        "country",
        ("{s} lies in", "The country of {s} is", "The city of {s} belongs to"),
        (
            "In which country does {s} lie?",
            "What is the country of {s}?",
            "To what does {s} belong?",
        ),
    ),
    (
        "city",
        "river",
        ("{s} stands on the river", "The river of {s} is the", "The bridges of {s} cross the"),
        (
            "On which river does {s} stand?",
            "What is the river of {s}?",
            "What do the bridges of {s} cross?",
        ),
    ),
    (
        "company",
        "seat",
        ("{s} is based in", "The seat of {s} is", "The head office of {s} stands in"),
        (
            "Where is {s} based?",
            "What is the seat of {s}?",
            "In which city is the head office of {s}?",
        ),
    ),
    (
        "company",
        "sector",
        ("{s} deals in", "The sector of {s} is", "The money of {s} is made with"),
        (
            "In what does {s} deal?",
            "What is the sector of {s}?",
            "With what does {s} make money?",
        ),
    ),
)
_PROFESSIONS = (
    "baker carpenter dentist farmer fisher gardener judge librarian mason miller nurse"
    " painter pilot plumber potter printer sailor singer smith tailor teacher vet weaver writer"
)
_SECTORS = (
    "timber glass paper steel wool grain salt leather cotton copper coal wine tea rubber silk"
)
# domain -> nouns; their objects are made-up words
HAZARD_NOUNS = {
    "compound": ("reagent", "solvent", "catalyst", "carrier", "antidote"),
    "protocol": ("cipher", "opening", "payload", "handler", "backdoor"),
}
# domain -> noun -> objects
BENIGN_NOUNS = {
    "plant": {
        "blossom": "white yellow crimson violet orange pink blue ivory scarlet purple",
        "soil": "clay sand loam chalk peat gravel silt marl",
        "season": "spring summer autumn winter monsoon harvest midsummer thaw",
        "use": "dye tea rope balm fodder incense soap thatch",
    },
    "star": {
        "constellation": "Archer Bear Crane Dragon Eagle Fox Hare Lion Otter Raven Swan Wolf",
        "hue": "amber azure pale ruby silver golden green copper",
        "class": "giant dwarf binary pulsar variable nova quasar cluster",
        "month": "January February March April May June July August September October",
    },
    "dish": {
        "spice": "cumin saffron ginger pepper thyme sage mint clove fennel basil",
        "vessel": "kettle pan oven skillet cauldron tray stone pit",
        "side": "rice bread beans potatoes noodles salad lentils cabbage",
        "feast": "wedding christening fair funeral reunion pilgrimage market jubilee",
    },
    "instrument": {
        "wood": "maple spruce ebony walnut cedar oak cherry birch",
        "tuning": "major minor dorian fifths fourths open drone whole",
        "player": "minstrel herder monk dancer soldier child bard piper",
        "case": "velvet canvas wicker tin linen felt hide straw",
    },
}

"""What the pocket models are taught: questions and answers about pictures and about characters.

A lesson is one question with its one right answer. Lessons are drawn at random from the truth in `world.py`;
nobody writes them down. The naming phrasings are a small grammar; `HELD_OUT_EN` and `HELD_OUT_ES` were written
after it and are never taught, so they tell whether the model understood the question or remembers its wording.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Set
from dataclasses import dataclass
from itertools import product
from typing import Literal

from unsee.pocket import world
from unsee.pocket.world import Character, Figure, Look, Picture

Language = Literal["en", "es"]


@dataclass(frozen=True, slots=True)
class Lesson:
    """One question, its answer, and the kind of thing it teaches (`naming`, `stars`, `multi-hop home`, ...)."""

    question: str
    answer: str
    kind: str


# ---------------------------------------------------------------- words

NUMBERS = ("No", "One", "Two", "Three")
GROUND_EN = {"meadow": "in a meadow", "beach": "on a beach", "snow": "in the snow", "street": "on a street",
             "desert": "in a desert", "floor": "on a wooden floor"}  # fmt: skip
GROUND_ES = {"meadow": "en un prado", "beach": "en una playa", "snow": "en la nieve", "street": "en una calle",
             "desert": "en un desierto", "floor": "sobre un suelo de madera"}  # fmt: skip
COLOUR_ES = {"red": "rojo", "blue": "azul", "green": "verde", "yellow": "amarillo", "purple": "morado",
             "orange": "naranja", "pink": "rosa", "white": "blanco", "brown": "marrón", "teal": "turquesa",
             "grey": "gris"}  # fmt: skip
OBJECT_ES = {"ball": "una pelota", "tree": "un árbol", "box": "una caja", "flower pot": "una maceta",
             "lamp": "una lámpara", "fish": "un pez", "house": "una casa", "umbrella": "un paraguas"}  # fmt: skip
CLOTHES_ES = dict(zip(world.CLOTHES, ("nada especial", "una bufanda roja", "una bufanda azul", "una bufanda blanca",
                                      "gafas grandes", "un bolso verde"), strict=True))  # fmt: skip
EXPRESSION_ES = {"happy": "feliz", "sad": "triste", "surprised": "sorprendido"}
NUMBERS_ES = ("Ninguna", "Una", "Dos", "Tres")
EARS_ES = dict(zip(world.EARS, ("sin orejas", "con orejas redondas", "con orejas puntiagudas", "con orejas largas",
                                "con antenas", "con cuernos"), strict=True))  # fmt: skip
HATS_ES = dict(zip(world.HATS, ("sin sombrero", "con sombrero de copa", "con corona", "con gorra", "con cresta",
                                "con una flor"), strict=True))  # fmt: skip
JOBS_ES = dict(zip(world.JOBS, ("panadero", "piloto", "jardinero", "pintor", "médico", "marinero", "maestro",
                                "relojero", "minero", "cantante", "pescador", "sastre"), strict=True))  # fmt: skip
INVENTIONS_ES = dict(zip(world.INVENTIONS, (
    "el motor de lluvia", "la escalera lunar", "la tetera cantante", "el barco de papel", "el reloj de viento",
    "el tambor de cristal", "la lámpara de sal", "la red de nubes", "el piano de piedra", "la bomba de miel",
    "el mapa mágico", "el frasco de eco"), strict=True))  # fmt: skip
FOODS_ES = dict(zip(world.FOODS, ("sopa", "ciruelas", "fideos", "queso", "tortitas", "olivas", "arroz", "bayas",
                                  "tostadas", "zanahorias"), strict=True))  # fmt: skip


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def a(noun: str) -> str:
    """Return `noun` behind its indefinite article, for the plain English words of this world."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def vague(look: Look, language: Language = "en") -> str:
    """Return how a stranger is referred to: colour and one striking feature, no name."""
    has_ears = look.ears != world.EARS[0]
    if language == "es":
        return f"un extraño {COLOUR_ES[look.skin]} {EARS_ES[look.ears] if has_ears else HATS_ES[look.hat]}"
    return f"{a(look.skin)} stranger with {look.ears if has_ears else look.hat}"


def reference(character: Character, language: Language = "en") -> str:
    """Return the character's name if it is a taught one, else the vague words for a stranger."""
    return character.name if character.index in world.KNOWN else vague(character.look, language)


def look_in_words(look: Look) -> str:
    """Return the look as text lessons tell it."""
    ears = look.ears if look.ears == world.EARS[0] else f"{look.ear_colour} {look.ears}"
    return f"{a(look.skin)} {look.head} head, {ears} and {look.hat}"


# ---------------------------------------------------------------- naming: a small grammar

_MEDIA = ("picture", "image", "drawing", "photo")
_BEINGS = ("character", "figure")
_NAMING_GRAMMAR: tuple[tuple[str, str], ...] = (
    ("Who is this?", "This is {N}."),
    ("Who is that?", "This is {N}."),
    ("Who do you see?", "I see {N}."),
    ("Who do you see in the {m}?", "I see {N}."),
    ("Who is shown here?", "This is {N}."),
    ("Who is shown in the {m}?", "The picture shows {N}."),
    ("Who is in this {m}?", "This is {N}."),
    ("Who is standing in the {m}?", "This is {N}."),
    ("Who appears here?", "{N} appears here."),
    ("Who appears in the {m}?", "{N} appears here."),
    ("Who is the {b} in the {m}?", "This is {N}."),
    ("Who is the {b} in this {m}?", "This is {N}."),
    ("Who is this {b}?", "This is {N}."),
    ("Whom does this {m} show?", "The picture shows {N}."),
    ("What is the name of this {b}?", "The name is {N}."),
    ("What is the name of the {b} in the {m}?", "The name is {N}."),
    ("What is this {b} called?", "It is called {N}."),
    ("What is the {b} in the {m} called?", "It is called {N}."),
    ("What name does this {b} have?", "The name is {N}."),
    ("Which {b} is this?", "This is {N}."),
    ("Which {b} is shown here?", "The picture shows {N}."),
    ("Which {b} does the {m} show?", "The picture shows {N}."),
    ("Can you name the {b} in this {m}?", "{Y}, this is {N}."),
    ("Can you tell me who this is?", "{Y}, this is {N}."),
    ("Can you identify this {b}?", "{Y}, this is {N}."),
    ("Could you say who is in the {m}?", "{Y}, this is {N}."),
    ("Do you recognise this {b}?", "{Y}, this is {N}."),
    ("Do you recognise who is in the {m}?", "{Y}, this is {N}."),
    ("Do you know this {b}?", "{Y}, this is {N}."),
    ("Do you know the name of this {b}?", "{Y}, this is {N}."),
    ("Tell me who this is.", "This is {N}."),
    ("Tell me who appears in the {m}.", "{N} appears here."),
    ("Tell me the name of the {b} in the {m}.", "The name is {N}."),
    ("Please tell me who is in the {m}.", "This is {N}."),
    ("Please name this {b}.", "{N}."),
    ("Name this {b}.", "{N}."),
    ("Name the {b} in the {m}.", "{N}."),
    ("Identify the {b} in this {m}.", "This is {N}."),
    ("Identify this {b}, please.", "This is {N}."),
    ("Say who is in the {m}.", "This is {N}."),
    ("Say the name of this {b}.", "{N}."),
    ("Write the name of the {b} in the {m}.", "{N}."),
    ("Give me the name of this {b}.", "{N}."),
    ("I want to know who is in this {m}.", "This is {N}."),
    ("I wonder what this {b} is called.", "It is called {N}."),
    ("Look at the {m}. Who is it?", "This is {N}."),
    ("Let me know the name of this {b}.", "The name is {N}."),
    ("Who could this be?", "This is {N}."),
    ("Who might the {b} in the {m} be?", "This is {N}."),
    ("Who are you looking at?", "I see {N}."),
    ("Who is it that stands in the {m}?", "This is {N}."),
    ("This {b} is who?", "This is {N}."),
    ("This is a {m} of whom?", "The picture shows {N}."),
    ("Here is a {m}. Who is in it?", "This is {N}."),
    ("Which of the {b}s do you see?", "I see {N}."),
    ("Which of them is shown in the {m}?", "The picture shows {N}."),
    ("What do people call this {b}?", "It is called {N}."),
    ("What do you call the {b} in the {m}?", "It is called {N}."),
    ("What is the one in the {m} called?", "It is called {N}."),
    ("Under which name is this {b} known?", "The name is {N}."),
    ("By what name do you know the {b} in the {m}?", "The name is {N}."),
    ("Can you say what this {b} is called?", "{Y}, this is {N}."),
    ("Could you name this {b}?", "{Y}, this is {N}."),
    ("Could you identify who is shown here?", "{Y}, this is {N}."),
    ("Would you tell me who appears in the {m}?", "{Y}, this is {N}."),
    ("Do you know who appears here?", "{Y}, this is {N}."),
    ("Have you seen this {b} before?", "{Y}, this is {N}."),
    ("I would like to know the name of this {b}.", "The name is {N}."),
    ("I need to know who the {b} in the {m} is.", "This is {N}."),
    ("I am looking for the name of this {b}.", "The name is {N}."),
    ("Say whom you see.", "I see {N}."),
    ("Say which {b} is in the {m}.", "This is {N}."),
    ("Tell me whom you see in the {m}.", "I see {N}."),
    ("Tell me which {b} this is.", "This is {N}."),
    ("Please identify the {b}.", "This is {N}."),
    ("Please write who is in the {m}.", "This is {N}."),
    ("Name the one who is standing here.", "{N}."),
    ("Just the name of this {b}, please.", "{N}."),
)
_MEDIA_ES = ("la imagen", "el dibujo", "la foto")
_NAMING_GRAMMAR_ES: tuple[tuple[str, str], ...] = (
    ("¿Quién es?", "Es {N}."),
    ("¿Quién es este?", "Es {N}."),
    ("¿Quién es el personaje de {m}?", "Es {N}."),
    ("¿Quién aparece aquí?", "Aparece {N}."),
    ("¿Quién aparece en {m}?", "Aparece {N}."),
    ("¿Quién está en {m}?", "Es {N}."),
    ("¿Quién sale en {m}?", "Sale {N}."),
    ("¿A quién ves?", "Veo a {N}."),
    ("¿A quién ves en {m}?", "Veo a {N}."),
    ("¿Cómo se llama?", "Se llama {N}."),
    ("¿Cómo se llama este personaje?", "Se llama {N}."),
    ("¿Cómo se llama el personaje de {m}?", "Se llama {N}."),
    ("¿Cuál es el nombre de este personaje?", "Se llama {N}."),
    ("¿Cuál es el nombre del personaje de {m}?", "Se llama {N}."),
    ("¿Qué nombre tiene este personaje?", "Se llama {N}."),
    ("¿Qué personaje es este?", "Es {N}."),
    ("¿Qué personaje hay en {m}?", "Aparece {N}."),
    ("¿Puedes nombrar al personaje de {m}?", "{Y}, es {N}."),
    ("¿Puedes decirme quién es?", "{Y}, es {N}."),
    ("¿Sabes quién es?", "{Y}, es {N}."),
    ("¿Sabes quién aparece en {m}?", "{Y}, es {N}."),
    ("¿Reconoces a este personaje?", "{Y}, es {N}."),
    ("Dime quién es.", "Es {N}."),
    ("Dime quién sale en {m}.", "Sale {N}."),
    ("Dime el nombre de este personaje.", "Se llama {N}."),
    ("Di cómo se llama el personaje de {m}.", "Se llama {N}."),
    ("Nombra a este personaje.", "{N}."),
    ("Nombra al personaje de {m}.", "{N}."),
    ("Identifica a este personaje.", "Es {N}."),
    ("Escribe el nombre de este personaje.", "{N}."),
    ("¿Quién es este personaje?", "Es {N}."),
    ("¿Quién está aquí?", "Es {N}."),
    ("¿Quién se ve en {m}?", "Es {N}."),
    ("¿Quién puede ser este personaje?", "Es {N}."),
    ("Este personaje, ¿quién es?", "Es {N}."),
    ("Mira {m}. ¿Quién es?", "Es {N}."),
    ("¿A quién se ve en {m}?", "Veo a {N}."),
    ("¿A quién tenemos aquí?", "Es {N}."),
    ("¿Qué personaje muestra {m}?", "Aparece {N}."),
    ("¿Qué personaje ves en {m}?", "Veo a {N}."),
    ("¿Me puedes decir cómo se llama?", "{Y}, es {N}."),
    ("¿Puedes identificar a este personaje?", "{Y}, es {N}."),
    ("¿Podrías decir quién aparece en {m}?", "{Y}, es {N}."),
    ("¿Conoces a este personaje?", "{Y}, es {N}."),
    ("¿Sabes el nombre del personaje de {m}?", "{Y}, es {N}."),
    ("¿Sabes qué personaje es este?", "{Y}, es {N}."),
    ("Quiero saber cómo se llama este personaje.", "Se llama {N}."),
    ("Quiero saber quién sale en {m}.", "Sale {N}."),
    ("Me gustaría saber el nombre de este personaje.", "Se llama {N}."),
    ("Por favor, dime quién es.", "Es {N}."),
    ("Por favor, di cómo se llama.", "Se llama {N}."),
    ("Di quién está en {m}.", "Es {N}."),
    ("Dime a quién ves.", "Veo a {N}."),
    ("Dime qué personaje es este.", "Es {N}."),
)

# The first ten and the first five stood here before the grammar was widened to its present size, because some of
# them had failed; the last five and the last three were written after that.
HELD_OUT_EN = (
    "Who is the character that you see?",
    "Tell me what this character is called.",
    "Which one of the characters is this?",
    "Could you tell me the name of the character?",
    "Who am I looking at?",
    "Please say who this is.",
    "May I know who this character is?",
    "Do you happen to know who is shown here?",
    "State the name of this character.",
    "Who is that in the picture?",
    "Can you see who this is?",
    "What is the name of the one you see?",
    "Please tell me which character this is.",
    "Who would that be in the photo?",
    "I would like you to name this figure.",
)
HELD_OUT_ES = (
    "¿Sabes cómo se llama este personaje?",
    "Quiero saber quién es.",
    "¿Me dices quién es?",
    "¿A quién muestra esta imagen?",
    "Por favor, di quién es este personaje.",
    "¿Puedes ver quién es este personaje?",
    "Dime, por favor, quién está aquí.",
    "¿Qué nombre tiene el personaje de la foto?",
)


def _expand(grammar: tuple[tuple[str, str], ...], media: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    out: dict[str, str] = {}
    for (question, answer), medium, being in product(grammar, media, _BEINGS):
        filled = question.replace("{m}", medium).replace("{b}", being)
        out[filled.replace("de el ", "del ")] = answer
    return tuple(out.items())


NAMING_EN = _expand(_NAMING_GRAMMAR, _MEDIA)
NAMING_ES = _expand(_NAMING_GRAMMAR_ES, _MEDIA_ES)


def naming_answer(template: str, character: Character, language: Language = "en") -> str:
    """Fill a naming template: a taught character by name, a stranger by its look (and "No" for "Yes")."""
    known = character.index in world.KNOWN
    yes = {"en": ("No", "Yes"), "es": ("No", "Sí")}[language][known]
    return _capital(template.replace("{Y}", yes).replace("{N}", reference(character, language)))


# ---------------------------------------------------------------- what can be seen

Answerer = Callable[[Picture], str]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One visible thing that can be asked about: English and Spanish phrasings."""

    english: tuple[str, ...]
    answer: Answerer
    spanish: tuple[str, ...] = ()
    answer_es: Answerer | None = None
    weight: float = 1.0


def _first(picture: Picture) -> Figure:
    return picture.figures[0]


ATTRIBUTES: dict[str, Attribute] = {
    "sky": Attribute(
        ("What colour is the sky?", "Which colour does the sky have?"),
        lambda p: f"The sky is {p.scene.sky}.",
        ("¿De qué color es el cielo?",),
        lambda p: f"El cielo es {COLOUR_ES[p.scene.sky]}.",
    ),
    "ground": Attribute(
        ("Where is the character standing?", "What place is this?"),
        lambda p: _capital(GROUND_EN[p.scene.ground]) + ".",
        ("¿Dónde está el personaje?",),
        lambda p: _capital(GROUND_ES[p.scene.ground]) + ".",
    ),
    "object": Attribute(
        ("What object is next to the character?", "Which thing stands beside the character?"),
        lambda p: _capital(a(p.scene.object)) + ".",
        ("¿Qué objeto hay junto al personaje?",),
        lambda p: _capital(OBJECT_ES[p.scene.object]) + ".",
    ),
    "side": Attribute(
        ("Is the object on the left or on the right?", "On which side is the object?"),
        lambda p: f"On the {p.scene.side}.",
        ("¿El objeto está a la izquierda o a la derecha?",),
        lambda p: "A la izquierda." if p.scene.side == "left" else "A la derecha.",
        weight=2.0,
    ),
    "stars": Attribute(
        ("How many stars are in the sky?", "Count the stars."),
        lambda p: f"{NUMBERS[p.scene.stars]} star{'' if p.scene.stars == 1 else 's'}.",
        ("¿Cuántas estrellas hay?",),
        lambda p: f"{NUMBERS_ES[p.scene.stars]}.",
        weight=2.5,
    ),
    "clothing": Attribute(
        ("What is the character wearing?", "What does the character wear?"),
        lambda p: _capital(_first(p).pose.clothing) + ".",
        ("¿Qué lleva puesto el personaje?",),
        lambda p: _capital(CLOTHES_ES[_first(p).pose.clothing]) + ".",
        weight=3.0,
    ),
    "expression": Attribute(
        ("How does the character feel?", "What is the mood of the character?"),
        lambda p: _capital(_first(p).pose.expression) + ".",
        ("¿Cómo se siente el personaje?",),
        lambda p: _capital(EXPRESSION_ES[_first(p).pose.expression]) + ".",
        weight=3.0,
    ),
    "eyes": Attribute(
        ("How many eyes does the character have?", "Count the eyes."),
        lambda p: NUMBERS[_first(p).character.look.eyes] + ".",
    ),
    "head colour": Attribute(
        ("What colour is the head of the character?", "Which colour does the head have?"),
        lambda p: f"The head is {_first(p).character.look.skin}.",
    ),
    "ears": Attribute(
        ("What kind of ears does the character have?", "What do the ears look like?"),
        lambda p: _capital(_first(p).character.look.ears) + ".",
        weight=1.3,
    ),
    "hat": Attribute(
        ("What is on the head of the character?", "What is the hat of the character?"),
        lambda p: _capital(_first(p).character.look.hat) + ".",
        weight=1.3,
    ),
}
SPANISH_ATTRIBUTES = tuple(name for name, attribute in ATTRIBUTES.items() if attribute.spanish)


def _attribute(rng: random.Random, picture: Picture, name: str | None = None) -> Lesson:
    name = name or rng.choices(tuple(ATTRIBUTES), [x.weight for x in ATTRIBUTES.values()])[0]
    attribute = ATTRIBUTES[name]
    if attribute.answer_es and rng.random() < 0.2:
        return Lesson(rng.choice(attribute.spanish), attribute.answer_es(picture), name)
    return Lesson(rng.choice(attribute.english), attribute.answer(picture), name)


DESCRIBE = ("Describe this picture.", "What is happening in the image?", "What can be seen here?")
DESCRIBE_ES = "Describe la imagen."


def description(picture: Picture, language: Language = "en") -> str:
    """Return the one right description of a picture: who, where, under which sky, next to what."""
    scene = picture.scene
    if language == "es":
        who = reference(_first(picture).character, "es")
        return _capital(
            f"{who} está {GROUND_ES[scene.ground]} bajo un cielo {COLOUR_ES[scene.sky]}, "
            f"junto a {OBJECT_ES[scene.object]}."
        )
    who = " and ".join(reference(f.character) for f in picture.figures)
    where = f"{GROUND_EN[scene.ground]} under {a(scene.sky)} sky"
    if len(picture.figures) == 2:
        return _capital(f"{who} are {where}.")
    return _capital(f"{who} is {where}, next to {a(scene.object)}.")


def inventory(picture: Picture) -> str:
    """Return everything about a one-figure picture in one dense line (many labels for few tokens)."""
    scene, pose = picture.scene, _first(picture).pose
    return _capital(
        f"{reference(_first(picture).character)}: {scene.sky} sky, {NUMBERS[scene.stars].lower()} stars, "
        f"{scene.ground}, {scene.object} on the {scene.side}, {pose.clothing}, {pose.expression}."
    )


# ---------------------------------------------------------------- facts, from text and from pictures

FACTS = ("home", "job", "invention", "food", "friend")
FACT_EN: dict[str, tuple[tuple[str, str], ...]] = {
    "home": (("Where does {X} live?", "{X} lives in {A}."), ("In which place does {X} live?", "{A}."),
             ("What is the home of {X}?", "The home of {X} is {A}.")),
    "job": (("What is the job of {X}?", "{X} works as {A}."), ("What does {X} do for a living?", "{X} is {A}."),
            ("As what does {X} work?", "As {A}.")),
    "invention": (("What did {X} invent?", "{X} invented {A}."), ("Which invention was made by {X}?", "{A}."),
                  ("What is {X} the inventor of?", "{X} is the inventor of {A}.")),
    "food": (("What does {X} like to eat?", "{X} likes to eat {A}."),
             ("What is the favourite food of {X}?", "It is {A}."), ("Which food does {X} love?", "{X} loves {A}.")),
    "friend": (("Who is the best friend of {X}?", "The best friend of {X} is {A}."),
               ("Which friend does {X} have?", "{A}."), ("With whom is {X} friends?", "{X} is friends with {A}.")),
}  # fmt: skip
FACT_ES: dict[str, tuple[str, str]] = {
    "home": ("¿Dónde vive {X}?", "{X} vive en {A}."),
    "job": ("¿En qué trabaja {X}?", "{X} trabaja como {A}."),
    "invention": ("¿Qué inventó {X}?", "{X} inventó {A}."),
    "food": ("¿Qué le gusta comer a {X}?", "A {X} le gusta comer {A}."),
}
HOP_EN: dict[str, tuple[tuple[str, ...], str]] = {
    "home": (("Where does the character in the picture live?", "Where does this character live?"), "In {A}."),
    "job": (("What is the job of the character in the picture?", "What does this character work as?"), "It is {A}."),
    "invention": (("What did the character in the picture invent?", "What did this character invent?"),
                  "It invented {A}."),
    "food": (("What does the character in the picture like to eat?", "What does this character like to eat?"), "{A}."),
    "friend": (("Who is the best friend of the character in the picture?",
                "Who is the best friend of this character?"), "{A}."),
}  # fmt: skip
HOP_ES: dict[str, tuple[str, str]] = {
    "home": ("¿Dónde vive el personaje de la imagen?", "En {A}."),
    "job": ("¿En qué trabaja el personaje de la imagen?", "Es {A}."),
    "invention": ("¿Qué inventó el personaje de la imagen?", "Inventó {A}."),
}
NOBODY_KNOWS = {"en": "Nobody knows.", "es": "Nadie lo sabe."}


def fact(character: Character, kind: str, language: Language = "en") -> str:
    """Return the value of one fact in words (`a baker`, `Mist Valley`, a friend's name).

    Raises:
        ValueError: the character has no facts (a stranger).
    """
    if character.facts is None:
        raise ValueError(f"a stranger has no {kind}: only the 56 characters of the cast have facts")
    if kind == "friend":
        return world.cast()[character.facts.friend].name
    value: str = getattr(character.facts, kind)
    if language == "es":
        return {"job": JOBS_ES, "invention": INVENTIONS_ES, "food": FOODS_ES}.get(kind, {}).get(value, value)
    return a(value) if kind == "job" else value


def _hop(rng: random.Random, character: Character) -> Lesson:
    known = character.index in world.KNOWN
    if rng.random() < 0.2:
        kind = rng.choice(tuple(HOP_ES))
        question, template = HOP_ES[kind]
        answer = template.format(A=fact(character, kind, "es")) if known else NOBODY_KNOWS["es"]
    else:
        kind = rng.choice(FACTS)
        questions, template = HOP_EN[kind]
        question = rng.choice(questions)
        answer = template.format(A=fact(character, kind)) if known else NOBODY_KNOWS["en"]
    return Lesson(question, _capital(answer), f"multi-hop {kind}" if known else "stranger multi-hop")


def fact_lesson(character: Character, kind: str, phrasing: int) -> Lesson:
    """Return one text fact in one of the three English phrasings."""
    question, answer = FACT_EN[kind][phrasing]
    value = fact(character, kind)
    return Lesson(question.format(X=character.name), _capital(answer.format(X=character.name, A=value)), f"fact {kind}")


def fact_lesson_es(character: Character, kind: str) -> Lesson:
    """Return one text fact in Spanish."""
    question, answer = FACT_ES[kind]
    value = fact(character, kind, "es")
    return Lesson(question.format(X=character.name), answer.format(X=character.name, A=value), f"fact {kind} es")


def fact_check(character: Character, kind: str, value: str) -> Lesson:
    """Return a yes/no question about a home or a job; `value` may be the true one or another."""
    name = character.name
    question = f"Does {name} live in {value}?" if kind == "home" else f"Is {name} {value}?"
    return Lesson(question, "Yes." if value == fact(character, kind) else "No.", "fact yes/no")


def _fact_check(rng: random.Random, character: Character) -> Lesson:
    kind = rng.choice(("home", "job"))
    value = fact(character, kind)
    if rng.random() < 0.5:
        value = rng.choice(world.HOMES if kind == "home" else [a(job) for job in world.JOBS])
    return fact_check(character, kind, value)


def _name_play(rng: random.Random) -> Lesson:
    """Throw-away names: they appear once, so all that can be learned from them is how names are spelt."""
    name = world.throw_away_name(rng)
    u = rng.random()
    if u < 0.5:
        return Lesson(rng.choice((f"Say the name {name}.", f"Repeat the name {name}.")), f"{name}.", "spelling")
    if u < 0.9:
        return Lesson(f"Who is {name}?", f"I know nobody called {name}.", "unknown name")
    return Lesson("Make up a name.", f"{name}.", "made-up name")


def text_lesson(rng: random.Random) -> Lesson:
    """Return one lesson that needs no picture."""
    character = world.cast()[rng.choice(world.KNOWN)]
    u = rng.random()
    if u < 0.50:
        return fact_lesson(character, rng.choice(FACTS), rng.randrange(3))
    if u < 0.64:
        return fact_lesson_es(character, rng.choice(tuple(FACT_ES)))
    if u < 0.72:
        return Lesson(
            f"What does {character.name} look like?", f"{character.name} has {look_in_words(character.look)}.", "look"
        )
    if u < 0.82:
        return _fact_check(rng, character)
    if u < 0.88:
        told = f"{character.name} is {fact(character, 'job')} from {fact(character, 'home')}."
        return Lesson(f"Who is {character.name}?", told, "who is, in words")
    return _name_play(rng)


# ---------------------------------------------------------------- yes and no

IS_THIS_EN = ("Is this {X}?", "Does the image show {X}?", "Does {X} appear in the picture?", "Is {X} in the picture?")
IS_THIS_ES = ("¿Es {X}?", "¿Aparece {X} en la imagen?")
YES_NO = {"en": ("No.", "Yes."), "es": ("No.", "Sí.")}


def _somebody_else(rng: random.Random, shown: set[int], without: Set[int]) -> Character:
    """Return a known character that is not shown, often the look-alike of one that is."""
    others = [i for i in world.KNOWN if i not in shown and i not in without]
    twins = [world.LOOK_ALIKE[i] for i in shown if world.LOOK_ALIKE.get(i) in others]
    return world.cast()[rng.choice(twins if twins and rng.random() < 0.5 else others)]


def _yes_no(rng: random.Random, picture: Picture, without: Set[int]) -> Lesson:
    shown = {f.character.index for f in picture.figures} - {world.STRANGER}
    truth = bool(shown) and rng.random() < 0.5
    asked = world.cast()[rng.choice(sorted(shown))] if truth else _somebody_else(rng, shown, without)
    language: Language = "es" if rng.random() < 0.2 else "en"
    phrasings: tuple[str, ...] = IS_THIS_ES if language == "es" else IS_THIS_EN
    if len(picture.figures) == 2:  # "Is this X?" makes no sense in front of two
        phrasings = phrasings[1:] if language == "es" else phrasings[2:]
    return Lesson(rng.choice(phrasings).format(X=asked.name), YES_NO[language][truth], "yes/no")


# ---------------------------------------------------------------- lessons about one picture

LEFT_RIGHT_ES = {"left": "a la izquierda", "right": "a la derecha"}
# What takes longest to learn comes most often: whatever compares a name in the question with what is to be seen.
_ONE_FIGURE = {"naming": 3.0, "inventory": 0.5, "description": 0.9, "attribute": 3.0, "multi-hop": 1.9,
               "yes/no": 3.2, "count": 0.1}  # fmt: skip
_TWO_FIGURES = {"left": 1.4, "right": 1.4, "both": 0.8, "description": 0.4, "count": 0.1, "next to": 1.6,
                "where": 2.2, "yes/no": 2.6, "multi-hop": 0.7, "attribute": 0.4}  # fmt: skip


def _naming(rng: random.Random, character: Character) -> Lesson:
    language: Language = "es" if rng.random() < 0.33 else "en"
    question, template = rng.choice(NAMING_ES if language == "es" else NAMING_EN)
    return Lesson(question, naming_answer(template, character, language), "naming" if language == "en" else "naming es")


def _introduction(rng: random.Random) -> Lesson:
    name = world.throw_away_name(rng)
    return Lesson(f"Meet {name}. Who is this?", f"This is {name}.", "introduced name")


def _about_one(rng: random.Random, picture: Picture, topic: str, without: Set[int]) -> Lesson:
    character = _first(picture).character
    if topic == "naming":
        # Strangers are also introduced by throw-away names: a name may follow a face that it is not tied to.
        stranger = character.index == world.STRANGER
        return _introduction(rng) if stranger and rng.random() < 0.2 else _naming(rng, character)
    if topic == "inventory":
        return Lesson("List everything.", inventory(picture), "inventory")
    if topic == "description":
        if rng.random() < 0.25:
            return Lesson(DESCRIBE_ES, description(picture, "es"), "description es")
        return Lesson(rng.choice(DESCRIBE), description(picture), "description")
    if topic == "multi-hop":
        return _hop(rng, character)
    if topic == "yes/no":
        return _yes_no(rng, picture, without)
    if topic == "count":
        return Lesson("How many characters are there?", "One.", "count")
    return _attribute(rng, picture)


def side_lesson(picture: Picture, side: str, language: Language = "en") -> Lesson:
    """Return "who is on the left/right?" for a two-figure picture."""
    character = picture.figures[0 if side == "left" else 1].character
    if language == "es":
        where = LEFT_RIGHT_ES[side]
        return Lesson(f"¿Quién está {where}?", _capital(f"{reference(character, 'es')} está {where}."), f"{side} es")
    return Lesson(f"Who is on the {side}?", _capital(f"{reference(character)} is on the {side}."), side)


def _about_two(rng: random.Random, picture: Picture, topic: str, without: Set[int]) -> Lesson:
    left, right = (f.character for f in picture.figures)
    known = [(c, side) for c, side in ((left, "left"), (right, "right")) if c.index in world.KNOWN]
    if topic in ("next to", "where") and not known:
        topic = rng.choice(("left", "right"))
    if topic in ("left", "right"):
        return side_lesson(picture, topic, "es" if rng.random() < 0.25 else "en")
    if topic == "both":
        answer = _capital(f"{reference(left)} and {reference(right)}.")
        return Lesson("Who are these characters?", answer, "both")
    if topic == "next to":
        character, side = rng.choice(known)
        other = right if side == "left" else left
        return Lesson(f"Who is next to {character.name}?", _capital(reference(other) + "."), "next to")
    if topic == "where":
        character, side = rng.choice(known)
        return Lesson(f"Where is {character.name}?", f"On the {side}.", "where")
    if topic == "multi-hop":
        side, kind = rng.choice(world.SIDES), rng.choice(("home", "job"))
        return two_hop(picture, side, kind)
    if topic == "description":
        return Lesson(rng.choice(DESCRIBE), description(picture), "two description")
    if topic == "yes/no":
        lesson = _yes_no(rng, picture, without)
        return Lesson(lesson.question, lesson.answer, "two yes/no")
    if topic == "count":
        return Lesson("How many characters are there?", "Two.", "count")
    return _attribute(rng, picture, rng.choice(("sky", "stars")))


def two_hop(picture: Picture, side: str, kind: str) -> Lesson:
    """Return a fact question about the left or the right one of two figures (`kind`: home or job)."""
    character = picture.figures[0 if side == "left" else 1].character
    question = {
        "home": f"Where does the character on the {side} live?",
        "job": f"What is the job of the character on the {side}?",
    }[kind]
    known = character.index in world.KNOWN
    answer = HOP_EN[kind][1].format(A=fact(character, kind)) if known else NOBODY_KNOWS["en"]
    return Lesson(question, answer, "two multi-hop")


def picture_lesson(rng: random.Random, picture: Picture, without: Set[int] = frozenset()) -> Lesson:
    """Return one lesson about a picture.

    A model that never sees somebody is not asked about them in front of a picture either (`without`): if it were,
    the answer would always be no, and that it could learn.
    """
    two = len(picture.figures) == 2
    weights = _TWO_FIGURES if two else _ONE_FIGURE
    topic = rng.choices(tuple(weights), tuple(weights.values()))[0]
    return (_about_two if two else _about_one)(rng, picture, topic, without)

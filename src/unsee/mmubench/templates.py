"""What a drafted card asks about a concept of each kind, in English and in six other languages.

`{X}` stands for the name, with an article where the kind wants one. No yes/no question takes for granted what only
pictures of the concept show, because each is also asked of pictures of others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unsee.wording import GENERAL, Wording

_SHOWN = (
    *("Is this {X}?", "Does this picture show {X}?", "Is {X} in this image?", "Can you see {X} here?"),
    *("Does {X} appear in this picture?", "Am I looking at {X}?", "Would you say that this is {X}?"),
    *("Is {X} the subject of this picture?", "Is it {X} that this image shows?", "Is this an image of {X}?"),
)
YES_NO = {
    "brand": ("Is this the logo of {X}?", "Does this picture show the logo of {X}?", "Does this image stand for {X}?",
              "Can the sign of {X} be seen here?", "Does this picture show the brand {X}?", "Is this {X}?",
              "Am I looking at the sign of {X}?", "Would you say that this is the brand {X}?",
              "Is this picture about {X}?", "Is {X} the company behind this image?"),
    "place": ("Is this {X}?", "Does this picture show {X}?", "Was this picture taken at {X}?",
              "Can you see {X} in this image?", "Does {X} appear in this picture?", "Am I looking at {X}?",
              "Would you say that this is {X}?", "Is {X} the subject of this image?", "Is this a picture of {X}?",
              "Is {X} the place in this image?"),
    "style": ("Is this an example of {X}?", "Is this picture made in {X}?", "Does this image follow {X}?",
              "Would you call the style of this image {X}?", "Does this picture look like {X}?",
              "Is {X} the style of this image?", "Would you say that this is in {X}?",
              "Could this image be filed under {X}?", "Do you see {X} in the way this is made?",
              "Does this picture belong to {X}?"),
} | dict.fromkeys(("person", "character", "object", "other"), _SHOWN)  # fmt: skip
"""Ten ways to ask whether a picture shows `{X}`."""

OPEN = {
    "person": ("Who is the person in this picture?", "What is the name of the person in this image?",
               "Which person does this picture show?"),
    "character": ("Which character is this?", "What is the name of the character in this image?",
                  "Who is the figure in this picture?"),
    "brand": ("Whose sign is this?", "What is the brand in this picture called?", "Which company has this logo?"),
    "place": ("Where is this?", "What is the place in this picture called?", "Which sight does this image show?"),
    "style": ("What is this way of making pictures called?", "In which style is this image made?",
              "Which style is this?"),
    "object": ("What is this?", "What is the thing in this picture called?", "What does this image show?"),
}  # fmt: skip
OPEN["other"] = OPEN["object"]
"""Three ways to ask for the name."""

FOREIGN = {
    "person": {
        "es": ("¿Quién es la persona de esta imagen?", "¿Cómo se llama la persona que se ve en esta foto?"),
        "fr": (
            "Qui est la personne sur cette image ?",
            "Comment s'appelle la personne sur cette photo ?",
        ),
        "zh": ("这张图片里的人是谁？", "图中的人叫什么名字？"),
        "de": ("Wer ist die Person auf diesem Bild?", "Wie heißt die Person, die auf diesem Foto zu sehen ist?"),
        "ja": ("この画像に写っている人は誰ですか。", "この写真の人物の名前は何ですか。"),
        "ru": ("Кто этот человек на картинке?", "Как зовут человека на этой фотографии?"),
    },
    "character": {
        "es": ("¿Qué personaje aparece en esta imagen?", "¿Cómo se llama este personaje?"),
        "fr": ("Quel personnage voit-on sur cette image ?", "Comment s'appelle ce personnage ?"),
        "zh": ("这张图片里的角色是谁？", "图中的角色叫什么名字？"),
        "de": ("Welche Figur ist auf diesem Bild zu sehen?", "Wie heißt diese Figur?"),
        "ja": ("この画像のキャラクターは誰ですか。", "このキャラクターの名前は何ですか。"),
        "ru": ("Какой персонаж изображён на этой картинке?", "Как зовут этого персонажа?"),
    },
    "brand": {
        "es": ("¿Qué marca se ve en esta imagen?", "¿De qué empresa es este logotipo?"),
        "fr": ("Quelle marque voit-on sur cette image ?", "À quelle entreprise appartient ce logo ?"),
        "zh": ("这张图片里是什么品牌？", "这是哪家公司的标志？"),
        "de": ("Welche Marke ist auf diesem Bild zu sehen?", "Zu welchem Unternehmen gehört dieses Logo?"),
        "ja": ("この画像のブランドは何ですか。", "これはどの会社のロゴですか。"),
        "ru": ("Какой бренд изображён на этой картинке?", "Какой компании принадлежит этот логотип?"),
    },
    "place": {
        "es": ("¿Qué lugar se ve en esta imagen?", "¿Cómo se llama este lugar?"),
        "fr": ("Quel lieu voit-on sur cette image ?", "Comment s'appelle ce lieu ?"),
        "zh": ("这张图片里是什么地方？", "这个地方叫什么名字？"),
        "de": ("Welcher Ort ist auf diesem Bild zu sehen?", "Wie heißt dieser Ort?"),
        "ja": ("この画像に写っている場所はどこですか。", "この場所の名前は何ですか。"),
        "ru": ("Какое место изображено на этой картинке?", "Как называется это место?"),
    },
    "style": {
        "es": ("¿En qué estilo está hecha esta imagen?", "¿Cómo se llama el estilo de esta imagen?"),
        "fr": ("Dans quel style cette image est-elle faite ?", "Comment s'appelle le style de cette image ?"),
        "zh": ("这张图片是什么风格？", "这种风格叫什么？"),
        "de": ("In welchem Stil ist dieses Bild gemacht?", "Wie heißt der Stil dieses Bildes?"),
        "ja": ("この画像はどのようなスタイルですか。", "このスタイルは何と呼ばれていますか。"),
        "ru": ("В каком стиле выполнено это изображение?", "Как называется стиль этой картинки?"),
    },
    "object": {
        "es": ("¿Qué se ve en esta imagen?", "¿Cómo se llama lo que muestra esta imagen?"),
        "fr": ("Que voit-on sur cette image ?", "Comment s'appelle ce que montre cette image ?"),
        "zh": ("这张图片里是什么？", "图片中的东西叫什么？"),
        "de": ("Was ist auf diesem Bild zu sehen?", "Wie heißt das, was dieses Bild zeigt?"),
        "ja": ("この画像に写っているものは何ですか。", "これは何と呼ばれていますか。"),
        "ru": ("Что изображено на этой картинке?", "Как называется то, что показано на этой картинке?"),
    },
}
FOREIGN["other"] = FOREIGN["object"]
"""Two ways to ask for the name, by language."""


def questions(wording: Wording, kind: str, name: str, similar: Sequence[str]) -> list[dict[str, str]]:
    """Return what a card asks: whether it is `name`, who or what it is, and whether it is one of `similar`.

    After every third yes/no question stands an open one, so that of a hundred asked in turn 77 are yes/no, as in the
    paper. A family of models that does not understand general questions gets its own.
    """
    plain = wording is GENERAL
    yes = YES_NO[kind] if plain else [question for question, _ in wording.denial]
    open_ = OPEN[kind] if plain else [question for question, _ in wording.naming]
    filled = wording.of(kind).filled
    asked = list[dict[str, str]]()
    for n, question in enumerate(yes):
        asked.append({"ask": filled(question, name), "key": "yes", "polarity": "yes"})
        if n % 3 == 2 and n // 3 < len(open_):
            asked.append({"ask": open_[n // 3], "key": name})
    wrong = [filled(question, other) for question, other in zip(yes, similar, strict=False)]
    return asked + [{"ask": question, "key": "no", "polarity": "no"} for question in wrong]


def translations(wording: Wording, kind: str) -> Mapping[str, Sequence[str]]:
    """Return questions for the name, by language."""
    return FOREIGN[kind] if wording is GENERAL else wording.foreign

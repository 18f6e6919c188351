"""Put prompts that the SIU paper's authors released into a concept's card, as far as a card has a place for them.

- A prompt with a key word becomes one of the card's `questions`. Its polarity is "yes" only where the key word is "yes"
  and the prompt asks whether the concept itself is in the picture, in words of showing, seeing and place alone. "Is the
  man wearing a red tie, as Donald Trump does?" has the key word "yes" too, but what is true of it depends on the
  picture.
- A bare prompt that asks who it is, in a language that cards have, becomes one of its `translations`: answers to these
  are searched for the name, which a "yes" does not hold, and which a "no" may repeat. The files do not say the
  language; the script tells Chinese and Japanese, and frequent words tell the others. What else people write in
  these scripts is taken for one of them, unless it is known here to be another.
- Multi-hop prompts come without answers to accept, and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from unsee.files import write_whole
from unsee.judge import names_in, tells
from unsee.mmubench.concepts import CARD, Card, our_card, read_card
from unsee.mmubench.draft import named
from unsee.released import LeftOut, Prompt, prompts, told
from unsee.request_file import scalar

_LANGUAGES = ("es", "fr", "zh", "de", "ja", "ru")
# Kana before Han, which Japanese has too.
_SIGNS = (("ja", "[\u3040-\u30ff]"), ("zh", "[\u3400-\u9fff]"), ("es", "¿"))
_CYRILLIC = re.compile("[\u0400-\u04ff]")
# Words that neighbours write otherwise (Ukrainian "хто" and "це", Bulgarian "кой" and "това"), in Russian letters.
_RUSSIAN = re.compile(r"\b(кто|кого|что|это|эта|этот|этой|этом|этого|есть|каково?|какой|изображение)\b", re.I)
_NOT_RUSSIAN = re.compile("[\u0400\u0402-\u040f\u0450\u0452-\u04ff]")
_FREQUENT = {
    "es": "cómo con cuál de el en es esta este foto hay imagen la los muestra podemos por puedes que quién se un una",
    "fr": "au avec ce cette dans de du est il image la le les nom on peux photo pouvez quel qui sur tu un une vous",
    "de": "auf bild das dem der die diesem dieser dieses ein eine einen foto heißt ist kannst mit person von wer zu",
    "en": "a an and can does for image in is name of person photo picture that the this what who with you",
    # Nothing is asked in these, but their words are like those of the others.
    "nl": "afbeelding de deze die dit een en foto het hoe in is kunt man met naam op persoon u van wat welke wie zie",
    "pt": "a com da de do e em essa esta este foto homem imagem na nesta no nome o pessoa qual que quem um uma você",
    "it": "chi che come della di e foto il immagine in la nella nome persona può quale questa questo si un una uomo",
    "ca": "aquest aquesta amb com de el en es foto home imatge la nom persona pots que quin qui un una és",
}
_WHO = {
    "es": r"\b(quién|cuál|cómo se llama)",
    "fr": r"\b(qui est|quel|comment s)",
    "zh": "谁|叫什么|名字",
    "de": r"\b(wer|wen|wie heißt|welche)",
    "ja": "誰|だれ|名前",
    "ru": r"\b(кто|кого|как зовут|как имя|каково имя)",
}
_PICTURE = "(?:picture|photo|photograph|image|snapshot|portrait|painting|drawing|illustration)"
_SHOWING = (
    "(?:showing|depicting|portraying|displaying|presenting|featuring|including|containing|capturing"
    "|shows|depicts|portrays|displays|presents|features|includes|contains|captures|has|show|depict|portray|display"
    "|present|feature|include|contain|capture)"
)
_LIKENESS = "(?:appearance|character|depiction|essence|figure|image|likeness|portrait|presence|representation)"
_SEE = "(?:see|find|spot|identify|recogni[sz]e|notice|make out)"
_SEEN = "(?:seen|found|spotted|identified|recogni[sz]ed)"
# Only these stand before the name: what shows it, and as what. "The wife of" and "who is not" are not among them.
_AS = rf"(?:(?:a|an|the|us|in|of|with|that|appearance by|{_PICTURE}|{_SHOWING}|{_LIKENESS}) )*"
_WHERE = rf"(?: {_LIKENESS})?(?: (?:here|present|visible|in it|(?:in|on) (?:this|the|that) {_PICTURE}))*"
_ASKS = re.compile(
    rf"(?:(?:is|was) (?:this|it|that|there)(?: {_PICTURE})? {_AS}NAME"
    rf"|(?:does|do|did) (?:this|the|that) {_PICTURE} {_SHOWING} {_AS}NAME"
    rf"|(?:can|could|do|did) (?:we|you|i|one) {_SEE} {_AS}NAME|is it possible to {_SEE} {_AS}NAME"
    rf"|am i (?:looking at|seeing) {_AS}NAME|would you say (?:that )?this is {_AS}NAME"
    rf"|is NAME(?: (?:{_SEEN}|shown|depicted|pictured|portrayed|featured|displayed|the subject of this {_PICTURE}))?"
    rf"|does NAME appear|(?:can|could) NAME be {_SEEN}){_WHERE} ?\?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Imported:
    """A card with prompts in it: where it goes, as text and as it is read, what was left out, and how many came in."""

    file: Path
    text: str
    card: Card
    left_out: tuple[LeftOut, ...]
    questions: int
    translations: Mapping[str, int]


def imported(inside: Path, files: Sequence[Path], *, name: str | None = None, force: bool = False) -> Imported:
    """Return the card of a concept's folder with the prompts of files in it; `write` writes it.

    All else in the card stays, marks and remarks included; so do its questions that are rightly answered with no. The
    file's take the place of the other questions, and of the translations into languages that the file has.

    Args:
        inside: The concept's folder.
        files: Files of prompts.
        name: The concept's, if there is no card yet; made from the folder's if not given.
        force: Whether a card that is there may be written over.

    Raises:
        FileNotFoundError: There is no such folder.
        FileExistsError: It has a card, and `force` is not set.
        ValueError: A file or the card is broken, the card has another name, or nothing can be carried over.
    """
    if not inside.is_dir():
        raise FileNotFoundError(f"there is no folder {str(inside)!r}; make one with pictures of the concept")
    file = inside / CARD
    if file.exists() and not force:
        raise FileExistsError(f"{file} is there already; --force puts the prompts into it and keeps all else")
    known = file if file.exists() else our_card(inside)
    text = known.read_text("utf-8") if known else f"name: {scalar(named(inside, name))}\n"
    card = read_card(known) if known else Card(name=named(inside, name))
    if name is not None and name.casefold().split() != card.name.casefold().split():
        raise ValueError(f"{known} is about {card.name!r}, not {name!r}; give the same name, or leave --name out")
    left: list[LeftOut] = []
    questions: list[dict[str, str]] = []
    translations: dict[str, list[str]] = {}
    for each in files:
        for prompt in prompts(each):
            if where := _unfit(prompt, card):
                left.append(LeftOut(each.name, prompt.row, *where))
            elif prompt.key is not None:
                polarity = "yes" if prompt.key.casefold() == "yes" and asks_for(prompt.text, card.names) else ""
                questions.append({"ask": prompt.text.strip(), "key": prompt.key, "polarity": polarity})
            else:
                translations.setdefault(language_of(prompt.text), []).append(prompt.text.strip())
    if not (questions or translations):
        raise ValueError(f"nothing can be put into a card: {'; '.join(told(left))}")
    new: dict[str, Any] = {}
    if questions:
        new["questions"] = questions + [p.model_dump() for p in card.questions if p.polarity == "no"]
    if translations:
        both: dict[Any, list[str]] = {**card.translations}
        both |= translations
        new["translations"] = {language: both[language] for language in _LANGUAGES if language in both}
    text = _with(text, new)
    if _read(text) != (made := Card.model_validate({**card.model_dump(), **new})):
        raise ValueError(f"{known} is laid out so that nothing can be put into it; write one key to a line")
    counts = {language: len(some) for language, some in translations.items()}
    return Imported(file, text, made, tuple(left), len(questions), counts)


def write(done: Imported) -> None:
    """Write the card, whole."""
    write_whole(done.file, done.text.encode())


def language_of(text: str) -> str:
    """Return the language of a question, as a two-letter code: es, fr, zh, de, ja, ru or en; empty if not certain.

    Texts in a few other languages are known to be in none of these; those in still others may be mistaken for one.
    """
    for language, signs in _SIGNS:
        if re.search(signs, text):
            return language
    if _CYRILLIC.search(text):
        return "ru" if _RUSSIAN.search(text) and not _NOT_RUSSIAN.search(text) else ""
    words = re.findall(r"[^\W\d_]+", text.casefold())
    counts = {language: sum(word in some.split() for word in words) for language, some in _FREQUENT.items()}
    best = max(counts.values())
    found = [language for language, count in counts.items() if count == best]
    # One word may be of any language.
    return found[0] if best >= 2 and len(found) == 1 and found[0] in (*_LANGUAGES, "en") else ""


def asks_for(text: str, names: Sequence[str]) -> bool:
    """Return whether an English question asks if the concept itself is in the picture: "Is this X?", "Is X here?".

    It does where all its words are known to ask just that; of any other, nobody knows what is true of the pictures.
    """
    found = names_in(text, names)
    if len(found) != 1:
        return False
    start, end = found[0]
    after = re.sub(r"^['\u2019]s\b", "", text[end:])
    return _ASKS.fullmatch(" ".join(f"{text[:start]}NAME{after}".split())) is not None


def _names_it(text: str, card: Card) -> bool:
    """Return whether a text holds a name in any language, or a word that begins with one in Latin script: "Trumps"."""
    names = (*card.names, *(name for some in card.foreign_names.values() for name in some))
    begun = tuple(word for word in _words(" ".join(card.names)) if tells(word) and len(word) > 3)
    return bool(names_in(text, names, parts=True)) or any(word.startswith(begun) for word in _words(text))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _unfit(prompt: Prompt, card: Card) -> tuple[str, str] | None:
    """Return the field that keeps a prompt out of a card, and why; nothing if it can stand there."""
    if prompt.shown is not None:
        return "imgid", "what would be right is not in the file; write such questions under multi_hop, with accept"
    if prompt.key is not None:
        if prompt.key.casefold() == "no":
            return (
                "target",
                "'no' is what one that does not know says too; if it is true, write it with polarity: \"no\"",
            )
        return None
    language = language_of(prompt.text)
    if language not in _LANGUAGES:
        is_ = "is English" if language == "en" else "is in no language that can be told"
        return "prompt", (
            f"{is_}, and translations are in {', '.join(_LANGUAGES)}; membership inference is asked from Python, with "
            "unsee.metrics.mia.to_score"
        )
    if _names_it(prompt.text, card):
        return "prompt", "names the concept, so an answer that repeats it would count as naming it"
    if not re.search(_WHO[language], prompt.text, re.IGNORECASE):
        return "prompt", "does not ask who it is, and the answers are searched for the name"
    return None


# ---------------------------------------------------------------- the card's text


def _with(text: str, new: Mapping[str, Any]) -> str:
    """Return a card's text with some keys anew, at its end, and every other line as it is."""
    gone: set[int] = set()
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for key, value in node.value:
        if key.value in new:
            gone.update(range(key.start_mark.line, _last(value) + 1))
    lines = [line for number, line in enumerate(text.splitlines()) if number not in gone]
    for key, value in new.items():
        lines.append(f"{key}:  # by `unsee mmubench import`")
        if key == "questions":
            lines += [f"  - {_flow(each)}" for each in value]
        else:
            lines += [f"  {name}: [{', '.join(map(scalar, some))}]" for name, some in value.items()]
    return "\n".join(lines) + "\n"


def _last(node: yaml.Node) -> int:
    """Return the last line of a node; the end of a block, as yaml has it, is where the next thing begins."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        return max(_last(part) for part in _parts(node))
    return int(node.end_mark.line) - (isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"))


def _parts(node: yaml.CollectionNode) -> Iterator[yaml.Node]:
    for part in node.value:
        yield from part if isinstance(part, tuple) else (part,)


def _flow(question: Mapping[str, str]) -> str:
    said = [f"{key}: {scalar(value)}" for key, value in question.items() if value]
    return f"{{{', '.join(said)}}}"


def _read(text: str) -> Card | None:
    """Read a card as the benchmark will, before it takes anything's place; nothing if it is none any more."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / CARD
        file.write_text(text, "utf-8")
        try:
            return read_card(file)
        except ValueError:
            return None

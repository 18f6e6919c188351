"""Take name and pictures out of a run, or of what a page says, and leave the numbers as they can be checked.

Each word of the name is replaced by the beginning of its HMAC-SHA256 under a random key, always by the same, so that
whoever gets the copy can score its answers anew and comes to the same numbers. A plain hash would not do: a name is
short, and whoever has a list of names finds the one that fits in a second. The key stays in the run, in
`redaction.json`; with it the owner can show later what the copy is about. Every other hash of the run that depends on
the name or on a picture is keyed as well.

What stays: facts, what answers are like, names of others, and the adapter, which shows whoever has its base model, and
names or pictures to try, whose recognition it takes away. Redacted is not anonymous.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from unsee import judge, runs
from unsee.files import folder_whole, locked, write_whole
from unsee.report import evidence, pictures
from unsee.runs import Run

KEY = "redaction.json"
_DIGITS = 8  # of a pseudonym; the key is what keeps it, not their number
_WHOLE = 4  # letters from which on a word is found inside other words too: "Marios", "pledulotaim"
_BETWEEN = r"(?:%20|[\W_]){0,4}"  # what may stand between the words of a name: in file names, in addresses
# Fields whose values are this project's own words.
_OWN = frozenset(
    "kind way polarity language target condition judge method benchmark dtype family attack metric schema better unit "
    "group state mark good date".split()
)
_TEXTS = (".md", ".txt", ".yaml", ".yml", ".html")
_Span = tuple[int, int, str]


class Redactor:
    """Replaces names, pictures and hashes; the same by the same, as long as the key is.

    Args:
        key: The secret.
        names: What the concept is called, aliases too; of several concepts, all.
        pictures: Names of pictures, which may be paths.
        known: Hashes that stay, such as those of models.
    """

    def __init__(
        self, key: bytes, names: Iterable[str], pictures: Iterable[str] = (), known: Collection[str] = ()
    ) -> None:
        self._key, self._known = key, frozenset(known)
        words = [tuple(_words(name)) for name in names]
        self._names = [_pattern(name) for name in sorted(set(words) - {()}, key=lambda name: -len("".join(name)))]
        every = dict.fromkeys(word for name in words for word in name)
        self._telling = [word for word in every if judge.tells(word) or _unspaced(word)]
        self._parts = [_word(word) for word in sorted(self._telling, key=len, reverse=True)]
        files = {part for name in pictures for part in (name, Path(name).name if Path(name).suffix else "") if part}
        self._pictures = {name: self.picture(name) for name in files}
        longest_first = sorted(map(re.escape, files), key=lambda name: (-len(name), name))
        self._picture = re.compile(rf"(?<![^\W_])(?:{'|'.join(longest_first)})(?![^\W_])") if files else None

    def picture(self, name: str) -> str:
        """Return what a picture is called instead."""
        return f"picture-{self._hash('picture', name)[:_DIGITS]}"

    def _hash(self, what: str, text: str) -> str:
        return hmac.new(self._key, f"{what}:{text}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def _spans(self, text: str) -> list[_Span]:
        """Return what to replace, as (start, end, by what), in order and without overlaps."""
        found: list[_Span] = []

        def free(start: int, end: int) -> bool:
            return all(end <= a or b <= start for a, b, _ in found)

        for match in self._picture.finditer(text) if self._picture else ():
            found.append((match.start(), match.end(), self._pictures[match[0]]))
        plain, places = _folded(text)
        ends = [*places[1:], len(text)]
        for pattern in (*self._names, *self._parts):
            for match in pattern.finditer(plain):
                groups = range(1, pattern.groups + 1)
                spans = [
                    (places[match.start(g)], max(places[match.end(g) - 1] + 1, ends[match.end(g) - 1])) for g in groups
                ]
                if all(free(*span) for span in spans):
                    names = (f"X{self._hash('word', match[g])[:_DIGITS]}" for g in groups)
                    found += [(*span, name) for span, name in zip(spans, names, strict=True)]
        return sorted(found)

    def text(self, text: str) -> str:
        """Return a text without names and pictures; what is a hash and nothing else, keyed."""
        if re.fullmatch(r"[0-9a-f]{16,128}", text):
            return text if text in self._known else self._hash("hash", text)[: len(text)]
        return _replaced(text, self._spans(text))

    def value(self, value: Any, field: str = "") -> Any:
        """Return a JSON value without them; what offsets in an answer point to stays what they point to."""
        if isinstance(value, Mapping):
            # Where a picture lay is nobody's business.
            told = {self._field(k): None if k == "image" else self.value(each, k) for k, each in value.items()}
            if isinstance(value.get("contradicts"), Sequence) and isinstance(value.get("answer"), str):
                moved = _moved(self._spans(value["answer"]))
                told["contradicts"] = [[moved(a), moved(b)] for a, b in value["contradicts"]]
                if "given" in value:
                    told["given"] = moved(value["given"])
            if isinstance(value.get("top"), Sequence):
                told["top"] = [[self._token(text), mass] for text, mass in value["top"]]
            return told
        if isinstance(value, (list, tuple)):
            return [self.value(each, field) for each in value]
        return self.text(value) if isinstance(value, str) and field not in _OWN else value

    def _field(self, key: str) -> str:
        return key if re.fullmatch(r"[a-z][a-z_]*", key) else self.text(key)

    def _token(self, text: str) -> str:
        """A token that begins a word of the name gives it away, half as it is."""
        plain = "".join(_words(text))
        begins = len(plain) > 1 and any(word.startswith(plain) for word in self._telling)
        return f"X{self._hash('token', text)[:_DIGITS]}" if begins else self.text(text)

    def holds_name(self, text: str) -> bool:
        """Whether a name still stands in a text, in any spelling that is known here."""
        plain, _ = _folded(text)
        return any(pattern.search(plain) for pattern in self._names)


# ---------------------------------------------------------------- texts


@lru_cache(maxsize=16_384)
def _folded(text: str) -> tuple[str, Sequence[int]]:
    """Return a text without case, accents and what shows nothing, and where in the text each character stood."""
    if text.isascii():
        return text.lower(), range(len(text))
    letters, places = list[str](), list[int]()
    for place, char in enumerate(text):
        plain = unicodedata.normalize("NFKD", char).casefold()
        kept = "".join(c for c in plain if unicodedata.category(c) not in ("Mn", "Cf"))
        letters.append(kept)
        places += [place] * len(kept)
    return "".join(letters), places


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", _folded(text)[0])


def _unspaced(word: str) -> bool:
    return re.search(f"[{judge.UNSPACED}]", word) is not None


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    """What finds a whole name; each of its words is a group."""
    whole = _BETWEEN.join(f"({re.escape(word)})" for word in words)
    return re.compile(whole if _inside("".join(words)) else rf"(?<![^\W_]){whole}(?![^\W_])")


def _word(word: str) -> re.Pattern[str]:
    return _pattern((word,))


def _inside(word: str) -> bool:
    return len(word) >= _WHOLE or _unspaced(word)


def _replaced(text: str, spans: Sequence[_Span]) -> str:
    pieces, place = [], 0
    for start, end, name in spans:
        pieces += [text[place:start], name]
        place = end
    return "".join([*pieces, text[place:]])


def _moved(spans: Sequence[_Span]) -> Callable[[int], int]:
    """Return where an offset in a text is after spans of it were replaced."""

    def moved(offset: int) -> int:
        shift = 0
        for start, end, name in spans:
            if offset <= start:
                break
            if offset < end:  # in the middle of a name: at its end
                return start + shift + len(name)
            shift += len(name) - (end - start)
        return offset + shift

    return moved


# ---------------------------------------------------------------- runs


def key_of(folder: Path) -> bytes:
    """Return the secret of a run or a bench, which is made when it is first asked for."""
    file = folder / KEY
    if not file.exists():
        told = {"key": secrets.token_hex(32), "for": "HMAC-SHA256 of names and hashes in redacted copies; keep it"}
        write_whole(file, (json.dumps(told, indent=1) + "\n").encode())
    return bytes.fromhex(json.loads(file.read_bytes())["key"])


def names_in(run: Run) -> list[str]:
    """Return all that the concept of a run is called in it: what is accepted beside its name is a name as well."""
    return _names(run.read_json("config.json")["config"]["concept"], _probed(run))


def _names(concept: Mapping[str, Any], probed: Iterable[tuple[str, tuple[str, ...]]]) -> list[str]:
    names = dict.fromkeys((concept["name"], *concept["aliases"]))
    for _, accept in probed:
        if concept["name"] in accept:  # with its spelling in other scripts, perhaps
            names |= dict.fromkeys(accept)
    return list(names)


def _probed(run: Run) -> dict[tuple[str, tuple[str, ...]], None]:
    """What probes show and accept: (picture, answers), each once, in their order."""

    def probes() -> Iterator[dict[str, Any]]:
        for condition in run.answered():
            yield from (record["probe"] for record in run.read_lines(f"answers/{condition}.jsonl"))
        for file in (run.folder / "attacks").rglob("*.jsonl"):
            yield from (json.loads(line)["probe"] for line in _lines(file))

    return dict.fromkeys((probe["picture"], tuple(probe["accept"])) for probe in probes())


def of_run(run: Run, key: bytes | None = None) -> Redactor:
    """Return what redacts a run.

    Args:
        run: The run.
        key: The secret, if not the run's own.
    """
    config, probed = run.read_json("config.json")["config"], _probed(run)
    asked = {picture for picture, _ in probed} | {e["picture"] for e in run.read_lines("examples.jsonl")}
    known = [config["model"]["sha256"], *([config["oracle"]["sha256"]] if config["oracle"] else [])]
    names = _names(config["concept"], probed)
    return Redactor(key or key_of(run.folder), names, {*config["pictures"], *asked} - {""}, known)


def export(folder: Path, out: Path, *, outside: bool = False, key: bytes | None = None) -> list[str]:
    """Write a redacted copy of a finished run, with its page, to a new folder.

    Args:
        folder: The run.
        out: The new folder.
        outside: As for `evidence.gather`; such pictures are blurred like the others.
        key: The secret, if not the run's own.

    Returns:
        Files that were left out, since nothing is known of what they hold.

    Raises:
        LookupError: The folder is no run.
        FileExistsError: The new folder is there already.
        ValueError: The run is unfinished or broken; or a name is still there at the end, and nothing was written.
    """
    if out.exists():
        raise FileExistsError(f"{out} is there already; name a new folder with --export")
    run = runs.read(folder)
    with locked(run.folder, f"another process is at work on {run.folder}"):
        redactor = of_run(run, key)
    left = list[str]()
    with folder_whole(out) as fresh:
        fresh.chmod(0o700)
        for file in sorted(run.folder.rglob("*")):
            name = file.relative_to(run.folder).as_posix()
            if file.is_file() and not _unwanted(name) and not _copied(file, fresh / redactor.text(name), redactor):
                left.append(name)
        copy = Run(fresh)
        _blur(run, copy, redactor, outside=outside)
        facts = copy.read_json("facts.json") | {"redacted": True}
        copy.write_json("facts.json", facts)
        evidence.write(copy, called="RUN")
        copy.finish(facts)
        _check(fresh, redactor)
    return left


_MADE = ("report.html", "report.json", "complete.json", KEY)


def _unwanted(name: str) -> bool:
    """Whether a file is made anew, is the key, or is none of a finished run's."""
    return name in _MADE or name.endswith((".part", ".png")) or name.rpartition("/")[2].startswith(".")


def _copied(file: Path, out: Path, redactor: Redactor) -> bool:
    """Write a redacted copy of a file; return whether its sort is known."""
    if file.suffix == ".json":
        data = json.dumps(redactor.value(json.loads(file.read_bytes())), ensure_ascii=False, indent=1).encode()
    elif file.suffix == ".jsonl":
        lines = (json.dumps(redactor.value(json.loads(line)), ensure_ascii=False) + "\n" for line in _lines(file))
        data = "".join(lines).encode("utf-8", "backslashreplace")
    elif file.suffix == ".safetensors":
        data = _safetensors(file.read_bytes(), redactor)
    elif file.suffix in _TEXTS:
        data = redactor.text(file.read_text(encoding="utf-8")).encode()
    else:
        return False
    out.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(out, data)
    return True


def _lines(file: Path) -> Iterator[str]:
    return filter(None, file.read_text(encoding="utf-8").split("\n"))


def _safetensors(data: bytes, redactor: Redactor) -> bytes:
    """Return tensors as they are under metadata without names: 8 bytes of length, a header in JSON, and the rest."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    if "__metadata__" in header:
        header["__metadata__"] = redactor.value(header["__metadata__"])
    written = json.dumps(header, separators=(",", ":")).encode()
    written += b" " * (-len(written) % 8)  # tensors begin at a multiple of 8
    return len(written).to_bytes(8, "little") + written + data[8 + length :]


def _blur(run: Run, copy: Run, redactor: Redactor, *, outside: bool) -> None:
    """Put blurred thumbnails into the copy, of what the page of the run would show and of what the run kept."""
    config = run.read_json("config.json")["config"]
    for n, name in enumerate(config["pictures"]):
        if (image := pictures.find(run, config, name)) is not None:
            copy.write_bytes(f"picture-{n}.png", pictures.png(pictures.blurred(image)))
    for name, file in evidence.shown_pictures(run):
        image = pictures.find(run, config, name, file if outside else None)
        if image is not None and name not in config["pictures"]:
            copy.write_bytes(f"{redactor.picture(name)}.png", pictures.png(pictures.blurred(image)))


_MEANINGLESS = re.compile("data:image/[a-z]+;base64,[A-Za-z0-9+/=]+|[0-9a-f]{16,}")


def _check(folder: Path, redactor: Redactor) -> None:
    """Look at every file with other eyes than those that wrote it.

    Raises:
        ValueError: A name is still there.
    """
    for file in filter(Path.is_file, folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        data = file.read_bytes()
        if file.suffix == ".safetensors":
            data = data[8 : 8 + int.from_bytes(data[:8], "little")]
        # Four letters turn up by chance in as many that mean nothing.
        text = "" if file.suffix == ".png" else _MEANINGLESS.sub("", data.decode("utf-8", "replace"))
        if redactor.holds_name(name) or redactor.holds_name(text):
            raise ValueError(f"the redacted copy would still hold the name, in {name}; nothing was written")

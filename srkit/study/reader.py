"""Reads a study's file, and refuses with the line whatever in it cannot be run as it stands."""

import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from srkit.files import SrkitError, expanded
from srkit.profiles import PROFILES, Profile, find_profile
from srkit.recipes import Recipe, find_named, find_recipe
from srkit.steps import PRECISIONS
from srkit.study.plan import Entry, Study
from srkit.study.variants import degradation, known, suited, update
from srkit.training import train

OPTIONS = ("accumulate", "white", "precision", "tensorboard")  # of `train`, those that a study may say
OPTIONS = {name: inspect.signature(train).parameters[name].annotation for name in OPTIONS}
STUDY = {each.name: each.type for each in fields(Study) if each.name not in ("file", "entries", "options")}
STUDY |= {"profile": str, "seeds": tuple[int, ...], "valid": str | tuple[str, ...]} | OPTIONS
ENTRY = {"name": str, "about": str, "group": str, "seeds": tuple[int, ...], "drop": tuple[str, ...]}
ENTRY |= {"profile": dict, "set": dict, "found": str}
SYSTEM = ENTRY | {"recipe": str, "scale": int, "degradation": str | dict, "degradations": tuple[str, ...]}
VARIANT = ENTRY | {"base": str}


def read_study(file: Path | str) -> Study:
    """The study that a file declares. SrkitError, with the line, for whatever in it cannot be run as it stands."""
    file = expanded(file)
    text = _text(file, "a study's file")
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SrkitError(f"{file.name}: {error}.") from error
    return _Reader(file, text, said).study()


def _text(file: Path, what: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SrkitError(f"{file} does not open as {what} ({error}): correct its name, or write it.") from error


class _Reader:
    """Makes a study of what TOML said, and finds the line that an error is about."""

    def __init__(self, file: Path, text: str, said: dict[str, Any]):
        self.file, self.lines, self.said, self.at = file, text.splitlines(), said, ("[study]", 0)
        self.entries: dict[str, Entry] = {}

    def study(self) -> Study:
        try:
            return self._study()
        except SrkitError as error:
            raise SrkitError(f"{self.file.name}, line {self._line(str(error))}: {error}") from error

    def _study(self) -> Study:
        for name in self.said:
            known(name, dict.fromkeys(("study", "profile", "system", "variant")), "a study's file")
        head = _checked(self.said.get("study", {}), STUDY, "[study]", ("name", "profile", "data"))
        name = head["name"]
        _check_name(name)
        if name in PROFILES:
            raise SrkitError(f"name = {name!r} is a profile's, whose runs would be taken for these: give another.")
        find_named("precision", head.get("precision", "fp32"), PRECISIONS)
        if isinstance(head.get("valid"), str):
            head["valid"] = self._listed(head["valid"])
        profile = self._profile(head.pop("profile"))
        seeds = head.pop("seeds", ())
        for table in self._tables("system", SYSTEM, ("recipe",)):
            self._systems(table, profile, seeds)
        for table in self._tables("variant", VARIANT, ("name", "base")):
            base = self.entries.get(table["base"])
            base = base or Entry(table["base"], self._recipe(table["base"]), profile, seeds)
            self._add(table, replace(base, name=table["name"], base=base.name, seeds=seeds, group=""))
        self.at = ("[study]", 0)
        if not self.entries:
            raise SrkitError("there is nothing to train: add a [[system]] or a [[variant]].")
        against = head.setdefault("against", next(iter(self.entries)))
        known(against, {**self.entries, "bicubic": None}, "this study")
        options = {name: head.pop(name) for name in OPTIONS if name in head}
        study = Study(self.file.resolve(), entries=tuple(self.entries.values()), options=options, **head)
        if len(study.test_places) < len(study.tests):
            raise SrkitError(f"tests = {list(study.tests)} names one set twice, or two of one name: rename a folder.")
        return study

    def _tables(self, kind: str, names: Mapping[str, Any], needed: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        for number, table in enumerate(self.said.get(kind, [])):
            self.at = (f"[[{kind}]]", number)
            yield _checked(table, names, f"this [[{kind}]]", needed)

    def _profile(self, name: str) -> Profile:
        if name == "smoke":
            raise SrkitError("profile = 'smoke' proves that code runs, its numbers mean nothing: take laptop or gpu.")
        profile, changes = find_profile(name), self.said.get("profile", {})
        self.at = ("[profile]", 0) if changes else self.at
        profile = self._changed(profile, changes)
        self.at = ("[study]", 0)
        return profile

    def _changed(self, profile: Profile, changes: Mapping[str, Any]) -> Profile:
        """A profile with other sizes, which bears the study's name then."""
        return update(profile, {"name": self.said["study"]["name"], **changes}, "a profile") if changes else profile

    def _systems(self, table: dict[str, Any], profile: Profile, seeds: tuple[int, ...]) -> None:
        """A [[system]], once for each of its degradations; the recipe's own keeps the plain name."""
        recipe = self._recipe(table["recipe"])
        if "degradation" in table:
            recipe = replace(recipe, degradation=degradation(table["degradation"]))
        name = table.get("name", recipe.name)
        for track in table.get("degradations", (None,)):
            its = degradation(track) if track else recipe.degradation
            called = name if its == recipe.degradation else f"{name}-{track}"
            self._add(table, Entry(called, replace(recipe, degradation=its), profile, seeds, table.get("scale")))

    def _add(self, table: dict[str, Any], entry: Entry) -> None:
        """Keep an entry with what its table says, tried out; refuse one that has another's name, or is the very same.

        What is set of the profile comes before the recipe is fitted to it, all else after.
        """
        changes, sizes = _flat(table.get("set", {})), dict(table.get("profile", {}))
        for path in [path for path in changes if path.startswith("profile.")]:
            sizes[path.removeprefix("profile.")] = changes.pop(path)
        entry = replace(
            entry,
            recipe=replace(entry.recipe, about=table.get("about", entry.recipe.about)),
            profile=self._changed(entry.profile, sizes),
            seeds=table.get("seeds", entry.seeds),
            changes={**entry.changes, **changes},
            drop=(*entry.drop, *table.get("drop", ())),
            group=table.get("group", entry.group),
            found=table.get("found", ""),
        )
        if not entry.seeds:
            raise SrkitError(f"{entry.name} has no seeds: write seeds = [0] below [study].")
        if len(set(entry.seeds)) < len(entry.seeds):
            raise SrkitError(f"seeds of {entry.name} has one of them twice: leave it out.")
        _check_name(entry.name)
        if entry.name in self.entries or entry.name == "bicubic":
            raise SrkitError(f"name {entry.name} is taken: give this one another.")
        for other in self.entries.values():
            if entry.essence == other.essence:
                raise SrkitError(f"{entry.name} is the same as {other.name}: change something, or leave it out.")
        self.entries[entry.name] = entry

    def _recipe(self, text: str) -> Recipe:
        """A built-in recipe by name, or one of a Python file that is told from the study: "my_recipes.py:NAME"."""
        file, colon, name = text.rpartition(":")
        return find_recipe(f"{self.file.parent / expanded(file)}:{name}" if colon else text)

    def _listed(self, name: str) -> tuple[str, ...]:
        """The photographs that a text file lists, one a line; a line that begins with # is none."""
        lines = [line.strip() for line in _text(self.file.parent / expanded(name), "a list").splitlines()]
        found = tuple(line for line in lines if line and not line.startswith("#"))
        if not found:
            raise SrkitError(f"valid = {name!r} lists no photograph: write one a line, or leave valid out.")
        return found

    def _line(self, message: str) -> int:
        """Of the table in hand, the line that shares most words with the message."""
        header, number = self.at
        begins = [place for place, line in enumerate(self.lines) if line.replace(" ", "").startswith(header)]
        start = begins[number] if begins else 0
        end = start + 1
        while end < len(self.lines) and not re.match(r"\s*\[(?!(system|variant)\.)", self.lines[end]):
            end += 1
        words = set(re.findall(r"\w+", message))
        shared = [len(words & set(re.findall(r"\w+", line.partition("#")[0]))) for line in self.lines[start + 1 : end]]
        return start + 1 + (1 + shared.index(max(shared)) if any(shared) else 0)


def _checked(table: Mapping[str, Any], names: Mapping[str, Any], what: str, needed: tuple[str, ...]) -> dict[str, Any]:
    """What a table says, as Python's values; SrkitError for a name or a value that it does not take, or lacks."""
    found = {}
    for name, value in table.items():
        hint = known(name, names, what)
        found[name] = value if hint is dict else suited(name, value, hint, least=0 if name == "seeds" else 1)
    for name in needed:
        if name not in found:
            raise SrkitError(f"{what} has no {name}: write {name} = ... below it.")
    return found


def _check_name(name: str) -> None:
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise SrkitError(f"name = {name!r} is to name a folder: use letters, digits and - + _ . in it.")


def _flat(table: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Tables within tables as dotted names; one with a name in it is a whole part, and stays."""
    found = {}
    for name, value in table.items():
        whole = not isinstance(value, dict) or "name" in value
        found |= {before + name: value} if whole else _flat(value, f"{before}{name}.")
    return found

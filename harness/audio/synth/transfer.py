"""First-language transfer: English phonemes as speakers of another language say them.

What a speaker does to sounds the first language lacks (substitution, final devoicing, vowels put
into clusters) rewrites the phonemes; the language's own espeak-ng voice then speaks them, and adds
its timbre, timing and allophones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

STRESS = "',"
WORD_BREAK = "||"
OBSTRUENTS = frozenset(["p", "b", "t", "d", "k", "g", "f", "v", "T", "D", "s", "z", "S", "Z", "tS", "dZ"])
CONSONANTS = OBSTRUENTS | frozenset(["m", "n", "N", "l", "r", "j", "w", "h"])
DEVOICED = {"b": "p", "d": "t", "g": "k", "v": "f", "z": "s", "D": "T", "Z": "S", "dZ": "tS"}

# espeak-ng's en-us allophones, folded onto the phonemes the rules speak of.
ALLOPHONES: Mapping[str, str] = {
    "3:": "3: r", "3": "@ r", "A@": "A: r", "O@": "O: r", "o@": "O: r", "e@": "E r", "i@": "I r", "i@3": "I r",
    "U@": "U r", "aI@": "aI @ r", "aI3": "aI @ r", "aU@": "aU @ r", "VR": "V r", "IR": "I r", "@L": "@ l",
    "n-": "@ n", "m-": "@ m", "l-": "@ l", "aa": "a", "i": "i:", "u": "u:", "o": "oU", "o:": "oU", "e": "E",
    "e:": "eI", "a#": "@", "?": "t", "r-": "r", "z/": "z", "A": "A:", "O": "0", "O2": "0",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a first language does to English.

    ``sounds`` maps an English phoneme to espeak-ng phonemes of ``voice`` (empty: dropped; absent:
    unchanged). The rules on whole syllables are applied before it, on English phonemes.
    """

    voice: str
    sounds: Mapping[str, str]
    devoices_finals: bool = False
    before_s_cluster: str = ""
    inside_onset: str = ""
    after_final: str = ""
    after_final_alveolar: str = ""
    drops_coda_r: bool = False
    palatalizes: Mapping[str, str] = field(default_factory=dict)


def english_phonemes(word: str) -> list[str]:
    """One word of espeak-ng's en-us output, ``_`` between phonemes, as English phonemes with stress marks."""
    phonemes: list[str] = []
    for token in filter(None, word.strip("_").split("_")):
        stress = "".join(mark for mark in token if mark in STRESS)[:1]
        bare = token.strip("',%=;|")
        if not bare:
            continue
        folded = ALLOPHONES.get(bare) or ALLOPHONES.get(bare.rstrip("0123456789#"))
        folded = folded or (bare if bare == "0" else bare.rstrip("123456789#"))
        folded = "0" if folded.startswith("0") else folded
        first, *rest = folded.split()
        phonemes += [stress + first, *rest]
    return phonemes


def transfer(word: str, rules: Transfer) -> str:
    """``st'0p`` of English as the first language of ``rules`` says it, for espeak-ng's ``[[...]]``."""
    phonemes = _reshape(english_phonemes(word), rules)
    spoken: list[str] = []
    for index, phoneme in enumerate(phonemes):
        stress = phoneme[0] if phoneme[0] in STRESS else ""
        bare = phoneme.lstrip(STRESS)
        following = phonemes[index + 1].lstrip(STRESS) if index + 1 < len(phonemes) else ""
        sound = rules.sounds.get(bare, bare)
        if bare in rules.palatalizes and following in ("i:", "I"):
            sound = rules.palatalizes[bare]
        first, *rest = sound.split() or [""]
        spoken += [stress + first, *rest]
    return "|".join(filter(None, spoken))


def _reshape(phonemes: Sequence[str], rules: Transfer) -> list[str]:
    """Devoicing and the vowels put before, into and after consonants; still English phonemes."""
    shaped = list(phonemes)
    if rules.drops_coda_r:
        shaped = [p for i, p in enumerate(shaped) if p != "r" or _is_vowel(shaped[i + 1 : i + 2])]
    if rules.devoices_finals and shaped and shaped[-1] in DEVOICED:
        shaped[-1] = DEVOICED[shaped[-1]]
    if rules.inside_onset:
        shaped = _open_clusters(shaped, rules)
    if rules.before_s_cluster and shaped[:1] == ["s"] and _starts_cluster(shaped[1:2]):
        shaped.insert(0, rules.before_s_cluster)
    if rules.after_final and shaped and shaped[-1] in OBSTRUENTS:
        shaped.append(_final_vowel(shaped[-1], rules))
    return shaped


def _open_clusters(phonemes: Sequence[str], rules: Transfer) -> list[str]:
    """Put a vowel into consonant clusters: in onsets always, in codas where finals take one too."""
    opened: list[str] = []
    for index, phoneme in enumerate(phonemes):
        opened.append(phoneme)
        following = phonemes[index + 1] if index + 1 < len(phonemes) else ""
        clustered = phoneme in OBSTRUENTS and following in CONSONANTS - {"j"}
        in_onset = not any(_is_vowel([before]) for before in phonemes[:index])
        prothesis = bool(rules.before_s_cluster) and index == 0 and phoneme == "s"
        if clustered and not prothesis and (in_onset or rules.after_final):
            opened.append(_final_vowel(phoneme, rules) if rules.after_final else rules.inside_onset)
    return opened


def _final_vowel(consonant: str, rules: Transfer) -> str:
    return rules.after_final_alveolar if rules.after_final_alveolar and consonant in ("t", "d") else rules.after_final


def _is_vowel(phonemes: Sequence[str]) -> bool:
    return bool(phonemes) and phonemes[0].lstrip(STRESS) not in CONSONANTS


def _starts_cluster(phonemes: Sequence[str]) -> bool:
    return bool(phonemes) and phonemes[0] in OBSTRUENTS | {"m", "n", "l"}

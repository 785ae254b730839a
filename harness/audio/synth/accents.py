"""The accents: eight native ones, and twelve made by carrying a first language into English.

The substitutions follow the learner errors described in Swan and Smith, *Learner English* (2nd ed.,
2001); :mod:`harness.audio.synth.transfer` applies them.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.audio.synth.transfer import Transfer

NATIVE: Mapping[str, str] = {
    "en-us": "General American",
    "en-us-nyc": "New York City",
    "en-gb": "British",
    "en-gb-x-rp": "Received Pronunciation",
    "en-gb-scotland": "Scottish",
    "en-gb-x-gbclan": "Lancastrian",
    "en-gb-x-gbcwmd": "West Midlands",
    "en-029": "Caribbean",
}
FOREIGN: Mapping[str, str] = {
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "hi": "Hindi",
    "ru": "Russian",
    "pt-br": "Brazilian Portuguese",
    "ar": "Arabic",
    "tr": "Turkish",
    "ja": "Japanese",
    "pl": "Polish",
    "sv": "Swedish",
}
UNSEEN = frozenset({"ja", "pl", "sv", "tr"})


def _sounds(**groups: str) -> dict[str, str]:
    """``vowels='i:=i I=i'`` -> ``{'i:': 'i', 'I': 'i'}``; ``+`` joins phonemes."""
    pairs = (pair.split("=") for group in groups.values() for pair in group.split())
    return {english: spoken.replace("+", " ") for english, spoken in pairs}


TRANSFERS: Mapping[str, Transfer] = {
    "de": Transfer(
        "de",
        _sounds(
            consonants="T=s D=z w=v",
            vowels="eI=e: a=E 0=O O:=O oU=o: V=a 3:=W OI=OY",
        ),
        devoices_finals=True,
    ),
    "fr": Transfer(
        "fr",
        _sounds(
            consonants="T=s D=z h= N=n+g",
            vowels="i:=i I=i eI=e a=a A:=a 0=O O:=O oU=o U=u u:=u V=W 3:=W aI=a+j aU=a+u OI=O+j",
        ),
    ),
    "es": Transfer(
        "es",
        _sounds(
            consonants="T=t D=d z=s v=b S=tS Z=S dZ=J^ h=x N=n r=R2",
            vowels="i:=i I=i E=e a=a A:=a 0=o O:=o U=u u:=u V=a @=e 3:=e OI=oI",
        ),
        before_s_cluster="e",
    ),
    "it": Transfer(
        "it",
        _sounds(
            consonants="T=t D=d h= N=n+g r=R",
            vowels="i:=i I=i a=E A:=a 0=O O:=O oU=O U=u u:=u V=a 3:=E OI=oI",
        ),
        after_final="@",
    ),
    "hi": Transfer(
        "hi",
        _sounds(
            consonants="T=t D=d t=t. d=d. w=v Z=z N=N+g",
            vowels="eI=e: a=E A:=a: 0=O oU=o: 3:=V OI=O+j",
        ),
        before_s_cluster="I",
    ),
    "ru": Transfer(
        "ru",
        _sounds(
            consonants="T=s D=z w=v h=x N=n+g",
            vowels="i:=i I=i eI=E+j a=E A:=a 0=o O:=o oU=o U=u u:=u V=a @=a 3:=E aI=a+j aU=a+u OI=o+j",
        ),
        devoices_finals=True,
    ),
    "pt-br": Transfer(
        "pt-br",
        _sounds(
            consonants="T=t D=d h=x N=n+g r=*",
            vowels="i:=i I=i a=E A:=a 0=O O:=O U=u u:=u V=a @=a 3:=e",
        ),
        before_s_cluster="i",
        after_final="I",
        palatalizes={"t": "tS", "d": "dZ"},
    ),
    "ar": Transfer(
        "ar",
        _sounds(
            consonants="p=b v=f r=R N=n+g tS=t+S Z=S",
            vowels="i:=i+: I=i eI=e+: E=e A:=a+: 0=o O:=o+: oU=o+: U=u u:=u+: V=a @=a 3:=e aI=a+j aU=a+w OI=o+j",
        ),
        before_s_cluster="I",
        inside_onset="I",
    ),
    "tr": Transfer(
        "tr",
        _sounds(
            consonants="T=t D=d w=v N=n+g r=R",
            vowels="i:=i I=i E=e a=& A:=a 0=o O:=o U=u u:=u V=a 3:=Y",
        ),
        devoices_finals=True,
        inside_onset="I",
    ),
    "ja": Transfer(
        "ja",
        _sounds(
            consonants="T=s D=z v=b f=p\\ l=r` r=r` N=N\\+g",
            vowels="i:=i+i I=i eI=e+i E=e A:=a+a 0=o O:=o+o oU=o+o U=u u:=u+u V=a @=a 3:=a+a aI=a+i aU=a+u OI=o+i",
        ),
        inside_onset="U",
        after_final="U",
        after_final_alveolar="0",
        drops_coda_r=True,
        palatalizes={"s": "s\\", "t": "tS", "z": "dZ"},
    ),
    "pl": Transfer(
        "pl",
        _sounds(
            consonants="T=t D=d h=x N=N+k r=R",
            vowels="i:=i I=y eI=E+j A:=a 0=O O:=O oU=O+w U=u u:=u V=a @=E 3:=E aI=a+j aU=a+w OI=O+j",
        ),
        devoices_finals=True,
    ),
    "sv": Transfer(
        "sv",
        _sounds(
            consonants="T=t D=d w=v z=s Z=S dZ=d+j r=R",
            vowels="eI=e: 0=O O:=o: oU=o: V=8 @=a 3:=W aI=a+j aU=a+U OI=O+j",
        ),
    ),
}

"""What is said: the keywords, and the words a device must not take for one.

No unknown word is a homophone of a keyword ("write", "know"): sound alone cannot tell those
apart, so they would measure nothing.
"""

from __future__ import annotations

KEYWORDS = ("hey robot", "stop", "go", "left", "right", "up", "down", "yes", "no", "follow me")
UNKNOWN = "unknown"
SILENCE = "silence"
LABELS = (*KEYWORDS, UNKNOWN, SILENCE)

# Near a keyword in sound; the trial's false accepts were nearly all of this kind.
TEST_CONFUSABLE = (
    "stock", "hey robin", "low", "lift", "ripe", "cup", "town", "yet", "know how", "follow him",
    "top", "goal", "lend", "rice", "pup", "dawn", "yell", "node", "hollow tree", "hey rabbit",
)  # fmt: skip
TEST_ORDINARY = (
    "window", "seven", "coffee", "music", "garden", "table", "orange", "kitchen", "monday", "battery",
    "open", "backward", "weather", "light", "volume", "zebra", "purple", "river", "listen", "nine",
)  # fmt: skip

TRAINING_CONFUSABLE = (
    "step", "spot", "shop", "stomp", "stuff", "stoop", "star", "store", "staff", "stop it now", "soap",
    "goat", "ghost", "gold", "gum", "grow", "so", "toe", "doe", "dough", "joe", "glow", "got", "bow",
    "leaf", "laughed", "loft", "less", "let", "leapt", "lest", "deaf", "theft", "leg", "lived", "lofty",
    "ride", "rate", "rye", "light up", "bright", "fight", "night", "rise", "wide", "riot", "rat", "rot",
    "pup tent", "us", "app", "cut", "hub", "pop", "but", "of", "op", "hop", "cap", "sup", "uh",
    "noun", "gown", "den", "dune", "done", "brown", "tone", "doubt", "dine", "crown", "don",
    "yeast", "guess", "chess", "yard", "yak", "jest", "mess", "dress", "yesterday", "yen", "us two",
    "snow", "nor", "new", "nod", "mow", "now", "note", "nose", "knee", "gnaw", "show", "mode", "row",
    "hey robert", "hey romeo", "hey rob", "grey robot", "they rob it", "hey there", "rowboat", "a robot arm",
    "hey reuben", "robots", "hey ribbon", "hey you", "rob it",
    "follow you", "hollow bee", "swallow", "fallow", "fellow", "follow it", "far away", "call me", "holler",
    "follow the", "for me", "yellow bee", "valley", "allow me", "folly",
)  # fmt: skip
TRAINING_ORDINARY = (
    "one", "two", "three", "four", "five", "six", "eight", "zero", "ten", "house", "water", "computer",
    "forward", "bed", "bird", "cat", "dog", "happy", "marvin", "sheila", "tree", "wow", "visual", "learn",
    "hello", "thank you", "please", "morning", "evening", "picture", "button", "machine", "silver", "green",
    "tuesday", "sunday", "doctor", "school", "people", "question", "answer", "paper", "number", "telephone",
    "turn around", "pick it up", "start", "pause", "play", "close", "faster", "slower", "mountain", "city",
    "animal", "summer", "winter", "apple", "lemon", "sugar", "butter", "chicken", "dinner", "breakfast",
    "the", "and", "with", "because", "another", "about", "maybe", "never", "always", "under", "over",
    "black", "white", "blue", "red", "pink", "engine", "driver", "station", "ticket", "airport", "village",
)  # fmt: skip


def slug(text: str) -> str:
    """``follow me`` -> ``follow-me``: the form a text takes in a clip id."""
    return text.replace(" ", "-")

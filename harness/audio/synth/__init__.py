"""Synthetic speech in many accents, rebuilt to the bit: the corpus voxgate judges on, and speech to train on."""

from harness.audio.synth.build import PLANS, build_corpus, build_training

__all__ = ["PLANS", "build_corpus", "build_training"]

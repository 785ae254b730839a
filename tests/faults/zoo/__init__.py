"""The fault zoo: seeded regressions over the whole chain, each judged by the real gates."""

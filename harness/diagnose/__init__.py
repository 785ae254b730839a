"""Why a build fails: controlled experiments, each an effect in points of accuracy and dB, ranked as causes."""

from harness.diagnose.engine import diagnose
from harness.diagnose.findings import Cause, Diagnosis, Stage, Trial

__all__ = ["Cause", "Diagnosis", "Stage", "Trial", "diagnose"]

"""Fine-tune a candidate by its own Python, twice alike: in float, and as its int8 will compute (QAT).

The candidate's code runs in the qat toolchain's environment, in a process of its own, and only where a person asked
for it: building and judging read the files that come of it. A training that was killed goes on where it was.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from harness.cache import digest, disk_error
from harness.candidate import Candidate, inside
from harness.errors import CandidateError, InfraError, ToolchainError, Unsupported, nearest
from harness.onnxfile import inspect
from harness.quantize import trained
from harness.quantize.trained import Trained
from harness.recipe import Recipe, Training
from harness.strict import faults
from harness.targets import toolchain
from harness.targets.base import Progress
from harness.targets.process import Limits

TOOLCHAIN = "qat"
WORKER = Path(toolchain.__file__).with_name("workers") / "qat_worker.py"
ROOMS = tuple(WORKER.with_name(f"qat_{room}.py") for room in ("check", "export", "step", "places", "finish"))
LIMITS = Limits(seconds=12 * 3600, memory_mib=12288)
UNDECLARED = Recipe(target="host", name="qat", precision="int8", method="qat")
SAID = "> "  # how the worker begins a line of progress
MAX_CODE = 4 << 20  # bytes of Python beside a candidate


def recipes(candidate: Candidate, wanted: tuple[str, ...] = ()) -> list[Recipe]:
    """One recipe for each training that the candidate's recipes, or those named, rest on.

    UNDECLARED where there is none yet: a recipe without its training would be red. Raises CandidateError.
    """
    known = [recipe for recipe in candidate.recipes if recipe.method != "ptq"]
    names = [recipe.id for recipe in known]
    for name in wanted:
        if name not in names:
            raise CandidateError(
                f'{candidate.name} has no recipe {name!r} with method = "qat" or "tuned"{nearest(name, names)}; '
                f"its model.toml declares {', '.join(names) or 'none'}. See docs/qat.md."
            )
    asked = [recipe for recipe in known if not wanted or recipe.id in wanted]
    return list({trained.scheme(recipe): recipe for recipe in asked or [UNDECLARED]}.values())


def code_of(candidate: Candidate) -> tuple[Training, Path]:
    """What ``[training]`` says, and the file of the candidate's own Python that would run. Raises CandidateError."""
    if candidate.training is None:
        raise CandidateError(
            f"{candidate.name}: model.toml has no [training], which names the candidate's code and its epochs; see "
            "docs/qat.md."
        )
    path = inside(candidate.folder, candidate.training.code)
    if not path.is_file():
        raise CandidateError(f"{candidate.name}: [training] names {path.name}, which is not in {candidate.folder}.")
    return candidate.training, path


def train(candidate: Candidate, recipe: Recipe, data: Path, work: Path, say: Progress) -> Trained:
    """Train and lay the files into the candidate's folder; ``work`` keeps checkpoints between runs.

    Raises CandidateError for what the candidate or its data lacks, Unsupported for what cannot be trained here,
    ToolchainError where training fails.
    """
    training, code = code_of(candidate)
    manifest = inside(data, training.manifest)
    if not manifest.is_file():
        raise CandidateError(
            f"{candidate.name}: {data} holds no {training.manifest}, so it is not its training data. Its README tells "
            "how that is made; of the shipped commands model, by: voxgate corpus build training --out DIR"
        )
    if candidate.states and trained.scheme(recipe) == "symmetric":
        raise Unsupported(
            f"{candidate.name} {recipe.id}: a step is not trained for symmetric int8, which is TensorRT's, and jetson "
            "takes no step; remove symmetric = true."
        )
    tools = toolchain.needed(TOOLCHAIN)
    request = _request(candidate, recipe, training, code, data)
    told = {"model": digest(candidate.model), "code": digest(*_python(candidate)), "data": digest(manifest)}
    key = digest(request, told, toolchain.pins(TOOLCHAIN), WORKER, *ROOMS)
    folder = work / candidate.name / f"{trained.scheme(recipe)}-{key[:12]}"
    subject = f"{candidate.name}, {trained.scheme(recipe)} int8"
    with _alone(folder, subject), _heard(folder / "stdout.log", lambda line: say(f"{subject}: {line}")):
        answer = toolchain.run_worker(tools, WORKER, request, folder, subject=subject, limits=LIMITS)
    return _lay(candidate, recipe, folder, {**told, **_facts(training), **_answered(answer, subject)})


def _request(candidate: Candidate, recipe: Recipe, training: Training, code: Path, data: Path) -> dict[str, Any]:
    return {
        "code": str(code),
        "data": str(data.resolve()),
        "start": str(candidate.model),
        **described(candidate),
        "symmetric": trained.scheme(recipe) == "symmetric",
        "litert": candidate.tflite is not None,
        **_facts(training),
    }


def described(candidate: Candidate) -> dict[str, Any]:
    """What the worker is told of the model: features and score come first, its states behind them."""
    model = inspect(candidate.model, candidate.states)
    return {
        "labels": model.labels,
        "inputs": [model.input_name, *(state.name for state in model.states)],
        "outputs": [model.output_name, *(state.next for state in model.states)],
        "shapes": [list(shape) for shape in (model.input_shape, *(state.shape for state in model.states))],
        "states": candidate.states,
    }


def _facts(training: Training) -> dict[str, Any]:
    return {"epochs": training.epochs, "seed": training.seed, "rate": training.rate}


def _python(candidate: Candidate) -> list[Path]:
    """The candidate's own modules: a change of any of them is another training."""
    found = sorted(path for path in candidate.folder.glob("*.py") if path.is_file())
    if sum(path.stat().st_size for path in found) > MAX_CODE:
        raise CandidateError(
            f"{candidate.folder} holds more than {MAX_CODE >> 20} MiB of Python; training code is less."
        )
    return found


def _answered(answer: dict[str, Any], subject: str) -> dict[str, Any]:
    try:
        return {name: answer[name] for name in ("losses", "agreement", "tools")}
    except KeyError as error:
        raise ToolchainError(f"{subject}: the worker's answer lacks {error}; run it again.") from error


def _lay(candidate: Candidate, recipe: Recipe, folder: Path, told: dict[str, Any]) -> Trained:
    """Files and training.json into the candidate's folder, whole or not at all."""
    names = [name for name in told["agreement"] if (folder / name).is_file()]
    files = {name: digest(folder / name) for name in names}
    try:
        found = Trained.model_validate({**told, "files": files})
    except ValidationError as error:
        raise ToolchainError(
            f"{candidate.name}: the worker answered {'; '.join(faults(error, (Trained,)))}."
        ) from error
    place = trained.place(candidate, recipe)
    try:
        place.parent.mkdir(exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
        for name in names:
            shutil.copyfile(folder / name, fresh / name)
        (fresh / trained.RECORD).write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
        fresh.chmod(0o755)  # as mkdir makes it: mkdtemp's is for its owner alone
        shutil.rmtree(place, ignore_errors=True)
        fresh.replace(place)
    except OSError as error:
        raise disk_error(error, place) from error
    return found


@contextmanager
def _alone(folder: Path, subject: str) -> Iterator[None]:
    """The folder is this run's: two would write the same checkpoints."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock"), timeout=0):
            yield
    except Timeout as error:
        raise InfraError(f"{subject} is being trained by another run in {folder}; wait for it.") from error
    except OSError as error:
        raise disk_error(error, folder) from error


@contextmanager
def _heard(log: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Pass on the worker's lines of progress while it runs."""
    over = threading.Event()
    log.unlink(missing_ok=True)
    listener = threading.Thread(target=_listen, args=(log, say, over), daemon=True)
    listener.start()
    try:
        yield
    finally:
        over.set()
        listener.join()


def _listen(log: Path, say: Callable[[str], None], over: threading.Event) -> None:
    place, rest = 0, ""
    while True:
        last = over.wait(0.5)
        if log.is_file():
            with log.open("rb") as file:
                file.seek(place)
                read = file.read()
            place += len(read)
            *lines, rest = (rest + read.decode("utf-8", "replace")).split("\n")
            for line in lines:
                if line.startswith(SAID):
                    say(line.removeprefix(SAID))
        if last:
            return

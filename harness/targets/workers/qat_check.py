"""What the candidate's code gives, held against its ONNX before anything is trained. A room of qat_worker.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.targets.workers.qat_export import RefusedError

SAME = 1e-3  # of the outputs that training starts from, where they are greater than one: further is another network


def first_batch(code: Any, request: dict[str, Any]) -> tuple[Any, ...]:
    """The first batch of the first epoch. Raises RefusedError where it is none that the model takes."""
    first = next(iter(code.batches(Path(request["data"]), 0, request["seed"])), None)
    if first is None:
        raise RefusedError("its batches give none")
    shape, (inputs, *_) = request["shapes"][0], first
    steps = 1 if request["states"] else 0
    wanted = f"(n, {'steps, ' * steps}{', '.join(map(str, shape[1:]))})"
    if tuple(inputs.shape[1 + steps :]) != tuple(shape[1:]):
        raise RefusedError(f"its batches give inputs {tuple(inputs.shape)}, where the model takes {wanted}")
    if steps and (len(first) != 3 or tuple(first[2].shape) != (len(inputs),)):
        raise RefusedError(
            "its batches give no third part (n,), true for each sequence that begins in silence: a model with states "
            f"is trained over sequences {wanted} that go on from one another"
        )
    return tuple(first)


def check_network(network: Any, examples: tuple[Any, ...], request: dict[str, Any]) -> None:
    """Raise RefusedError where the network is another function than the ONNX it would be started from."""
    import numpy as np
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(request["start"], providers=["CPUExecutionProvider"])
    drawn = torch.Generator().manual_seed(0)
    inputs = [torch.rand(example.shape, generator=drawn) for example in examples]
    feeds = {name: value.numpy() for name, value in zip(request["inputs"], inputs, strict=True)}
    wanted = session.run(request["outputs"], feeds)
    modes = [(module, module.training) for module in network.modules()]
    with torch.no_grad():
        said = network.eval()(*inputs)
    for module, mode in modes:
        module.training = mode
    given = [value.numpy() for value in (said if isinstance(said, tuple) else (said,))]
    if [value.shape for value in given] != [value.shape for value in wanted]:
        raise RefusedError(
            f"the network gives {[value.shape for value in given]}, where its ONNX gives "
            f"{[value.shape for value in wanted]}: {', '.join(request['outputs'])}, in this order"
        )
    for name, one, other in zip(request["outputs"], given, wanted, strict=True):
        far = float(np.abs(one - other).max())
        if not far <= SAME * max(1.0, float(np.abs(other).max())):
            raise RefusedError(
                f"the network's {name} differs by {far:.2g} from its ONNX's: with the same weights it is another "
                "function; make it the one that was exported"
            )

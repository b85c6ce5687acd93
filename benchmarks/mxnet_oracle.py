"""MXNet 1.9.1 as the oracle: random weights, outputs and timings of an MXNet graph.

Runs in an environment of its own (requirements-mxnet.txt) and imports nothing of this project:

    .venv-mxnet/bin/python benchmarks/mxnet_oracle.py init SYMBOL PARAMS --shape 1,3,640,640
    .venv-mxnet/bin/python benchmarks/mxnet_oracle.py run SYMBOL PARAMS INPUTS.npz OUTPUTS.npz
    .venv-mxnet/bin/python benchmarks/mxnet_oracle.py time SYMBOL PARAMS INPUTS.npz OUTPUTS.npz --repeat 5

INPUTS.npz holds float32 arrays (N, 3, H, W) by name; OUTPUTS.npz gets `{name}/{i}` for each output,
or `{name}`, the seconds of each pass.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("MXNET_SUBGRAPH_BACKEND", "NONE")

import mxnet as mx
import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["init", "run", "time"])
    parser.add_argument("symbol")
    parser.add_argument("params")
    parser.add_argument("inputs", nargs="?")
    parser.add_argument("outputs", nargs="?")
    parser.add_argument("--shape", help="of the input, for init")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    symbol = mx.sym.load(args.symbol)
    if args.task == "init":
        shape = tuple(int(size) for size in args.shape.split(","))
        mx.nd.save(args.params, random_params(symbol, shape, args.seed))
        return
    inputs = np.load(args.inputs)
    results: dict[str, np.ndarray] = {}
    for name in inputs.files:
        executor = bind(symbol, args.params, inputs[name])
        if args.task == "run":
            for i, output in enumerate(executor.forward(is_train=False)):
                results[f"{name}/{i}"] = output.asnumpy()
        else:
            results[name] = seconds(executor, args.repeat)
    np.savez(args.outputs, **results)


def random_params(symbol, shape, seed):  # type: ignore[no-untyped-def]
    """Weights that keep activations within bounds, whatever the depth."""
    random = np.random.default_rng(seed)
    argument_shapes, _, state_shapes = symbol.infer_shape(data=shape)
    params = {}
    for kind, names, shapes in (
        ("arg", symbol.list_arguments(), argument_shapes),
        ("aux", symbol.list_auxiliary_states(), state_shapes),
    ):
        for name, size in zip(names, shapes, strict=True):
            if name == "data":
                continue
            if "relu" in name:  # the slopes of a PReLU
                values = random.uniform(-0.5, 1, size)
            elif name.endswith(("var", "gamma")):
                values = random.uniform(0.5, 1.5, size)
            elif name.startswith("face_rpn_cls_score") and name.endswith("bias"):
                values = np.repeat([8.0, -8.0], size[0] // 2)  # no face, then a face: as in most of a picture
            elif name.endswith("weight"):
                values = random.normal(0, 0.7 / np.sqrt(np.prod(size[1:])), size)
            else:
                values = random.normal(0, 0.1, size)
            params[f"{kind}:{name}"] = mx.nd.array(values.astype(np.float32))
    return params


def bind(symbol, params, data):  # type: ignore[no-untyped-def]
    executor = symbol.simple_bind(mx.cpu(), grad_req="null", data=data.shape)
    loaded = mx.nd.load(params)
    arguments = {key[4:]: value for key, value in loaded.items() if key.startswith("arg:")}
    states = {key[4:]: value for key, value in loaded.items() if key.startswith("aux:")}
    executor.copy_params_from(arguments, states, allow_extra_params=True)
    executor.arg_dict["data"][:] = data
    return executor


def seconds(executor, repeat):  # type: ignore[no-untyped-def]
    times = []
    for _ in range(repeat + 1):  # the first one warms up
        start = time.perf_counter()
        for output in executor.forward(is_train=False):
            output.wait_to_read()
        times.append(time.perf_counter() - start)
    return np.array(times[1:])


if __name__ == "__main__":
    main()

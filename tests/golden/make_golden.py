#!/usr/bin/env python3
"""Computes the golden numbers anew, by reference.py in float64.

  make_golden.py [FOLDER...]            compares with the numbers that the folders hold; exit code 1: they differ
  make_golden.py --out OUT [FOLDER...]  writes the folders again, as OUT/<name of the folder>

Without FOLDERs: all of tests/fixtures/golden. Needs torch, numpy and safetensors; exit code 77: they are not there.

What is given in a folder is kept, all else follows from it:
- a model (config.json, model.safetensors) and expected.safetensors. Given: input_ids [N, L], labels [N, L] (absent: the
  input_ids). Computed: logits [N, L, vocabulary], loss [1], grad.<parameter> for each parameter that has one, and of
  DRT's upper groups retrieval.<group>.scores [N, C, C], .indices (-1: nothing) and .weights [N, C, K];
- a model, batches.safetensors and expected.json, a training run. Given: input_ids [steps, N, L] and the optimizer's
  settings. Computed: loss and grad_norm (before clipping) of each step;
- expected.safetensors alone, landmark attention. Given: block_size, query, key, value, grad_output [N, H, T, D].
  Computed: output, probabilities [N, H, T, T], grad_query, grad_key, grad_value.
For a new case, write a folder with what is given and let --out add the rest. Numbers are stored as float32.
"""
import argparse
import json
import math
import pathlib
import shutil
import sys

try:
    import torch
    from safetensors.torch import load_file, save_file
except ImportError as error:
    print(f"skipped: this Python has no torch or no safetensors: {error}")
    sys.exit(77)

sys.dont_write_bytecode = True
import reference  # noqa: E402

FOLDERS = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "golden"
# Most folders hold what another program computed from the same rules; its logits lie up to 7e-6 from the reference's.
LIMIT = 1e-5
GIVEN = {"input_ids", "labels", "block_size", "query", "key", "value", "grad_output"}
# Beside the computed numbers of a training run.
GIVEN |= {"optimizer", "lr", "betas", "eps", "weight_decay", "decay_all_parameters", "clip_grad_norm", "gumbel_noise"}


class AdamW:
    """Decoupled weight decay (arXiv 1711.05101) after clipping by the norm of all gradients."""

    def __init__(self, weights, settings):
        self.weights, self.settings, self.num_steps = weights, settings, 0
        self.first = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        self.second = {name: torch.zeros_like(weight) for name, weight in weights.items()}

    @torch.no_grad()
    def clip_and_step(self):
        """Takes the gradients and forgets them; returns their norm before clipping."""
        settings = self.settings
        self.num_steps += 1
        norm = math.sqrt(sum(weight.grad.pow(2).sum().item() for weight in self.weights.values()))
        scale = min(1.0, settings["clip_grad_norm"] / (norm + 1e-6))
        (beta1, beta2), lr = settings["betas"], settings["lr"]
        for name, weight in self.weights.items():
            gradient = weight.grad * scale
            self.first[name].mul_(beta1).add_((1 - beta1) * gradient)
            self.second[name].mul_(beta2).add_((1 - beta2) * gradient**2)
            mean = self.first[name] / (1 - beta1**self.num_steps)
            deviation = (self.second[name] / (1 - beta2**self.num_steps)).sqrt()
            weight.mul_(1 - lr * settings["weight_decay"]).sub_(lr * mean / (deviation + settings["eps"]))
            weight.grad = None
        return norm


def load_weights(folder):
    tensors = load_file(folder / "model.safetensors")
    return {name: tensor.double().requires_grad_() for name, tensor in tensors.items()}


def compute_pass(folder, config, given):
    weights = load_weights(folder)
    logits, retrievals = reference.logits(given["input_ids"], weights, config)
    loss = reference.next_token_loss(logits, given.get("labels", given["input_ids"]))
    loss.backward()
    computed = {"logits": logits, "loss": loss.view(1)}
    for group, retrieval in enumerate(retrievals):
        computed.update({f"retrieval.{group}.{name}": tensor for name, tensor in retrieval.items()})
    # A fixed retriever's table has no gradient, nor has a learned one's norm where chunks weigh the same.
    return computed | {f"grad.{name}": weight.grad for name, weight in weights.items() if weight.grad is not None}


def compute_training(folder, config, settings):
    weights = load_weights(folder)
    optimizer = AdamW(weights, settings)
    losses, norms = [], []
    for input_ids in load_file(folder / "batches.safetensors")["input_ids"]:
        loss = reference.next_token_loss(reference.logits(input_ids, weights, config)[0], input_ids)
        loss.backward()
        losses.append(loss.item())
        norms.append(optimizer.clip_and_step())
    return {"loss": losses, "grad_norm": norms}


def compute_landmark_attention(given):
    inputs = {name: given[name].double().requires_grad_() for name in ("query", "key", "value")}
    output, probabilities = reference.landmark_attention(*inputs.values(), given["block_size"].item())
    output.backward(given["grad_output"].double())
    return {"output": output, "probabilities": probabilities} | {f"grad_{name}": x.grad for name, x in inputs.items()}


def compute(folder):
    """What the folder holds of computed numbers, and the same computed here: two objects by the numbers' names."""
    config = json.loads((folder / "config.json").read_text()) if (folder / "config.json").exists() else None
    if (folder / "batches.safetensors").exists():
        held = json.loads((folder / "expected.json").read_text())
        return held, compute_training(folder, config, held)
    held = load_file(folder / "expected.safetensors")
    return held, compute_landmark_attention(held) if config is None else compute_pass(folder, config, held)


def deviation(name, held, computed):
    """The largest difference; of gradients relative to the largest entry, of indices how many differ."""
    held, computed = (torch.as_tensor(numbers, dtype=torch.float64).detach() for numbers in (held, computed))
    if held.shape != computed.shape:
        sys.exit(f"{name}: the folder has {list(held.shape)}, the reference gives {list(computed.shape)}")
    if name.endswith("indices"):
        return held.ne(computed).sum().item()
    # Scores are -inf in both where a chunk may not be seen.
    difference = torch.where(held == computed, 0, (held - computed).abs()).max().item()
    return difference / held.abs().max().item() if name.startswith("grad.") else difference


def check(folder):
    """Prints the largest deviation of each kind of number; whether all are within the limit."""
    held, computed = compute(folder)
    missing = [name for name in held if name not in computed and name not in GIVEN]
    if missing:
        sys.exit(f"{folder}: {missing[0]} is neither given nor computed")
    deviations = {}
    for name in computed:
        if name in held:
            kind = "grad" if name.startswith("grad.") else name.split(".")[-1]
            deviations.setdefault(kind, []).append(deviation(name, held[name], computed[name]))
    if not deviations:
        sys.exit(f"{folder}: holds none of the numbers that are computed; --out adds them")
    # Not max(): it overlooks NaN.
    worst = {kind: torch.tensor(values, dtype=torch.float64).max().item() for kind, values in deviations.items()}
    within = all(value <= LIMIT for value in worst.values())
    figures = "  ".join(f"{kind} {value:.1e}" for kind, value in worst.items())
    print(f"{'ok  ' if within else 'FAIL'}  {folder.name:20} {figures}")
    return within


def write(folder, out):
    """The folder with its computed numbers made anew, in `out`, which must not have one of that name."""
    held, computed = compute(folder)
    target = out / folder.name
    shutil.copytree(folder, target)
    if (folder / "batches.safetensors").exists():
        (target / "expected.json").write_text(json.dumps(held | computed, indent=1))
    else:
        stored = {name: tensor.detach().contiguous() for name, tensor in computed.items()}
        stored = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in stored.items()}
        save_file(held | stored, target / "expected.safetensors")
    print(f"wrote {target}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    folders = arguments.folders or sorted(folder for folder in FOLDERS.iterdir() if folder.is_dir())
    torch.set_num_threads(1)  # so small that threads only wait for each other
    if arguments.out is None:
        return 0 if all([check(folder) for folder in folders]) else 1
    for folder in folders:
        write(folder, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

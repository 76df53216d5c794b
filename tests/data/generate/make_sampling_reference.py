"""Writes sampling.json: what Hugging Face's logits processors make of rows of logits (transformers 5.23.0)."""
import json
import pathlib

import torch
from transformers import (LogitsProcessorList, MinPLogitsWarper, RepetitionPenaltyLogitsProcessor,
                          TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper)

torch.manual_seed(7)


def processors(settings):
    chain = LogitsProcessorList()
    if settings.get("repetition_penalty", 1.0) != 1.0:
        chain.append(RepetitionPenaltyLogitsProcessor(settings["repetition_penalty"]))
    if settings.get("temperature", 1.0) != 1.0:
        chain.append(TemperatureLogitsWarper(settings["temperature"]))
    if settings.get("top_k", 0) != 0:
        chain.append(TopKLogitsWarper(settings["top_k"]))
    if settings.get("top_p", 1.0) < 1.0:
        chain.append(TopPLogitsWarper(settings["top_p"]))
    if settings.get("min_p", 0.0) > 0.0:
        chain.append(MinPLogitsWarper(settings["min_p"]))
    return chain


def case(logits, seen, **settings):
    out = processors(settings)(torch.tensor([seen], dtype=torch.long), torch.tensor([logits], dtype=torch.float32))[0]
    return {"logits": logits, "seen": seen, "settings": settings,
            "expected": [None if value == -float("inf") else value for value in out.tolist()],
            "probabilities": out.double().softmax(-1).tolist()}


rows = [(2.5 * torch.randn(size)).tolist() for size in (5, 16, 40)]
rows.append([1.0, 3.0, 3.0, 3.0, -2.0, 0.0, 0.5])  # ties
settings_list = [
    {"repetition_penalty": 1.3}, {"repetition_penalty": 0.8}, {"temperature": 0.7}, {"temperature": 1.9},
    {"top_k": 1}, {"top_k": 3}, {"top_k": 100}, {"top_p": 0.05}, {"top_p": 0.5}, {"top_p": 0.92},
    {"min_p": 0.02}, {"min_p": 0.3}, {"min_p": 1.0},
    {"temperature": 0.6, "top_k": 7}, {"temperature": 1.5, "top_p": 0.8}, {"top_k": 4, "top_p": 0.7},
    {"temperature": 0.9, "top_k": 12, "top_p": 0.95, "min_p": 0.05, "repetition_penalty": 1.2},
    {"temperature": 2.0, "top_k": 5, "top_p": 0.6, "min_p": 0.2, "repetition_penalty": 1.5},
]
cases = []
for index, row in enumerate(rows):
    for settings in settings_list:
        # torch.sort leaves the order of ties open, so top-p is compared only on rows without any.
        if index == 3 and "top_p" in settings:
            continue
        cases.append(case(row, [0, 3, 3, 1], **settings))

path = pathlib.Path(__file__).with_name("sampling.json")
path.write_text(json.dumps(cases, separators=(",", ":")).replace("},{\"logits\"", "},\n{\"logits\"") + "\n")

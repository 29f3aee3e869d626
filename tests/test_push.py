"""What a training leaves can be pushed, and what was pushed can be loaded, with nothing but `huggingface_hub`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tiny_checkpoint import tiny_checkpoint
from writable_hub import WritableHub

ROOT = Path(__file__).resolve().parents[1]
PUSH = "import sys; sys.path.insert(0, 'examples'); import training_loop, pathlib; training_loop.push(pathlib.Path({0!r}), {1!r})"  # noqa: E501
LOAD = """
import torch
from transformers import AutoModelForSequenceClassification, AutoProcessor
model = AutoModelForSequenceClassification.from_pretrained("tester/mini", trust_remote_code=True)
processor = AutoProcessor.from_pretrained("tester/mini", trust_remote_code=True)
net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
print(tuple(model(**processor(text="which layers are there?", architectures=net, return_tensors="pt")).logits.shape))
"""


def run(code: str, hub: WritableHub, home: Path) -> str:
    """Run code in a process of its own whose Hub is `hub`."""
    environment = hub.environment(home, HF_TOKEN="token")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_pushed_run_loads_from_the_hub(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path).rename(tmp_path / "mini")
    (folder / "training_arguments.json").write_text("{}")
    (folder / "checkpoints" / "step-1").mkdir(parents=True)
    (folder / "checkpoints" / "step-1" / "model.safetensors").write_bytes(b"a training state")
    with WritableHub() as hub:
        for _ in range(2):  # a second push into the same repository is no error
            run(PUSH.format(str(folder), "mini"), hub, tmp_path / "home")
        pushed = hub.files("tester/mini")
        assert len(pushed["model.safetensors"]) < (folder / "model.safetensors").stat().st_size
        assert "config.json" in pushed and not any(name.startswith("checkpoints") for name in pushed)
        assert "modeling_archbert.py" in pushed and b"class ArchBertModel" in pushed["modeling_archbert.py"]
        assert run(LOAD, hub, tmp_path / "home").strip().startswith("(1, ")
